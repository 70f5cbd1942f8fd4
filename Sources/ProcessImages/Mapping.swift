// What is mapped where in a process: /proc/PID/maps.

/// One line of /proc/PID/maps, or what an MMAP2 record says.
public struct Mapping: Hashable, Sendable {
  /// First address of the mapping.
  public var start: UInt64
  /// First address after it.
  public var end: UInt64
  /// Offset in the file of the byte at `start`, in bytes; 0 where there is no file.
  public var fileOffset: UInt64
  /// PROT_READ.
  public var isReadable: Bool
  /// PROT_WRITE.
  public var isWritable: Bool
  /// PROT_EXEC.
  public var isExecutable: Bool
  /// Device of the file, as /proc/PID/maps says it.
  public var deviceMajor: UInt32
  /// Device of the file, as /proc/PID/maps says it.
  public var deviceMinor: UInt32
  /// 0 where there is no file.
  public var inode: UInt64
  /// The path as the kernel says it, with its ` (deleted)`; `[vdso]`, `[stack]`, ... for special areas; empty
  /// for anonymous memory. Bytes that are not UTF-8 are replaced: open files with `TargetFile`, not by this.
  public var path: String

  /// A mapping from its parts; everything that is not given is 0, false or empty.
  public init(
    start: UInt64, end: UInt64, fileOffset: UInt64 = 0, isReadable: Bool = true, isWritable: Bool = false,
    isExecutable: Bool = false, deviceMajor: UInt32 = 0, deviceMinor: UInt32 = 0, inode: UInt64 = 0,
    path: String = ""
  ) {
    self.start = start
    self.end = end
    self.fileOffset = fileOffset
    self.isReadable = isReadable
    self.isWritable = isWritable
    self.isExecutable = isExecutable
    self.deviceMajor = deviceMajor
    self.deviceMinor = deviceMinor
    self.inode = inode
    self.path = path
  }

  /// Whether `address` lies in the mapping.
  public func contains(_ address: UInt64) -> Bool { address >= start && address < end }

  /// Whether a file lies behind the mapping (not `[vdso]`, `//anon` or anonymous memory).
  public var hasFile: Bool { inode != 0 && path.utf8.first == 0x2F && !path.utf8.starts(with: "//anon".utf8) }

  /// The path without the kernel's ` (deleted)`.
  public var filePath: String {
    path.hasSuffix(" (deleted)") ? String(path.dropLast(10)) : path
  }
}

/// Reads /proc/PID/maps.
public enum ProcessMaps {
  /// All mappings of a process, by address. A process without memory (zombie, kernel thread) has none.
  public static func read(_ pid: Int32) throws(ProcessReadError) -> [Mapping] {
    parse(try ProcFile.read("/proc/\(pid)/maps", limit: 64 << 20))
  }

  /// The mappings in the text of a maps file. A line that is not of the documented form is left out.
  public static func parse(_ text: [UInt8]) -> [Mapping] {
    var cursor = TextCursor(text)
    var mappings: [Mapping] = []
    mappings.reserveCapacity(text.count / 100)
    while !cursor.isAtEnd {
      let lineStart = cursor.position
      if let mapping = parseLine(&cursor) {
        mappings.append(mapping)
      } else {
        cursor.position = lineStart
        _ = cursor.line()
      }
    }
    return mappings
  }

  private static func parseLine(_ cursor: inout TextCursor) -> Mapping? {
    guard let start = cursor.hexadecimal(), cursor.skip(0x2D), let end = cursor.hexadecimal(), start <= end,
      cursor.skip(0x20), let flags = parseFlags(&cursor), cursor.skip(0x20),
      let offset = cursor.hexadecimal(), cursor.skip(0x20),
      let major = cursor.hexadecimal(), cursor.skip(0x3A), let minor = cursor.hexadecimal(),
      cursor.skip(0x20),
      let deviceMajor = UInt32(exactly: major), let deviceMinor = UInt32(exactly: minor),
      let inode = cursor.decimal()
    else { return nil }
    // The kernel pads with blanks up to the path's column; a path itself starts with `/` or `[`.
    cursor.skipBlanks()
    let range = cursor.line()
    return Mapping(
      start: start, end: end, fileOffset: offset, isReadable: flags.0, isWritable: flags.1,
      isExecutable: flags.2,
      deviceMajor: deviceMajor, deviceMinor: deviceMinor, inode: inode,
      path: range.isEmpty ? "" : unescaped(cursor.bytes[range]))
  }

  private static func parseFlags(_ cursor: inout TextCursor) -> (Bool, Bool, Bool)? {
    guard cursor.position + 4 <= cursor.bytes.count else { return nil }
    let flags = cursor.bytes[cursor.position..<cursor.position + 4]
    guard flags.allSatisfy({ $0 == 0x2D || ($0 >= 0x61 && $0 <= 0x7A) }) else { return nil }
    let first = flags.startIndex
    cursor.position += 4
    return (flags[first] == 0x72, flags[first + 1] == 0x77, flags[first + 2] == 0x78)
  }

  /// The kernel writes a newline in a path as `\012` and escapes nothing else.
  private static func unescaped(_ path: ArraySlice<UInt8>) -> String {
    guard path.contains(0x5C) else { return String(decoding: path, as: UTF8.self) }
    var plain: [UInt8] = []
    var index = path.startIndex
    while index < path.endIndex {
      if path[index...].starts(with: [0x5C, 0x30, 0x31, 0x32]) {
        plain.append(0x0A)
        index += 4
      } else {
        plain.append(path[index])
        index += 1
      }
    }
    return String(decoding: plain, as: UTF8.self)
  }
}
