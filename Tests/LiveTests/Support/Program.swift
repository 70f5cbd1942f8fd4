// The programs of Tests/Programs as targets.

import Foundation

/// A test program that waits at its gate.
struct Program {
  let child: Child

  /// Starts a program of Tests/Programs and waits until it is at its gate.
  init(_ name: String, _ arguments: [String] = [], with interpreter: Interpreter) throws {
    child = try Child(Self.command(name, arguments, with: interpreter))
    let line = try child.line()
    guard line.hasPrefix("ready ") else { throw LiveError("\(name) said \(line) instead of ready") }
  }

  var pid: Int32 { child.pid }

  /// Opens the gate.
  func go() { child.send("go\n") }

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

  /// Path of a file of Tests/Programs.
  static func path(_ name: String) -> String {
    let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    return tests.appendingPathComponent("Programs").appendingPathComponent(name).path
  }
}
