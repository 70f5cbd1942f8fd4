// A cursor over the text files of /proc: numbers, separators, rest of the line. It never reads past the end.

struct TextCursor {
  let bytes: [UInt8]
  var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  var isAtEnd: Bool { position >= bytes.count }

  var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  /// Takes `byte` if it is next.
  mutating func skip(_ byte: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == byte else { return false }
    position += 1
    return true
  }

  /// Takes blanks and tabs.
  mutating func skipBlanks() {
    while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
  }

  /// Takes everything up to and with the next newline; the range is without it.
  mutating func line() -> Range<Int> {
    let start = position
    while position < bytes.count, bytes[position] != 0x0A { position += 1 }
    let end = position
    if position < bytes.count { position += 1 }
    return start..<end
  }

  /// Takes bytes up to a blank or a newline.
  mutating func word() -> Range<Int> {
    let start = position
    while position < bytes.count, bytes[position] > 0x20 { position += 1 }
    return start..<position
  }

  /// A hexadecimal number without a prefix; nil where there is no digit or it has more than 64 bits.
  mutating func hexadecimal() -> UInt64? {
    let start = position
    var value: UInt64 = 0
    while position < bytes.count {
      let byte = bytes[position]
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte &- 0x30
      case 0x61...0x66: digit = byte &- 0x57
      case 0x41...0x46: digit = byte &- 0x37
      default: return position > start ? value : nil
      }
      guard value >> 60 == 0 else { return nil }
      value = (value << 4) | UInt64(digit)
      position += 1
    }
    return position > start ? value : nil
  }

  /// A decimal number; nil where there is no digit or it has more than 64 bits.
  mutating func decimal() -> UInt64? {
    let start = position
    var value: UInt64 = 0
    while position < bytes.count, case let digit = bytes[position] &- 0x30, digit < 10 {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
      guard !overflow, !carry else { return nil }
      value = sum
      position += 1
    }
    return position > start ? value : nil
  }

  func string(_ range: Range<Int>) -> String {
    String(decoding: bytes[range], as: UTF8.self)
  }
}
