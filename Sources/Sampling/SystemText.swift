// Small text files of /proc and /sys.

import Glibc

/// Reads what the kernel says about the machine and about this process.
enum SystemText {
  /// A file's text, at most 64 KiB of it, without the newlines at its end; nil where it cannot be read.
  static func read(_ path: String) -> String? {
    guard let file = unsafe fopen(path, "re") else { return nil }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    if count == 0, unsafe ferror(file) != 0 { return nil }
    bytes.removeLast(bytes.count - count)
    while bytes.last == 0x0A { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The value of a line `key: value` of /proc/self/status.
  static func ownStatus(_ key: String) -> String? { value(of: key, in: read("/proc/self/status") ?? "") }

  /// The value of the first line `key: value` of a text, without the blanks around it.
  static func value(of key: String, in text: String) -> String? {
    for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
      let value = line.dropFirst(key.utf8.count + 1).drop { $0 == " " || $0 == "\t" }
      return String(value)
    }
    return nil
  }
}
