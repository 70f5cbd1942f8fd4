// Facts about a process and its threads that /proc says as text.

internal import Glibc

/// Reads what /proc says about one process. Nothing is kept: each answer is of the moment it is asked.
public struct ProcessFacts: Sendable {
  /// The process, as numbered in our own pid namespace.
  public let pid: Int32

  /// Reads nothing yet.
  public init(pid: Int32) { self.pid = pid }

  /// The arguments the process was started with (or has since written over them); empty for a zombie.
  public func commandLine() throws(ProcessReadError) -> [String] {
    var bytes = try ProcFile.read(path("cmdline"), limit: 4 << 20)
    if bytes.last == 0 { bytes.removeLast() }
    guard !bytes.isEmpty else { return [] }
    return bytes.split(separator: 0, omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  /// The process's name (at most 15 bytes), which may hold any character.
  public func comm() throws(ProcessReadError) -> String { try text("comm") }

  /// The name of one of its threads.
  public func comm(ofThread tid: Int32) throws(ProcessReadError) -> String { try text("task/\(tid)/comm") }

  /// Real user id.
  public func uid() throws(ProcessReadError) -> UInt32 {
    guard let first = try status("Uid").first, let uid = UInt32(exactly: first) else {
      throw .malformed(path: path("status"))
    }
    return uid
  }

  /// Real, effective, saved and file system user id; a zombie still has them.
  public func uids() throws(ProcessReadError) -> [UInt32] {
    try status("Uid").compactMap { UInt32(exactly: $0) }
  }

  /// Its pid in each nested pid namespace, ours first, its own last.
  public func namespacePids() throws(ProcessReadError) -> [Int32] {
    let pids = try status("NSpid").compactMap { Int32(exactly: $0) }
    guard !pids.isEmpty else { throw .malformed(path: path("status")) }
    return pids
  }

  /// Its pid as it knows it itself.
  public func ownPid() throws(ProcessReadError) -> Int32 { try namespacePids().last ?? pid }

  /// A thread's id as the process knows it itself.
  public func ownTid(ofThread tid: Int32) throws(ProcessReadError) -> Int32 {
    let file = "task/\(tid)/status"
    guard let own = try status("NSpid", in: file).last, let result = Int32(exactly: own) else {
      throw .malformed(path: path(file))
    }
    return result
  }

  /// The address of the bottom of the main thread's stack (field 28 of stat(5)); 0 where we may not know.
  public func startStack() throws(ProcessReadError) -> UInt64 { try statField(28) }

  /// The process that started it, or that took it over; 0 where that is outside our pid namespace (field 4).
  public func parent() throws(ProcessReadError) -> Int32 { Int32(truncatingIfNeeded: try statField(4)) }

  /// Where its own memory holds the environment it was started with (fields 50 and 51); empty where we may not know.
  public func initialEnvironmentRange() throws(ProcessReadError) -> Range<UInt64> {
    let (start, end) = (try statField(50), try statField(51))
    return start < end ? start..<end : 0..<0
  }

  /// The environment it was started with, each variable up to a zero byte. `.malformed` when it is longer than
  /// 8 MiB; execve(2) takes 6 MiB at most.
  public func initialEnvironment() throws(ProcessReadError) -> [UInt8] {
    try ProcFile.read(path("environ"), limit: 8 << 20)
  }

  /// When the process started, in clock ticks after boot (field 22): with the pid an identity.
  public func startTime() throws(ProcessReadError) -> UInt64 { try statField(22) }

  /// CPU time in the kernel of all threads there ever were, in clock ticks (field 15).
  public func systemTime() throws(ProcessReadError) -> UInt64 { try statField(15) }

  /// CPU time of all threads there ever were, in clock ticks (fields 14 and 15).
  public func ownTime() throws(ProcessReadError) -> UInt64 { try statField(14) &+ statField(15) }

  /// CPU time of child processes that it has waited for, and of those they had, in clock ticks (fields 16 and 17).
  public func waitedTime() throws(ProcessReadError) -> UInt64 { try statField(16) &+ statField(17) }

  /// Path of the program's file; nil where it is gone, or we may not know.
  public func program() -> String? {
    var target = [CChar](repeating: 0, count: 4096)
    let length = unsafe readlink(path("exe"), &target, target.count)
    guard length > 0 else { return nil }
    return String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// True for a thread of the kernel's own (PF_KTHREAD of include/linux/sched.h in field 9 of stat(5)).
  public func isKernelThread() throws(ProcessReadError) -> Bool { try statField(9) & 0x20_0000 != 0 }

  /// The ids of its threads, in ascending order, in our own pid namespace.
  public func threads() throws(ProcessReadError) -> [Int32] { try Self.numbers(in: path("task")) }

  /// The ids of all processes that we can see, in ascending order.
  public static func processes() -> [Int32] { (try? numbers(in: "/proc")) ?? [] }

  /// The names in a folder that are numbers.
  private static func numbers(in path: String) throws(ProcessReadError) -> [Int32] {
    guard let directory = unsafe opendir(path) else { throw ProcFile.failure(path, errno) }
    defer { unsafe closedir(directory) }
    var found: [Int32] = []
    while let entry = unsafe readdir(directory) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe bytes.prefix { $0 != 0 }.map { $0 }
      }
      var cursor = TextCursor(name)
      if let value = cursor.decimal(), cursor.isAtEnd, let number = Int32(exactly: value) {
        found.append(number)
      }
    }
    return found.sorted()
  }

  /// Device and inode of its pid namespace, as bpf_get_ns_current_pid_tgid wants them.
  public func pidNamespace() throws(ProcessReadError) -> (device: UInt64, inode: UInt64) {
    let path = path("ns/pid")
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { throw ProcFile.failure(path, errno) }
    return (UInt64(status.st_dev), UInt64(status.st_ino))
  }

  private func path(_ name: String) -> String { "/proc/\(pid)/\(name)" }

  private func text(_ name: String) throws(ProcessReadError) -> String {
    var bytes = try ProcFile.read(path(name))
    if bytes.last == 0x0A { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func statField(_ number: Int) throws(ProcessReadError) -> UInt64 {
    let path = path("stat")
    guard let value = StatLine.field(number, of: try ProcFile.read(path)) else {
      throw .malformed(path: path)
    }
    return value
  }

  private func status(_ key: String, in file: String = "status") throws(ProcessReadError) -> [UInt64] {
    StatusText.numbers(key, in: try ProcFile.read(path(file)))
  }
}

/// /proc/PID/stat: one line of fields.
enum StatLine {
  /// Field `number` (from 1, as stat(5) counts; 4 or later) where it is a number that is not negative. The name,
  /// field 2, may hold blanks and parentheses: the fields are counted from its last one.
  static func field(_ number: Int, of line: [UInt8]) -> UInt64? {
    guard number >= 4, let close = line.lastIndex(of: 0x29) else { return nil }
    let fields = line[(close + 1)...].split(whereSeparator: { $0 == 0x20 || $0 == 0x0A })
    guard number - 3 < fields.count else { return nil }
    var cursor = TextCursor([UInt8](fields[number - 3]))
    guard let value = cursor.decimal(), cursor.isAtEnd else { return nil }
    return value
  }
}

/// /proc/PID/status: lines of `Key:\tvalue`.
enum StatusText {
  /// The numbers after `key`; empty where there is no such line. The kernel escapes a newline in a name, so no
  /// name can look like another line.
  static func numbers(_ key: String, in text: [UInt8]) -> [UInt64] {
    let start = [UInt8]((key + ":").utf8)
    var cursor = TextCursor(text)
    while !cursor.isAtEnd {
      let line = text[cursor.line()]
      guard line.starts(with: start) else { continue }
      var values = TextCursor([UInt8](line.dropFirst(start.count)))
      var numbers: [UInt64] = []
      values.skipBlanks()
      while let number = values.decimal() {
        numbers.append(number)
        values.skipBlanks()
      }
      return numbers
    }
    return []
  }
}
