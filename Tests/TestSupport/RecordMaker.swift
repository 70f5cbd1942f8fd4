// Ring records made by hand, as the kernel writes them (perf_event_open(2), "Overflow handling").

import PythonChain

/// Numbers of include/uapi/linux/perf_event.h.
package enum RecordType {
  package static let lost: UInt32 = 2
  package static let command: UInt32 = 3
  package static let exit: UInt32 = 4
  package static let fork: UInt32 = 7
  package static let sample: UInt32 = 9
  package static let mapping: UInt32 = 10
}

/// Builds records. All are about process 7.
package struct RecordMaker {
  package var bytes: [UInt8] = []

  package init() {}

  package mutating func add<T: FixedWidthInteger>(_ values: T...) {
    for value in values {
      for byte in 0..<T.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> T(8 * byte))) }
    }
  }

  package mutating func add(text: String) {
    bytes += [UInt8](text.utf8) + [0]
    while bytes.count % 8 != 0 { bytes.append(0) }
  }

  /// Writes the header over the first 8 bytes.
  package func finished(type: UInt32, misc: UInt16 = 0) -> [UInt8] {
    var header = RecordMaker()
    header.add(type)
    header.add(misc, UInt16(bytes.count))
    return header.bytes + bytes[8...]
  }

  /// A side-band record: header, own fields, then pid/tid, time, cpu, identifier.
  package static func sideband(
    type: UInt32, misc: UInt16 = 0, pid: Int32 = 7, tid: Int32 = 8, time: UInt64 = 99,
    _ fields: (inout RecordMaker) -> Void
  ) -> [UInt8] {
    var maker = RecordMaker()
    maker.add(UInt64(0))
    fields(&maker)
    maker.add(pid, tid)
    maker.add(time, UInt64(0), UInt64(1))
    return maker.finished(type: type, misc: misc)
  }

  /// What stands before the part of a sample that differs.
  private static func begin(time: UInt64, identifier: UInt64) -> RecordMaker {
    var maker = RecordMaker()
    maker.add(UInt64(0), identifier, 0x1000)  // header, identifier, ip
    maker.add(Int32(7), 8)
    maker.add(time, 0)  // time, cpu
    return maker
  }

  /// A sample with a kernel chain, a raw part, registers and a stack. `registers` are in perf's order: ax bx cx dx
  /// si di bp sp ip, r8 to r15.
  package static func sample(
    kernel: [UInt64] = [0xffff_ffff_ffff_ff80, 0xffff_ffff_8100_0000], raw: [UInt8], abi: UInt64 = 2,
    registers: [UInt64] = Array(100...116), stack: [UInt8]? = Array(1...64), copied: UInt64? = nil,
    time: UInt64 = 1234
  ) -> [UInt8] {
    var maker = begin(time: time, identifier: 1)
    maker.add(UInt64(kernel.count))
    for address in kernel { maker.add(address) }
    var padded = raw
    while (padded.count + 4) % 8 != 0 { padded.append(0) }
    maker.add(UInt32(padded.count))
    maker.bytes += padded
    maker.add(abi)
    if abi != 0 {
      for register in registers { maker.add(register) }
      maker.add(UInt64(stack?.count ?? 0))
      if let stack {
        maker.bytes += stack
        maker.add(copied ?? UInt64(stack.count))
      }
    }
    return maker.finished(type: RecordType.sample)
  }

  /// A chain record of `entries` entries, all zero but its sizes and how it ended.
  package static func chain(entries: Int = 1, status: python_chain_status = PYTHON_CHAIN_WHOLE) -> [UInt8] {
    let size = MemoryLayout<python_chain_sample>.size + entries * MemoryLayout<python_chain_frame>.size
    var maker = RecordMaker()
    maker.add(PYTHON_CHAIN_SAMPLE.rawValue, UInt32(size), 0, status.rawValue, 0, UInt32(entries))
    maker.bytes += [UInt8](repeating: 0, count: size - maker.bytes.count)
    return maker.bytes
  }

  /// The names of a code object, all fives but the sizes.
  package static func names(identifier: UInt64 = 1) -> [UInt8] {
    var maker = begin(time: 1234, identifier: identifier)
    let size = MemoryLayout<python_chain_names>.size + 3
    maker.add(UInt32(size + 1))
    maker.add(PYTHON_CHAIN_NAMES.rawValue, UInt32(size))
    maker.bytes += [UInt8](repeating: 5, count: size - 8 + 1)
    return maker.finished(type: RecordType.sample)
  }

  package static let mapping = sideband(type: RecordType.mapping) { maker in
    maker.add(Int32(7), 8)
    maker.add(UInt64(0x7f00_0000_0000), 0x3000, 0x1000)
    maker.add(UInt32(8), 1)
    maker.add(UInt64(4711), 0)
    maker.add(UInt32(5), 2)
    maker.add(text: "/opt/é.so")
  }
  package static let command = sideband(type: RecordType.command, misc: 0x2000) { maker in
    maker.add(Int32(7), 8)
    maker.add(text: "python")
  }
  package static let fork = sideband(type: RecordType.fork) { maker in
    maker.add(Int32(7), 7, 12, 8)
    maker.add(UInt64(99))
  }
  package static let exit = sideband(type: RecordType.exit) { maker in
    maker.add(Int32(7), 7, 12, 8)
    maker.add(UInt64(99))
  }
  package static let lost = sideband(type: RecordType.lost) { $0.add(UInt64(1), 17) }
}
