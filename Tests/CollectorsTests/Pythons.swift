// Finds the Python interpreters of this machine and runs small programs with them.

import Foundation
import Testing

/// An interpreter that runs.
struct Python: Sendable, CustomTestStringConvertible {
  let path: String
  let version: String

  var testDescription: String { "CPython \(version)" }

  /// What a program wrote.
  struct Output {
    let status: Int32
    let standardOutput: String
    let standardError: String
  }

  /// Runs a program with `input`; the output is UTF-8 whatever the locale.
  func run(_ arguments: [String], input: String = "") throws -> Output {
    let folder = try TemporaryFolder()
    let files = ["in", "out", "err"].map { URL(fileURLWithPath: folder.path + "/" + $0) }
    for file in files { try Data(file.lastPathComponent == "in" ? Array(input.utf8) : []).write(to: file) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    var environment = ProcessInfo.processInfo.environment
    for name in environment.keys where name.hasPrefix("PYTHON") { environment[name] = nil }
    environment["PYTHONIOENCODING"] = "utf-8"
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    process.environment = environment
    process.standardInput = try FileHandle(forReadingFrom: files[0])
    process.standardOutput = try FileHandle(forWritingTo: files[1])
    process.standardError = try FileHandle(forWritingTo: files[2])
    try process.run()
    process.waitUntilExit()
    return Output(
      status: process.terminationStatus,
      standardOutput: String(decoding: try Data(contentsOf: files[1]), as: UTF8.self),
      standardError: String(decoding: try Data(contentsOf: files[2]), as: UTF8.self))
  }

  /// Path of a program of the test suite.
  static func program(_ name: String) -> String { tests + "/Programs/" + name }

  /// The folder of all tests.
  static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .path

  /// Every CPython in the search path and among pyenv's, each once, oldest first.
  static let all: [Python] = {
    let environment = ProcessInfo.processInfo.environment
    let files = FileManager.default
    var candidates: [String] = []
    for folder in (environment["PATH"] ?? "").split(separator: ":").map(String.init) {
      let names = (try? files.contentsOfDirectory(atPath: folder)) ?? []
      candidates += names.sorted().filter { isInterpreterName($0) }.map { folder + "/" + $0 }
    }
    let roots = [environment["PYENV_ROOT"], environment["HOME"].map { $0 + "/.pyenv" }]
    for versions in Set(roots.compactMap { $0 }.map { $0 + "/versions" }) {
      let names = (try? files.contentsOfDirectory(atPath: versions)) ?? []
      candidates += names.sorted().map { versions + "/" + $0 + "/bin/python" }
    }
    var found: [String: Python] = [:]
    for candidate in candidates where files.isExecutableFile(atPath: candidate) {
      if let python = probe(candidate) { found[python.path] = python }
    }
    return found.values.sorted { $0.version.compare($1.version, options: .numeric) == .orderedAscending }
  }()

  /// The newest of `all`: the one that runs oracles.
  static var newest: Python? { all.last }

  /// The interpreter that has the readers of `readers-requirements.txt`.
  static var readers: Python? {
    ProcessInfo.processInfo.environment["CADUCEUS_READERS_PYTHON"].map { Python(path: $0, version: "") }
  }

  /// CPython 3.15 or later, which has a sampling profiler of its own (`profiling.sampling`).
  static var withSampling: Python? {
    ProcessInfo.processInfo.environment["CADUCEUS_PYTHON315"].map { Python(path: $0, version: "3.15") }
  }

  /// Why a test that needs `withSampling` does not run.
  static let withoutSampling: Comment =
    "CADUCEUS_PYTHON315 does not name a CPython 3.15 (fetch_newer_python.sh)"

  static var isRequired: Bool { ProcessInfo.processInfo.environment["CI"] != nil }

  /// `python3`, `python2.7` and the like, but not `python3-config`.
  private static func isInterpreterName(_ name: String) -> Bool {
    guard name.hasPrefix("python2") || name.hasPrefix("python3") else { return false }
    return name.dropFirst("python".count).allSatisfy { $0.isNumber || $0 == "." || $0 == "t" }
  }

  /// The interpreter behind `path`, which may be a shim that leads nowhere.
  private static func probe(_ path: String) -> Python? {
    let program = """
      import os, platform, sys
      print(platform.python_implementation())
      print(platform.python_version())
      print(os.path.realpath(sys.executable))
      """
    guard let output = try? Python(path: path, version: "").run(["-c", program]), output.status == 0 else {
      return nil
    }
    let lines = output.standardOutput.split(separator: "\n").map(String.init)
    guard lines.count == 3, lines[0] == "CPython" else { return nil }
    return Python(path: lines[2], version: lines[1])
  }
}

/// A folder of its own for one test, removed at its end.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "caduceus-test-" + UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
