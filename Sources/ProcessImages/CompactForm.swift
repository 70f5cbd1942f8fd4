// The binary form of recordings: numbers as LEB128, blocks of bytes with their length before them.

/// Why a recording cannot be read.
public enum RecordingError: Error, Equatable, Sendable {
  /// The bytes end too early.
  case truncated
  /// A number or a range is impossible, or something follows the end.
  case malformed
}

/// Writes the binary form.
package struct CompactWriter {
  /// What has been written.
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func number(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  package mutating func block(_ block: [UInt8]) {
    number(UInt64(block.count))
    bytes += block
  }

  package mutating func text(_ text: String) { block([UInt8](text.utf8)) }
}

/// Reads the binary form.
package struct CompactReader {
  private let bytes: [UInt8]
  private var position = 0

  package init(_ bytes: [UInt8]) { self.bytes = bytes }

  package var isAtEnd: Bool { position == bytes.count }

  package mutating func number() throws(RecordingError) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard position < bytes.count else { throw .truncated }
      let byte = bytes[position]
      position += 1
      guard shift < 63 || byte <= 1 else { throw .malformed }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    throw .malformed
  }

  package mutating func block() throws(RecordingError) -> [UInt8] {
    guard let count = Int(exactly: try number()), count <= bytes.count - position else { throw .truncated }
    defer { position += count }
    return [UInt8](bytes[position..<position + count])
  }

  package mutating func text() throws(RecordingError) -> String {
    String(decoding: try block(), as: UTF8.self)
  }
}
