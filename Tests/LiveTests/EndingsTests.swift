// How a run may end, and what is left then.

import Foundation
import Testing

extension Live {
  @Suite struct EndingsTests {
    /// caduceus in the middle of sampling a program that goes on for long.
    private func sampling(_ options: [String]) throws -> (caduceus: Child, program: Program) {
      let program = try Program("sandwich.py", ["60"], with: Interpreter.any)
      let child = try Caduceus.start(["attach", "-d", "50"] + options + ["\(program.pid)"])
      try child.errorLines(1)
      program.go()
      return (child, program)
    }

    @Test(arguments: [SIGINT, SIGTERM, SIGHUP, SIGQUIT]) func aSignalGivesTheResult(_ number: Int32) throws {
      let folder = try Folder()
      let (child, program) = try sampling(["-i", "500", "--realtime-stats", "-o", folder.file("out")])
      try child.errorLines(2)
      child.signal(number)
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      #expect(try Summary(finished.errorText).samples > 100)
      #expect(folder.contents == ["out"])
      #expect(!program.child.hasEnded)
    }

    /// A window that changes its size is no reason to end, nor is news on a socket (SIGURG).
    @Test func aWindowThatChangesItsSize() throws {
      let folder = try Folder()
      let (child, program) = try sampling(["-i", "500", "--realtime-stats", "-o", folder.file("out")])
      try child.errorLines(2)
      for number in [SIGWINCH, SIGURG] { child.signal(number) }
      // It goes on: two more lines come, a second each.
      let before = child.errorText.split(separator: "\n").count
      let lines = try child.errorLines(before + 2)
      #expect(lines.dropFirst().allSatisfy { $0.hasPrefix("Real-time sampling stats: ") }, "\(lines)")
      #expect(!child.hasEnded && folder.contents == [] && !program.child.hasEnded)
      child.signal(SIGINT)
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      #expect(folder.contents == ["out"])
    }

    /// Nothing is ready to take the result, and a second Ctrl-C does not wait for that.
    @Test(arguments: ["attach", "run"]) func aSecondInterruptLeavesAtOnce(_ command: String) throws {
      let folder = try Folder()
      let pipe = folder.file("pipe")
      let isMade = unsafe mkfifo(pipe, 0o600) == 0
      try #require(isMade)
      let child: Child
      if command == "attach" {
        let program: Program
        (child, program) = try sampling(["--collapsed", "-o", pipe, "--realtime-stats"])
        try child.errorLines(2)
        child.signal(SIGINT)
        try child.errorLines(3)
        _ = program
      } else {
        child = try Caduceus.start(["run", "--collapsed", "-o", pipe, "--", "/bin/true"])
        try child.errorLines(1)
      }
      // It is in open(2) of the pipe now, or will be: the default action ends it there or before.
      try waitUntilBlocked(child.pid, in: "wait_for_partner")
      child.signal(SIGINT)
      #expect(try child.finish().status == 130)
      #expect(folder.contents == ["pipe"])
    }

    /// Waits until the process sleeps in a kernel function (/proc/PID/wchan), or in any where that is not shown.
    private func waitUntilBlocked(_ pid: Int32, in function: String) throws {
      let limit = Date.now.addingTimeInterval(30)
      while Date.now < limit {
        let place = (try? String(contentsOfFile: "/proc/\(pid)/wchan", encoding: .utf8)) ?? ""
        if place.contains(function) || place.contains("fifo_open") { return }
        let call = (try? String(contentsOfFile: "/proc/\(pid)/syscall", encoding: .utf8)) ?? ""
        // x86-64: open 2, openat 257.
        if call.hasPrefix("257 ") || call.hasPrefix("2 ") { return }
        sched_yield()
      }
      throw LiveError("caduceus did not open its output")
    }

    /// A full disk: no half of a file stays, and the samples are printed instead of lost.
    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can mount"),
      arguments: ["--collapsed", "--pstats"])
    func aFullDisk(_ format: String) throws {
      let folder = try Folder()
      let script = """
        mount -t tmpfs -o size=16k none "$1" && "$2" attach "$3" -o "$1/out" "$4"
        status=$?
        ls -A "$1" >"$5"
        exit $status
        """
      let program = try Program("deep_callbacks.py", ["0.5"], with: Interpreter.any)
      let disk = folder.file("disk")
      try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
      let child = try Child(
        [
          "unshare", "-m", "/bin/sh", "-c", script, "sh", disk, Caduceus.path, format, "\(program.pid)",
          folder.file("listing"),
        ], environment: Child.environment)
      try child.errorLines(1)
      program.go()
      let finished = try child.finish()
      #expect(finished.status == 1, "\(finished.description)")
      #expect(finished.outputText.hasPrefix("Profile Stats:\n"), "\(finished.description)")
      let line = try #require(finished.errorLines.last)
      #expect(line.hasPrefix("caduceus: cannot write \(disk)/out: No space left on device"), "\(line)")
      #expect(!finished.errorText.contains("written to"))
      #expect(try folder.text("listing") == "")
    }

    /// The program's own status is more important than ours, unless it is a success.
    @Test(
      .enabled(if: FileManager.default.fileExists(atPath: "/dev/full") || Machine.isCI, "no /dev/full"),
      arguments: [0, 7])
    func theStatusOfRunWithoutItsFile(_ status: Int) throws {
      let finished = try Caduceus.run([
        "run", "--collapsed", "-o", "/dev/full", "--", "/bin/sh", "-c", "exit \(status)",
      ])
      // A run without any sample writes nothing, and nothing fits into a full device.
      let samples = try Summary(finished.errorText).samples
      #expect(finished.status == (status == 0 && samples > 0 ? 1 : Int32(status)), "\(finished.description)")
    }

    @Test func aPipeThatIsClosed() throws {
      let folder = try Folder()
      let program = try Program("sandwich.py", ["0.3"], with: Interpreter.any)
      let shell = "\"$1\" attach --collapsed -o /dev/stdout \"$2\" 2>\"$3\" | true; echo ${PIPESTATUS[0]}"
      let child = try Child(
        ["/bin/bash", "-c", shell, "bash", Caduceus.path, "\(program.pid)", folder.file("said")],
        environment: Child.environment)
      while !((try? folder.text("said"))?.contains("\n") ?? false) { sched_yield() }
      program.go()
      #expect(try child.finish().outputText == "1\n")
      #expect(try folder.text("said").contains("Broken pipe"))
    }

    /// What has a default name is never replaced.
    @Test func aFileWithTheDefaultNameStays() throws {
      let folder = try Folder()
      let program = try Program("sandwich.py", ["0.1"], with: Interpreter.any)
      let name = "collapsed.\(program.pid)"
      try Data("mine".utf8).write(to: URL(fileURLWithPath: folder.file(name + ".txt")))
      try FileManager.default.createDirectory(
        atPath: folder.file(name + "-2.txt"), withIntermediateDirectories: false)
      let child = try Caduceus.start(["attach", "--collapsed", "\(program.pid)"], folder: folder.path)
      try child.errorLines(1)
      // Somebody takes the next name while sampling goes on.
      try Data("theirs".utf8).write(to: URL(fileURLWithPath: folder.file(name + "-3.txt")))
      program.go()
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      #expect(finished.errorText.contains("written to \(name)-4.txt\n"), "\(finished.errorText)")
      #expect(try folder.text(name + ".txt") == "mine")
      #expect(try folder.text(name + "-3.txt") == "theirs")
      #expect(try CollapsedFile(path: folder.file(name + "-4.txt")).total > 0)
      #expect(folder.contents.count == 4)
    }

    // MARK: While it runs

    @Test func aTerminalShowsHowFarItIs() throws {
      let program = try Program("sandwich.py", ["60"], with: Interpreter.any)
      program.go()
      let seen = try OnTerminal([Caduceus.path, "attach", "-d", "2", "\(program.pid)"])
      #expect(seen.status == 0, "\(seen.said)")
      let form =
        /([0-9.]+) s, ([0-9.]+) s left \| ([0-9]+) samples, 0 lost \| CPU: program ([0-9]+)%, caduceus ([0-9]+)%/
      let lines = seen.said.components(separatedBy: "\r\u{1B}[K").compactMap { $0.firstMatch(of: form) }
      #expect(lines.count >= 4, "\(seen.said)")
      for line in lines {
        let times = try [line.1, line.2].map { try #require(Double($0)) }
        #expect(abs(times[0] + times[1] - 2) < 0.11, "\(line.0)")
      }
      let counts = lines.compactMap { Int($0.3) }
      #expect(counts == counts.sorted() && (counts.last ?? 0) > 100, "\(counts)")
      // Nothing of it is left.
      #expect(!seen.screen.contains(" left |"), "\(seen.screen)")
      #expect(seen.screen.contains("\nProfile Stats:\n"))
    }

    @Test func aNarrowTerminalIsNotWrapped() throws {
      let program = try Program("sandwich.py", ["60"], with: Interpreter.any)
      program.go()
      let seen = try OnTerminal([Caduceus.path, "attach", "-d", "1", "\(program.pid)"], columns: 40)
      let lines = seen.said.components(separatedBy: "\r\u{1B}[K").filter { $0.contains(" s left") }
      #expect(!lines.isEmpty)
      for line in lines { #expect(line.prefix { $0 != "\r" }.count < 40, "\(line)") }
    }

    /// Where nobody looks nothing is kept up to date, unless it is asked for; the screen of `run` is the program's.
    @Test func withoutATerminalNothingMoves() throws {
      let program = try Program("sandwich.py", ["60"], with: Interpreter.any)
      program.go()
      let silent = try Caduceus.run(["attach", "-d", "1.5", "\(program.pid)"])
      #expect(!silent.errorText.contains(" left |") && !silent.errorText.contains("\u{1B}"))
      let asked = try Caduceus.run(["attach", "-d", "2.5", "--progress", "\(program.pid)"])
      #expect(asked.errorLines.filter { $0.contains(" s left | ") }.count >= 2, "\(asked.errorText)")
      #expect(!asked.errorText.contains("\u{1B}"))
      let command = try Program.command("sandwich.py", ["--no-gate", "1.2"], with: Interpreter.any)
      let run = try OnTerminal([Caduceus.path, "run", "--"] + command)
      #expect(!run.said.contains(" samples, 0 lost"), "\(run.said)")
    }

    @Test(arguments: [
      (["NO_COLOR": "1"], false), (["NO_COLOR": "", "FORCE_COLOR": "1"], true),
      (["NO_COLOR": "1", "FORCE_COLOR": "1"], false), (["NO_COLOR": ""], false),
    ])
    func coloursAreAskedForOrRefused(_ environment: [String: String], _ isColored: Bool) throws {
      let finished = try Caduceus.run(["run", "--", "/bin/sh", "-c", "exit 0"], environment: environment)
      let table = finished.errorText.contains("Profile Stats:")
      if table { #expect(finished.errorText.contains("\u{1B}[") == isColored, "\(finished.errorText)") }
      let python = try Caduceus.run(
        ["run", "--", Interpreter.any.path, "-c", "sum(range(3000000))"], environment: environment)
      #expect(python.errorText.contains("\u{1B}[1;34mProfile Stats:") == isColored, "\(python.errorText)")
    }
  }
}
