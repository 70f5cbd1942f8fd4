// Readable names for C++ and Rust symbols.

internal import CDemangle
internal import Glibc

/// Longest name that is decoded, in bytes; longer ones stay as they are.
private let maximumMangledName = 8 << 10

/// The readable form of a C++ (`_Z…`) or Rust (legacy, `_ZN…17h<16 hexadecimal digits>E`) symbol; any other name,
/// and one that cannot be decoded, as it is. A suffix of a stub or of a part that the compiler split off
/// (`@plt`, `.cold`, `.part.0`, …) stays.
public func demangle(_ name: String) -> String {
  guard name.utf8.starts(with: "_Z".utf8), name.utf8.count <= maximumMangledName, !name.utf8.contains(0)
  else { return name }
  if name.hasSuffix("@plt") {
    let plain = String(name.dropLast(4))
    let readable = demangle(plain)
    return readable == plain ? name : readable + "@plt"
  }
  if let rust = RustName.decode(name) { return rust }
  var status: Int32 = 0
  guard let buffer = unsafe __cxa_demangle(name, nil, nil, &status) else { return name }
  defer { unsafe free(buffer) }
  return status == 0 ? unsafe String(cString: buffer) : name
}

/// Whether a symbol is of Rust's legacy mangling.
func isLegacyRust(_ symbol: String) -> Bool { RustName.decode(symbol) != nil }

/// Rust's legacy mangling: C++'s nested names, with a hash as the last part and `$…$` for what C++ has not.
private enum RustName {
  static func decode(_ name: String) -> String? {
    guard name.utf8.starts(with: "_ZN".utf8) else { return nil }
    let bytes = [UInt8](name.utf8)
    var at = 3
    var parts: [ArraySlice<UInt8>] = []
    while at < bytes.count, bytes[at] != 0x45 {
      var length = 0
      let digits = at
      while at < bytes.count, case let digit = Int(bytes[at]) - 0x30, (0...9).contains(digit), at - digits < 6
      {
        length = length * 10 + digit
        at += 1
      }
      guard at > digits, length > 0, length <= bytes.count - at else { return nil }
      parts.append(bytes[at..<at + length])
      at += length
    }
    // `E`, then nothing or the suffix of a clone (`.llvm.123`, `.cold`).
    guard at < bytes.count, at + 1 == bytes.count || bytes[at + 1] == 0x2E, let hash = parts.popLast(),
      !parts.isEmpty, isHash(hash), let readable = unescape(parts)
    else { return nil }
    let suffix = String(decoding: bytes[(at + 1)...], as: UTF8.self)
    return readable + (suffix.hasPrefix(".llvm.") ? "" : suffix)
  }

  private static func isHash(_ part: ArraySlice<UInt8>) -> Bool {
    part.count == 17 && part.first == 0x68
      && part.dropFirst().allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  private static func unescape(_ parts: [ArraySlice<UInt8>]) -> String? {
    var readable: [String] = []
    for part in parts {
      guard let text = unescape(part) else { return nil }
      readable.append(text)
    }
    return readable.joined(separator: "::")
  }

  private static func unescape(_ part: ArraySlice<UInt8>) -> String? {
    // A part that starts with an escape is written with `_` before it.
    var rest = part.starts(with: [0x5F, 0x24]) ? part.dropFirst() : part
    var text = ""
    while let byte = rest.first {
      if byte == 0x24 {
        guard let end = rest.dropFirst().firstIndex(of: 0x24),
          let character = escape(String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self))
        else { return nil }
        text.append(character)
        rest = rest[(end + 1)...]
      } else if byte == 0x2E {
        let isPair = rest.dropFirst().first == 0x2E
        text += isPair ? "::" : "."
        rest = rest.dropFirst(isPair ? 2 : 1)
      } else {
        let plain = rest.prefix { $0 != 0x24 && $0 != 0x2E }
        text += String(decoding: plain, as: UTF8.self)
        rest = rest[plain.endIndex...]
      }
    }
    return text
  }

  private static func escape(_ code: String) -> Character? {
    switch code {
    case "SP": return "@"
    case "BP": return "*"
    case "RF": return "&"
    case "LT": return "<"
    case "GT": return ">"
    case "LP": return "("
    case "RP": return ")"
    case "C": return ","
    default:
      guard code.utf8.first == 0x75, let value = UInt32(code.dropFirst(), radix: 16), value >= 0x20,
        value != 0x7F,
        let scalar = Unicode.Scalar(value)
      else { return nil }
      return Character(scalar)
    }
  }
}
