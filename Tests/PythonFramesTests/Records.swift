// Makes the records that the eBPF program writes.

import PythonChain

@testable import PythonFrames

enum Records {
  /// A chain record of a walked chain.
  static func sample(_ chain: WalkedChain, interpreter: UInt64) -> [UInt8] {
    sample(chain.entries, status: chain.status, interpreter: interpreter)
  }

  static func sample(
    _ entries: [python_chain_frame], status: python_chain_status = PYTHON_CHAIN_WHOLE, interpreter: UInt64 = 1
  ) -> [UInt8] {
    var header = python_chain_sample()
    header.kind = PYTHON_CHAIN_SAMPLE.rawValue
    header.size = UInt32(
      MemoryLayout<python_chain_sample>.size + entries.count * MemoryLayout<python_chain_frame>.size)
    header.status = status.rawValue
    header.frame_count = UInt32(entries.count)
    header.interpreter = interpreter
    return bytes(of: header) + entries.flatMap { bytes(of: $0) }
  }

  static func frame(code: UInt64, instruction: UInt64, fingerprint: UInt64 = 7, owner: UInt8 = 0)
    -> python_chain_frame
  {
    var entry = python_chain_frame()
    entry.address = 0x1000
    entry.code = code
    entry.instruction = instruction
    entry.fingerprint = fingerprint
    entry.owner = owner
    return entry
  }

  static func loopEnd(_ address: UInt64, cFrame: UInt64 = 0) -> python_chain_frame {
    var entry = python_chain_frame()
    entry.entry = UInt8(PYTHON_CHAIN_LOOP_END.rawValue)
    entry.address = address
    entry.code = cFrame
    return entry
  }

  /// A names record; `change` may make it lie.
  static func names(
    code: UInt64, fingerprint: UInt64 = 7, name: String, file: String, lineTable: [UInt8], units: UInt32 = 8,
    firstTraceable: UInt32 = 0, change: (inout python_chain_names) -> Void = { _ in }
  ) -> [UInt8] {
    let body = [UInt8](name.utf8) + [UInt8](file.utf8) + lineTable
    var header = python_chain_names()
    header.kind = PYTHON_CHAIN_NAMES.rawValue
    header.size = UInt32(MemoryLayout<python_chain_names>.size + body.count)
    header.first_line = 10
    header.code = code
    header.fingerprint = fingerprint
    header.interpreter = 1
    header.code_units = units
    header.first_traceable = firstTraceable
    header.qualname_length = UInt32(name.utf8.count)
    header.qualname_bytes = UInt32(name.utf8.count)
    header.filename_length = UInt32(file.utf8.count)
    header.filename_bytes = UInt32(file.utf8.count)
    header.linetable_length = UInt32(lineTable.count)
    header.linetable_bytes = UInt32(lineTable.count)
    header.qualname_kind = 1
    header.filename_kind = 1
    change(&header)
    return bytes(of: header) + body
  }

  static func bytes<T: BitwiseCopyable>(of value: T) -> [UInt8] {
    var copy = value
    return unsafe withUnsafeBytes(of: &copy) { unsafe [UInt8]($0) }
  }
}
