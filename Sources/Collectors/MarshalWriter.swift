// The part of CPython's marshal format that profile files need, in the codes every CPython since 2.7 reads.

/// Appends marshalled values. Only codes without references are used: newer codes (`z`, `Z`, `)`, the
/// reference flag) are smaller but unknown to 2.7.
struct MarshalWriter {
  private(set) var bytes: [UInt8] = []

  private mutating func append(code: Unicode.Scalar) {
    bytes.append(UInt8(truncatingIfNeeded: code.value))
  }

  private mutating func append<T: FixedWidthInteger>(_ value: T) {
    for shift in stride(from: 0, to: T.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> T(shift)))
    }
  }

  /// Keys and values follow in turn; `endDictionary` ends it.
  mutating func beginDictionary() { append(code: "{") }

  mutating func endDictionary() { append(code: "0") }

  /// `count` values follow.
  mutating func beginTuple(count: Int32) {
    append(code: "(")
    append(count)
  }

  mutating func append(string: String) {
    append(code: "u")
    append(Int32(clamping: string.utf8.count))
    bytes.append(contentsOf: string.utf8.prefix(Int(Int32.max)))
  }

  mutating func appendTrue() { append(code: "T") }

  /// A 32-bit integer where it fits, otherwise one of 15-bit digits.
  mutating func append(integer: UInt64) {
    if let small = Int32(exactly: integer) {
      append(code: "i")
      append(small)
      return
    }
    append(code: "l")
    let digits = (UInt64.bitWidth - integer.leadingZeroBitCount + 14) / 15
    append(Int32(digits))
    for digit in 0..<digits { append(UInt16(truncatingIfNeeded: integer >> UInt64(15 * digit)) & 0x7FFF) }
  }

  mutating func append(double: Double) {
    append(code: "g")
    append(double.bitPattern)
  }
}
