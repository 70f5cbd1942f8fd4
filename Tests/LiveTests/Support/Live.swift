// The suite that holds every live test, and what such a test needs from the machine.

import Foundation
import Testing

/// Every live test: real processes under the real kernel. One after the other, because what is measured is CPU
/// time and interrupts. Each file adds its suite in an extension, so that it inherits the order and the condition.
@Suite(.serialized, .enabled(if: Machine.canSample || Machine.isCI, Comment(rawValue: Machine.missing)))
enum Live {}

/// What this machine allows.
enum Machine {
  /// In CI nothing is skipped: what is missing fails.
  static let isCI = ProcessInfo.processInfo.environment["CI"] != nil

  /// Why live tests are skipped.
  static let missing =
    "live tests need root, or CAP_PERFMON, CAP_BPF and CAP_SYS_PTRACE, and a kernel with /sys/kernel/btf/vmlinux"

  static let canSample: Bool = {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("CapEff:") }),
      let effective = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
    else { return false }
    func has(_ bit: UInt64) -> Bool { effective >> bit & 1 == 1 }
    // linux/capability.h: PTRACE 19, ADMIN 21, PERFMON 38, BPF 39.
    return has(19) && (has(21) || (has(38) && has(39)))
      && FileManager.default.isReadableFile(atPath: "/sys/kernel/btf/vmlinux")
  }()

  /// An interpreter with numpy.
  static let numpyPython = ProcessInfo.processInfo.environment["CADUCEUS_NUMPY_PYTHON"]

  /// For tests that change their identity.
  static let isRoot = geteuid() == 0

  static func setting(_ name: String) -> String {
    let path = "/proc/sys/" + name.replacingOccurrences(of: ".", with: "/")
    let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? "?"
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// Path of a program in PATH.
  static func find(_ program: String) -> String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(program)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

/// A failure of the test's own machinery, with everything that helps to understand it.
struct LiveError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// A folder of one test, removed when the test ends. Anybody may enter it: tests change their identity.
final class Folder {
  let path: String

  init() throws {
    path = Self.base + "/" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    unsafe chmod(path, 0o755)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func file(_ name: String) -> String { path + "/" + name }

  func text(_ name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }

  var contents: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

  /// The folder of this run of the tests, removed at its end.
  static let base: String = {
    let path = FileManager.default.temporaryDirectory.path + "/caduceus-live-\(getpid())"
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    unsafe chmod(path, 0o755)
    atexit { try? FileManager.default.removeItem(atPath: Folder.base) }
    return path
  }()
}
