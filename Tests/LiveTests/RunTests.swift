// `caduceus run`: the program behaves as if nobody watched it.

import Foundation
import TestSupport
import Testing

extension Live {
  @Suite struct RunTests {
    private var python: String { get throws { try Interpreter.any.path } }

    /// What a program says of its own CPU time, in nanoseconds.
    private struct Used: Decodable {
      let cpu: Double
      enum CodingKeys: String, CodingKey { case cpu = "cpu_ns" }
    }

    // MARK: Beginning and end

    @Test(arguments: ["caduceus-no-such-command", "/no/such/command", "./nothing"])
    func aCommandThatDoesNotExist(_ command: String) throws {
      let finished = try Caduceus.run(["run", "--", command, "argument"])
      #expect(finished.status == 127, "\(finished.description)")
      #expect(
        finished.errorLines.last
          == "caduceus: cannot run \(command): No such file or directory; check the spelling and PATH")
      #expect(finished.output.isEmpty)
    }

    @Test func aCommandThatIsNotExecutable() throws {
      let folder = try Folder()
      try Data("#!/bin/sh\n".utf8).write(to: URL(fileURLWithPath: folder.file("script")))
      for command in [folder.file("script"), folder.path] {
        let finished = try Caduceus.run(["run", "--", command])
        #expect(finished.status == 126, "\(finished.description)")
        let line = try #require(finished.errorLines.last)
        #expect(line.hasPrefix("caduceus: cannot run \(command): Permission denied"), "\(line)")
        #expect(line.contains("chmod +x") == (command != folder.path), "\(line)")
      }
    }

    @Test(arguments: [
      ("0", Int32(0)), ("3", 3), ("255", 255), ("SIGKILL", 137), ("SIGTERM", 143), ("SIGINT", 130),
      ("SIGSEGV", 139),
    ])
    func theExitStatusIsTheProgramsOwn(_ what: String, _ status: Int32) throws {
      let finished = try Caduceus.run(["run", "--", python, Program.path("exit_status.py"), what])
      #expect(finished.status == status, "\(finished.description)")
      #expect(finished.errorText.contains("Captured "))
    }

    @Test func theProgramOutlivesTheDuration() throws {
      let finished = try Caduceus.run(
        ["run", "-d", "0.05", "--"]
          + Program.command("sandwich.py", ["--no-gate", "2"], with: Interpreter.any))
      #expect(finished.status == 0, "\(finished.description)")
      let report = try JSONDecoder().decode(Used.self, from: finished.output)
      #expect(report.cpu >= 2e9)
      // What the program does after the duration is not sampled.
      let summary = try Summary(finished.errorText)
      #expect(summary.seconds >= 0.05 && Double(summary.samples) < report.cpu / 1e6 / 2, "\(summary)")
    }

    // MARK: What is handed through

    @Test func inputAndOutputAreHandedThroughByteForByte() throws {
      var generator = SeededGenerator(seed: 1)
      let bytes = Data((0..<3_000_000).map { _ in UInt8.random(in: 0...255, using: &generator) })
      let program = try [python, Program.path("stdio_echo.py")]
      let alone = try Child.run(program, input: bytes)
      let finished = try Caduceus.run(["run", "--"] + program, input: bytes)
      #expect(finished.status == 0)
      #expect(finished.output == bytes, "\(finished.output.count) bytes")
      #expect(alone.output == bytes)
      #expect(finished.errorText.contains(alone.errorText), "\(finished.errorText)")
    }

    @Test func signalsReachTheProgram() throws {
      let child = try Caduceus.start(["run", "--", python, Program.path("signals.py"), "7"])
      #expect(try child.line().hasPrefix("ready "))
      child.signal(SIGUSR1)
      #expect(try child.line() == "got SIGUSR1")
      child.signal(SIGUSR1)
      #expect(try child.line() == "got SIGUSR1")
      child.signal(SIGTERM)
      #expect(try child.line() == "got SIGTERM")
      let finished = try child.finish()
      #expect(finished.status == 7, "\(finished.description)")
      #expect(finished.errorText.contains("Captured "))
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR2, SIGALRM, SIGUSR1, SIGWINCH])
    func theProgramDecidesWhatASignalDoes(_ number: Int32) throws {
      let program = """
        import os, signal, sys
        def handle(number, frame):
            os.write(1, b"got %d\\n" % number)
            os._exit(9)
        signal.signal(\(number), handle)
        os.write(1, b"ready\\n")
        while True: signal.pause()
        """
      let child = try Caduceus.start(["run", "--", python, "-c", program])
      _ = try child.line()
      child.signal(number)
      #expect(try child.line() == "got \(number)")
      #expect(try child.finish().status == 9)
    }

    /// A signal that kills the program kills only the program: the result is still written.
    @Test func theResultIsWrittenWhenASignalEndsTheProgram() throws {
      let folder = try Folder()
      let child = try Caduceus.start([
        "run", "-o", folder.file("out"), "--", python, Program.path("signals.py"), "default",
      ])
      _ = try child.line()
      child.signal(SIGTERM)
      let finished = try child.finish()
      #expect(finished.status == 143, "\(finished.description)")
      #expect(folder.contents == ["out"])
    }

    /// What is typed at the terminal reaches the whole process group by itself: once, not twice.
    @Test func controlCReachesTheProgramOnce() throws {
      let program = """
        import os, signal, sys
        got = []
        def handle(number, frame):
            got.append(number)
            os.write(1, b"got SIGINT\\n")
        def end(number, frame):
            os.write(1, b"count %d\\n" % len(got))
            os._exit(6)
        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, end)
        os.write(1, b"ready\\n")
        while True: signal.pause()
        """
      // In a file: its text must not be in the first line that caduceus prints.
      let folder = try Folder()
      try Data(program.utf8).write(to: URL(fileURLWithPath: folder.file("count.py")))
      let report = try OnTerminal(
        [Caduceus.path, "run", "--", python, folder.file("count.py")],
        [.type("^C", when: "ready"), .signal("SIGTERM", when: "got SIGINT")])
      #expect(report.said.contains("count 1\r\n"), "\(report.said)")
      #expect(report.status == 6)
    }

    /// Arguments, environment, folder, identity, signals, limits and descriptors are as without caduceus.
    @Test(arguments: ["", "trap '' HUP INT; umask 027; ulimit -n 100; ulimit -c 0; nice -n 5 "])
    func theProgramFindsWhatItWouldFindWithoutUs(_ begin: String) throws {
      let folder = try Folder()
      let program = try [
        python, Program.path("situation_of_process.py"), "", "two words", "--native", "\u{E9}\n", "-o", "x",
      ]
      var environment = Child.environment
      environment["EMPTY"] = ""
      environment["MANY\nLINES"] = "a\nb=c"
      let shell = ["/bin/bash", "-c", begin + "\"$@\"", "bash"]
      let alone = try Child.run(shell + program, environment: environment, folder: folder.path)
      let watched = try Child.run(
        shell + [Caduceus.path, "run", "--"] + program, environment: environment, folder: folder.path)
      #expect(alone.status == 0, "\(alone.description)")
      #expect(watched.status == 0, "\(watched.description)")
      let expected = try #require(try JSONSerialization.jsonObject(with: alone.output) as? [String: Any])
      let found = try #require(try JSONSerialization.jsonObject(with: watched.output) as? [String: Any])
      for (name, value) in expected {
        var (left, right) = (found[name] as? NSObject, value as? NSObject)
        if name == "environment" {
          // The shell says in it what it has started.
          func rest(_ value: NSObject?) -> NSObject? {
            (value as? [String: String])?.filter { $0.key != "_" } as NSObject?
          }
          (left, right) = (rest(left), rest(right))
        }
        #expect(left == right, "\(name)")
        #expect(left != nil)
      }
    }

    // MARK: What is sampled

    @Test(arguments: Interpreter.supported) func aShortScriptFromItsFirstInstruction(
      _ interpreter: Interpreter
    ) throws {
      let folder = try Folder()
      var after = 0
      var nameless = 0
      for round in 0..<5 {
        let out = folder.file("out\(round)")
        let finished = try Caduceus.run([
          "run", "-i", "200", "--collapsed", "--native", "all", "--ledger", "-o", out, "--", interpreter.path,
          Program.path("short_script.py"), "150",
        ])
        #expect(finished.status == 0, "\(finished.description)")
        let ledger = try LedgerReport(finished.errorText)
        #expect(ledger.addsUp, "\(ledger.text)")
        let report = try JSONDecoder().decode(Used.self, from: finished.output)
        let file = try CollapsedFile(path: out)
        // The dynamic loader runs before everything else.
        #expect(file.count { $0.frames.contains { $0.isNative && $0.name.contains("_dl_") } } > 0)
        #expect(file.count(with: "in_python") > 0, "\(finished.errorText)")
        #expect(file.count(with: "in_c") > 0)
        // The program's clock began before the exec, whose own work, milliseconds, is not the program's.
        let periods = (report.cpu - 10e6) / 200e3
        #expect(
          Double(ledger.targetRuns + max(0, ledger.unfired)) >= periods - 2, "\(ledger.text) of \(periods)")
        after += ledger.kept - ledger.notYetKnown
        nameless += ledger.nameless
      }
      #expect(after > 200)
      #expect(nameless * 100 <= after, "\(nameless) nameless of \(after)")
    }

    @Test func aProgramWithoutPython() throws {
      let folder = try Folder()
      let loop = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3"
      let finished = try Caduceus.run([
        "run", "--collapsed", "-o", folder.file("out"), "--ledger", "--", "/bin/sh", "-c", loop,
      ])
      #expect(finished.status == 3, "\(finished.description)")
      let file = try CollapsedFile(path: folder.file("out"))
      #expect(file.total > 10)
      #expect(file.count { $0.frames.contains(where: \.isPython) } == 0)
      #expect(file.count { $0.frames.contains(where: \.isNative) } > file.total * 9 / 10)
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp)
      #expect(ledger.notYetKnown == ledger.kept)
      let line = try #require(
        finished.errorLines.first { $0.hasPrefix("No Python frames: ") }, "\(finished.errorText)")
      #expect(line.contains("no Python interpreter"), "\(line)")
    }

    /// Wrappers replace themselves by the interpreter: it is found after each exec.
    @Test(arguments: Interpreter.perRelease) func theInterpreterIsFoundBehindWrappers(
      _ interpreter: Interpreter
    ) throws {
      let folder = try Folder()
      let program = [interpreter.path, Program.path("result.py"), "--no-gate", "8"]
      let wrappers: [[String]] = [
        ["/usr/bin/env", "A=1"], ["/bin/sh", "-c", "exec \"$@\"", "sh"],
        ["/usr/bin/env", "/bin/sh", "-c", "exec /usr/bin/env \"$@\"", "sh"],
      ]
      for wrapper in wrappers {
        let finished = try Caduceus.run(
          ["run", "--collapsed", "--ledger", "-o", folder.file("out"), "--"] + wrapper + program)
        #expect(finished.status == 0, "\(finished.description)")
        #expect(finished.outputText.contains("\"right\": true"))
        let file = try CollapsedFile(path: folder.file("out"))
        #expect(file.count(with: "sieve") > 20, "\(finished.errorText)")
        #expect(try LedgerReport(finished.errorText).addsUp)
        #expect(!finished.errorText.contains("No Python frames"))
      }
    }

    /// After an exec no name from before it appears, and the other way round.
    @Test(arguments: Interpreter.perRelease, Interpreter.perRelease)
    func namesDoNotCrossAnExec(_ first: Interpreter, _ second: Interpreter) throws {
      let folder = try Folder()
      let arguments = try ["0.3", second.path, second.extensionFolder()]
      let begin = try Elsewhere.now()
      let finished = try Caduceus.run(
        ["run", "-i", "200", "--collapsed", "--ledger", "-o", folder.file("out"), "--"]
          + Program.command("exec_chain.py", arguments, with: first), input: Data("go\ngo\n".utf8))
      #expect(finished.status == 0, "\(finished.description)")
      let file = try CollapsedFile(path: folder.file("out"))
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp, "\(ledger.text)")
      // sit_spin is called before the exec only, sit_lane_7 after it only.
      func isBefore(_ line: CollapsedFile.Line) -> Bool {
        line.names.contains { $0.hasPrefix("before_") || $0 == "sit_spin" }
      }
      func isAfter(_ line: CollapsedFile.Line) -> Bool {
        line.names.contains { $0.hasPrefix("after_") || $0 == "sit_lane_7" }
      }
      #expect(file.count { isBefore($0) && isAfter($0) } == 0)
      let reports = try finished.outputText.split(separator: "\n").filter { $0.hasPrefix("{") }.map {
        try JSONDecoder().decode(Used.self, from: Data($0.utf8)).cpu
      }
      try #require(reports.count == 2, "\(finished.description)")
      let found = ["before_main", "after_main"].map { file.count(with: $0) }
      let pace = try Pace(
        period: 200e3, own: reports[0] + reports[1], elsewhere: Elsewhere.now().most(since: begin),
        ledger: ledger)
      // What is missing came before the interpreter was known, and is counted as that.
      let expected = pace.samples(of: pace.own, stretches: 2)
      #expect(expected.contains(Double(found[0] + found[1])), "\(found), not in \(expected): \(ledger.text)")
      for (count, cpu) in zip(found, reports) {
        #expect(Double(count) <= pace.samples(of: cpu).upperBound, "\(count): \(ledger.text)")
        // The search for the interpreter takes some ten milliseconds, however busy the machine.
        #expect(Double(count) > cpu / pace.period / 2, "\(count): \(finished.errorText)")
      }
    }

    /// Only the program itself is sampled, not what it starts.
    @Test func childrenAreNotSampled() throws {
      let folder = try Folder()
      let finished = try Caduceus.run(
        ["run", "--collapsed", "--ledger", "-o", folder.file("out"), "--"]
          + Program.command("fork_child.py", ["--no-gate", "0.3"], with: Interpreter.any))
      #expect(finished.status == 0, "\(finished.description)")
      let file = try CollapsedFile(path: folder.file("out"))
      #expect(file.count(with: "sit_lane_3") > 150)
      #expect(file.count(with: "child_work") == 0)
      #expect(file.count(with: "sit_lane_4") == 0)
      #expect(try LedgerReport(finished.errorText).addsUp)
    }
  }
}
