// Equality of names as Python and the file system know it: byte by byte.

/// A string that equals only the same bytes. `String` also equals other spellings of the same characters, such as a
/// letter with its accent in one code point and in two; these are different names of files and functions.
public struct ExactString: Hashable, Sendable {
  /// The string itself.
  public let text: String

  /// A string to be compared by its bytes.
  public init(_ text: String) { self.text = text }

  /// Whether both have the same bytes.
  public static func == (left: ExactString, right: ExactString) -> Bool {
    left.text.utf8.elementsEqual(right.text.utf8)
  }

  /// Feeds the bytes.
  public func hash(into hasher: inout Hasher) {
    for byte in text.utf8 { hasher.combine(byte) }
    hasher.combine(0xFF as UInt8)
  }
}
