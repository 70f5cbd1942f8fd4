// Turns the characters of a Python string into Swift text.

/// Characters of a `str` as CPython stores them (Include/cpython/unicodeobject.h, PEP 393).
enum UnicodeText {
  /// Longer names are cut to this many characters.
  static let characterLimit = 4096

  /// The text of `bytes`, `kind` bytes per character, or nil where they cannot be a Python string.
  ///
  /// Lone surrogates, which Python allows, become `\udXXX`; a rest shorter than one character is ignored.
  static func decode(_ bytes: some RandomAccessCollection<UInt8>, kind: Int) -> String? {
    guard kind == 1 || kind == 2 || kind == 4 else { return nil }
    var text = String.UnicodeScalarView()
    text.reserveCapacity(bytes.count / kind)
    var value: UInt32 = 0
    var filled = 0
    for byte in bytes {
      value |= UInt32(byte) << UInt32(8 * filled)
      filled += 1
      guard filled == kind else { continue }
      if let scalar = Unicode.Scalar(value) {
        text.append(scalar)
      } else if value >= 0xd800, value <= 0xdfff {
        text.append(contentsOf: "\\u\(String(value, radix: 16))".unicodeScalars)
      } else {
        return nil
      }
      value = 0
      filled = 0
    }
    return String(text)
  }
}

/// The state word of a `PyASCIIObject`: kind in bits 2-4, compact in bit 5, ascii in bit 6; the same in the
/// GIL builds of 3.11, 3.12 and 3.13 (Include/cpython/unicodeobject.h).
struct UnicodeState {
  let word: UInt32

  /// Bytes per character.
  var kind: Int { Int(word >> 2 & 7) }
  var isCompact: Bool { word >> 5 & 1 == 1 }
  var isASCII: Bool { word >> 6 & 1 == 1 }
  /// True for a string whose characters follow its header.
  var isReadable: Bool { isCompact && (kind == 1 || kind == 2 || kind == 4) }
}
