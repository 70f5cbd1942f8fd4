// Finds the source line of an instruction in a code object's location table.

/// The location table of 3.11 to 3.13 (`co_linetable`, Objects/locations.md, PEP 657).
///
/// An entry is a first byte `1cccclll` and its operands; it covers `l + 1` code units of 2 bytes.
/// Columns are skipped.
enum LineTable {
  /// What the table says about one instruction.
  enum Answer: Equatable {
    case line(Int32)
    /// The compiler made this instruction without a source line.
    case noLine
    /// The table ends before the instruction.
    case beyondTable
  }

  /// The answer for the instruction at `offset` bytes from the start of the code.
  static func line(at offset: Int, in table: [UInt8], firstLine: Int32) -> Answer {
    guard offset >= 0 else { return .line(firstLine) }
    var reader = Reader(table: table, line: firstLine)
    var start = 0
    while let entry = reader.next() {
      if offset < start + entry.bytes { return entry.hasLine ? .line(reader.line) : .noLine }
      start += entry.bytes
    }
    return .beyondTable
  }

  /// Bytes of code that the table covers, or nil where it is cut or malformed.
  static func coveredBytes(_ table: [UInt8]) -> Int? {
    var reader = Reader(table: table, line: 0)
    var covered = 0
    while let entry = reader.next() { covered += entry.bytes }
    return reader.isAtEnd ? covered : nil
  }

  private struct Reader {
    let table: [UInt8]
    var line: Int32
    var position = 0

    init(table: [UInt8], line: Int32) {
      self.table = table
      self.line = line
    }

    /// False after a malformed entry too: it stops there.
    var isAtEnd: Bool { position == table.count }

    mutating func next() -> (bytes: Int, hasLine: Bool)? {
      guard position < table.count, table[position] & 0x80 != 0 else { return nil }
      let start = position
      let head = table[position]
      position += 1
      let code = head >> 3 & 15
      guard skipOperands(of: code) else {
        position = start
        return nil
      }
      return ((Int(head & 7) + 1) * 2, code != 15)
    }

    /// Moves behind the operands and applies the entry's line step; false where the table ends in them.
    private mutating func skipOperands(of code: UInt8) -> Bool {
      switch code {
      case 15: return true
      case 13, 14:
        guard let step = varint() else { return false }
        let size = Int32(truncatingIfNeeded: step >> 1)
        line = step & 1 == 1 ? line &- size : line &+ size
        if code == 14 {
          for _ in 0..<3 where varint() == nil { return false }
        }
        return true
      default:
        if code >= 10 { line &+= Int32(code) - 10 }
        position += code >= 10 ? 2 : 1
        return position <= table.count
      }
    }

    /// 6 bits per byte, lowest first; bit 6 says that more follow.
    private mutating func varint() -> UInt32? {
      var value: UInt32 = 0
      var shift: UInt32 = 0
      while position < table.count, shift < 36 {
        let byte = table[position]
        position += 1
        value |= UInt32(byte & 63) << shift
        if byte & 64 == 0 { return value }
        shift += 6
      }
      return nil
    }
  }
}
