// What a person sees on a terminal, kept as text: the good first minutes and each common mistake.
//
// The files of Tests/Snapshots are to be read as a newcomer reads the screen. To write them anew after a change of
// words: CADUCEUS_WRITE_SNAPSHOTS=1 make test TESTFLAGS='--filter SnapshotTests'; then read the difference.

import Foundation
import Testing

extension Live {
  @Suite struct SnapshotTests {
    private static let folder = URL(fileURLWithPath: Program.path("")).deletingLastPathComponent()
      .appendingPathComponent("Snapshots").path

    /// The screen without what differs from run to run: PIDs, numbers, times, names of temporary folders, and which
    /// functions the table lists.
    private func settled(
      _ seen: OnTerminal, _ command: [String], _ folder: Folder, _ interpreter: Interpreter
    )
      -> String
    {
      var lines = seen.screen.components(separatedBy: "\n")
      // The table's own rows, and those of its summary, are a matter of the machine.
      lines = lines.flatMap { line -> [String] in
        line.contains(#/^ +\d+/\d+ .*$/#)
          ? ["  (rows)"] : line.contains(#/^  [\d.]+x? .*: .*:.*\(.*$/#) ? ["  (words)"] : [line]
      }
      lines = lines.enumerated().filter { index, line in
        index == 0 || line != lines[index - 1] || !["  (rows)", "  (words)"].contains(line)
      }.map(\.element)
      // A busy machine may have more to say.
      lines.removeAll { $0.hasPrefix("Warning: missed ") }
      var text = lines.joined(separator: "\n")
      for (found, word) in [
        (Program.path("") + "/", "PROGRAMS/"), (folder.path, "FOLDER"), (Caduceus.path, "caduceus"),
        (interpreter.path, "/PATH/OF/python3"),
        ((interpreter.path as NSString).lastPathComponent + " ", "python3 "),
        ("CPython \(interpreter.version)", "CPython VERSION"),
        (Folder.base, "BASE"),
      ] { text = text.replacingOccurrences(of: found, with: word) }
      for (form, word) in [
        ("(?m)^Kept: .*$", "Kept: (counts)"), ("(?m)^( +nsamples.*)$", "(titles)"), ("PID [0-9]+", "PID N"),
        ("(pid|collapsed|process) ?\\.?[0-9]{2,}", "$1 N"),
        ("[0-9]+ MiB of rings", "N MiB of rings"),
        ("[0-9][0-9,]*\\.[0-9]+", "N.N"),
        ("\\b[0-9][0-9,]* (samples?|whole|with|periods?|throttled)", "N $1"),
        ("(known|sample missing|frame was gone) [0-9,]+", "$1 N"), ("situations-3\\.[0-9]+", "EXTENSION"),
        ("(tottime|cumtime) \\((s|ms|μs)\\)", "$1 (unit)"), ("N samples?\\b", "N samples"),
        ("N periods?", "N periods"),
      ] {
        text = text.replacingOccurrences(of: form, with: word, options: .regularExpression)
      }
      if command.contains("doctor") {
        // What is found is a matter of the machine; that it is looked at, and in which order, is not.
        text = text.replacingOccurrences(
          of: "(?m)^  (ok|note|problem) +([^:]+):.*$", with: "  (mark) $2: (finding)",
          options: .regularExpression)
        text = text.replacingOccurrences(
          of: "(?m)^ {6,}.*\\n", with: "", options: .regularExpression)
      }
      let shown = command.map { $0 == Caduceus.path ? "caduceus" : $0 }.joined(separator: " ")
        .replacingOccurrences(of: folder.path, with: "FOLDER")
        .replacingOccurrences(of: "[0-9]{2,}", with: "PID", options: .regularExpression)
      return "$ \(shown)\n\(text)[exit status \(seen.status)]\n"
    }

    private func check(_ name: String, _ text: String) throws {
      let path = "\(Self.folder)/\(name).txt"
      if ProcessInfo.processInfo.environment["CADUCEUS_WRITE_SNAPSHOTS"] != nil {
        try FileManager.default.createDirectory(atPath: Self.folder, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
        return
      }
      let expected = try String(contentsOfFile: path, encoding: .utf8)
      #expect(text == expected, "\(name) on the screen:\n\(text)\nkept:\n\(expected)")
    }

    /// Commands, with PID for a Python program that computes, CAT for a process without Python and GONE for none.
    static let situations: [(String, [String])] = [
      ("attach", ["attach", "-d", "1", "PID"]),
      ("attach-main-thread", ["-d", "1", "-l", "5", "--no-summary", "PID"]),
      ("attach-collapsed", ["attach", "-d", "1", "--collapsed", "-o", "FOLDER/stacks.txt", "PID"]),
      ("run-script", ["run", "FOLDER/script.py"]),
      (
        "run-collapsed",
        ["run", "--collapsed", "-o", "FOLDER/stacks.txt", "--", "python3", "FOLDER/script.py"]
      ),
      ("nothing", []),
      ("a-command-without-run", ["python3", "app.py"]),
      ("an-unknown-option", ["attach", "--colapsed", "PID"]),
      ("an-option-without-its-value", ["attach", "-o"]),
      ("a-wrong-value", ["attach", "--native", "yes", "PID"]),
      ("two-formats", ["attach", "--pstats", "--collapsed", "PID"]),
      ("a-table-option-for-stacks", ["attach", "--collapsed", "--sort-tottime", "PID"]),
      ("no-such-process", ["attach", "GONE"]),
      ("no-python", ["attach", "CAT"]),
      ("a-folder-that-is-not-there", ["attach", "-o", "FOLDER/missing/out.pstats", "PID"]),
      ("run-without-a-command", ["run"]),
      ("run-of-a-missing-command", ["run", "--", "FOLDER/missing"]),
      ("run-of-a-missing-script", ["run", "FOLDER/missing.py"]),
      ("doctor", ["doctor", "PID"]),
      ("doctor-no-python", ["doctor", "CAT"]),
      ("dump", ["dump", "PID"]),
      ("live", ["--live", "PID"]),
    ]

    @Test(arguments: situations) func onTheScreen(_ name: String, _ arguments: [String]) throws {
      let folder = try Folder()
      let interpreter = try Interpreter.any
      try FileManager.default.createDirectory(atPath: folder.file("bin"), withIntermediateDirectories: false)
      try FileManager.default.createSymbolicLink(
        atPath: folder.file("bin/python3"), withDestinationPath: interpreter.path)
      try Data(
        "import zlib\nfor _ in range(40): zlib.compress(bytes(range(256)) * 3000)\nprint('done')\n".utf8
      )
      .write(to: URL(fileURLWithPath: folder.file("script.py")))
      let cat = try Child(["/bin/cat"])
      let gone = try Child(["/bin/true"])
      _ = try gone.finish()
      let program = try Program("sandwich.py", ["60"], with: interpreter)
      program.go()
      let command =
        [Caduceus.path]
        + arguments.map { argument in
          switch argument {
          case "PID": "\(program.pid)"
          case "CAT": "\(cat.pid)"
          case "GONE": "\(gone.pid)"
          default: argument.replacingOccurrences(of: "FOLDER", with: folder.path)
          }
        }
      let path = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
      let seen = try OnTerminal(
        command, environment: ["PATH": folder.file("bin") + ":" + path], folder: folder.path)
      try check(name, settled(seen, command, folder, interpreter))
    }
  }
}
