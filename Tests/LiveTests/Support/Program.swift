// The programs of Tests/Programs as targets.

import Foundation

/// A test program that waits at its gate.
struct Program {
  let child: Child
  /// The target's own clock, and what was nobody's, when the gate was reached: what is sampled comes after it.
  private let cpuAtGate: Double
  private let elsewhereAtGate: Elsewhere

  /// Starts a program of Tests/Programs, behind a command that changes who runs it, and waits until it is at its
  /// gate.
  init(_ name: String, _ arguments: [String] = [], with interpreter: Interpreter, as identity: [String] = [])
    throws
  {
    var command = try Self.command(name, arguments, with: interpreter)
    if !identity.isEmpty { command[1] = try Self.publicPath(name) }
    child = try Child(identity + command)
    let line = try child.line()
    guard line.hasPrefix("ready ") else { throw LiveError("\(name) said \(line) instead of ready") }
    cpuAtGate = try child.cpuTime()
    elsewhereAtGate = try Elsewhere.now()
  }

  var pid: Int32 { child.pid }
  /// Nanoseconds of CPU time that it had used at its gate.
  var cpuAtStart: Double { cpuAtGate }

  /// Opens the gate.
  func go() { child.send("go\n") }

  /// The measure of a run that sampled the program from its gate to its end, which must have come. `microseconds`:
  /// between two interrupts.
  func pace(_ ledger: LedgerReport, every microseconds: Double = 1000) throws -> Pace {
    guard child.hasEnded else { throw LiveError("\(child.command) has not ended") }
    return try Pace(
      period: microseconds * 1000, own: child.usedCPU - cpuAtGate,
      elsewhere: Elsewhere.now().most(since: elsewhereAtGate), ledger: ledger)
  }

  /// Waits for the program's end and gives its last line, JSON.
  func result<Report: Decodable>(_ type: Report.Type, within seconds: Double = 120) throws -> Report {
    let finished = try child.finish(within: seconds)
    guard finished.status == 0, let line = finished.outputText.split(separator: "\n").last else {
      throw LiveError("\(child.command.joined(separator: " ")): \(finished.description)")
    }
    return try JSONDecoder().decode(type, from: Data(line.utf8))
  }

  /// The command that runs a program of Tests/Programs.
  static func command(_ name: String, _ arguments: [String] = [], with interpreter: Interpreter) throws
    -> [String]
  {
    [interpreter.path, path(name), "--extension", try interpreter.extensionFolder()] + arguments
  }

  /// Path of a copy that everybody can read: the sources may lie below somebody's home.
  static func publicPath(_ name: String) throws -> String {
    let folder = Folder.base + "/programs"
    if !FileManager.default.fileExists(atPath: folder) {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      for program in try FileManager.default.contentsOfDirectory(atPath: path(""))
      where program.hasSuffix(".py") {
        try Data(contentsOf: URL(fileURLWithPath: path(program))).write(
          to: URL(fileURLWithPath: folder + "/" + program))
      }
      unsafe chmod(folder, 0o755)
    }
    return folder + "/" + name
  }

  /// Path of a file of Tests/Programs.
  static func path(_ name: String) -> String {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return tests.appendingPathComponent("Programs").appendingPathComponent(name).path
  }
}
