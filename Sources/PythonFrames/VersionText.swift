// Finds the release in the text that an interpreter keeps of itself.

import ProcessImages

/// The text of `Py_GetVersion` (Python/getversion.c): "3.8.18 (default, ...) [GCC ...]", preceded by a zero.
enum VersionText {
  /// Bytes searched of one segment.
  static let limit: UInt64 = 16 << 20
  private static let chunk: UInt64 = 1 << 20
  /// A text that crosses a chunk's end is found in the next one, which starts this much earlier.
  private static let overlap: UInt64 = 512

  /// The first release text in `range` of the process's memory.
  static func search(_ range: Range<UInt64>, in memory: any ByteSource) -> PythonVersion? {
    let end = min(range.upperBound, range.lowerBound &+ limit)
    var start = range.lowerBound
    while start < end {
      let count = min(chunk, end - start)
      if let bytes = memory.bytes(start, count: Int(count)), let version = search(bytes) { return version }
      guard count == chunk else { return nil }
      start += chunk - overlap
    }
    return nil
  }

  /// The first release text in `bytes`. "3.x.y" alone is not enough: other libraries keep such numbers too.
  static func search(_ bytes: [UInt8]) -> PythonVersion? {
    for index in bytes.indices where bytes[index] == 0 {
      guard index + 1 < bytes.count, bytes[index + 1] == 0x32 || bytes[index + 1] == 0x33 else { continue }
      if let version = parse(bytes[(index + 1)...].prefix { $0 != 0 }) { return version }
    }
    return nil
  }

  private static func parse(_ text: ArraySlice<UInt8>) -> PythonVersion? {
    guard text.count < 400 else { return nil }
    // 3.12.0rc1+ (main, Jan  1 2026, 00:00:00) [GCC 12.2.0]
    // Releases before 3.10 have a newline before the bracket.
    let string = String(decoding: text, as: UTF8.self)
    guard string.contains(" ("), string.contains(") [") || string.contains(") \n[") else { return nil }
    return parseNumbers(string)
  }

  private static func parseNumbers(_ string: String) -> PythonVersion? {
    let parts = string.prefix { $0 != " " }.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let major = UInt32(parts[0]), let minor = UInt32(parts[1]),
      let micro = UInt32(parts[2].prefix { $0.isASCII && $0.isNumber }), minor < 256, micro < 256
    else { return nil }
    return PythonVersion(major: major, minor: minor, micro: micro)
  }
}
