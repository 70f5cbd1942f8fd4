// Tells apart code objects that lived at one address one after the other.

import PythonChain

/// The fingerprint of a code object. Kernel/PythonChain computes the same in the interrupt.
///
/// 3.12 and later: `co_version`, which no two code objects share while it is not 0. 3.11 has no such number, nor
/// have the interpreter's own code objects: a mix of what distinguishes code objects in practice.
enum CodeFingerprint {
  /// No fingerprint: what could not be read.
  static let none: UInt64 = 0

  /// The fingerprint of the code object at `code` as it is now; 0 where it cannot be read.
  static func read(_ code: UInt64, with reader: ObjectReader) -> UInt64 {
    guard let header = reader.header(code) else { return none }
    return read(header, with: reader)
  }

  static func read(_ header: CodeHeader, with reader: ObjectReader) -> UInt64 {
    let hasVersions = reader.layout.code_version != 0
    if hasVersions, header.version != 0 { return UInt64(header.version) }
    let layout = reader.layout
    guard let hash: UInt64 = reader.memory.load(header.qualifiedName &+ UInt64(layout.unicode_hash)),
      let tableLength: UInt64 = reader.memory.load(header.lineTable &+ UInt64(layout.bytes_size)),
      tableLength < 1 << 30,
      let table = reader.memory.bytes(
        header.lineTable &+ UInt64(layout.bytes_value), count: min(64, Int(tableLength))),
      let file = reader.string(header.fileName)
    else { return none }
    let fileBytes = file.length * UInt64(file.kind)
    let kept = min(64, fileBytes)
    guard let tail = reader.memory.bytes(file.data &+ (fileBytes - kept), count: Int(kept)) else {
      return none
    }
    let mixed = mix(
      firstLine: UInt32(bitPattern: header.firstLine), codeUnits: header.codeUnits, nameHash: hash,
      tableLength: tableLength, table: table, fileLength: file.length, fileTail: tail)
    // PYTHON_CHAIN_HASHED
    return hasVersions ? mixed | 1 << 63 : mixed
  }

  /// The mix for 3.11.
  ///
  /// - Parameters:
  ///   - table: The first 64 bytes of the line table, or all.
  ///   - fileLength: Characters of the file name.
  ///   - fileTail: The last 64 bytes of its characters, or all.
  static func mix(
    firstLine: UInt32, codeUnits: UInt64, nameHash: UInt64, tableLength: UInt64, table: [UInt8],
    fileLength: UInt64, fileTail: [UInt8]
  ) -> UInt64 {
    var state: UInt64 = 0x5059_4331
    func add(_ value: UInt64) {
      state = (state ^ value) &* 0x9E37_79B9_7F4A_7C15
      state ^= state >> 29
    }
    func add(_ bytes: [UInt8]) {
      for word in 0..<8 {
        var value: UInt64 = 0
        for index in 0..<8 where word * 8 + index < bytes.count {
          value |= UInt64(bytes[word * 8 + index]) << UInt64(8 * index)
        }
        add(value)
      }
    }
    add(UInt64(firstLine))
    add(codeUnits)
    add(nameHash)
    add(tableLength)
    add(table)
    add(fileLength)
    add(fileTail)
    return state == none ? 1 : state
  }
}
