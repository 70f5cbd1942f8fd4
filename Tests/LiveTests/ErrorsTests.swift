// What cannot be sampled, and what is said then: one line, with what to do.

import Foundation
import Testing

extension Live {
  @Suite struct ErrorsTests {
    /// The one line of a failure.
    private func message(_ finished: Finished, status: Int32 = 1) throws -> String {
      #expect(finished.status == status, "\(finished.description)")
      #expect(finished.output.isEmpty, "\(finished.description)")
      #expect(finished.errorLines.count == 1, "\(finished.description)")
      let line = try #require(finished.errorLines.first, "\(finished.description)")
      #expect(line.hasPrefix("caduceus: "), "\(line)")
      return line
    }

    // MARK: The process

    @Test(arguments: [[], ["attach"]]) func noSuchProcess(_ command: [String]) throws {
      let gone = try Child(["/bin/true"])
      _ = try gone.finish()
      let line = try message(Caduceus.run(command + ["\(gone.pid)"]))
      #expect(line.contains("no process with PID \(gone.pid)"))
      #expect(line.contains("pgrep"), "no advice: \(line)")
    }

    @Test func aProcessThatHasEndedButIsNotWaitedFor() throws {
      let zombie = try Child(["/bin/cat"])
      zombie.closeInput()
      while try !String(contentsOfFile: "/proc/\(zombie.pid)/stat", encoding: .utf8).contains(") Z ") {}
      let line = try message(Caduceus.run(["attach", "\(zombie.pid)"]))
      #expect(line.contains("ended"), "\(line)")
    }

    @Test(
      .enabled(
        if: FileManager.default.fileExists(atPath: "/proc/2/stat") || Machine.isCI,
        "no kernel threads in this container"))
    func aKernelThread() throws {
      try #require(String(contentsOfFile: "/proc/2/stat", encoding: .utf8).contains("kthreadd"))
      let line = try message(Caduceus.run(["attach", "2"]))
      #expect(line.contains("kernel thread"), "\(line)")
    }

    @Test(arguments: ["/bin/cat", "/bin/sh"]) func aProcessWithoutPython(_ command: String) throws {
      let child = try Child([command])
      let line = try message(Caduceus.run(["attach", "\(child.pid)"]))
      #expect(line.contains("no Python interpreter in this process"))
      let name = (URL(fileURLWithPath: command).resolvingSymlinksInPath().path as NSString).lastPathComponent
      #expect(line.contains("(\(name))"), "\(line)")
      #expect(line.contains("supported: CPython 3.11, 3.12, 3.13"))
      #expect(!child.hasEnded)
    }

    /// A program that has PyPy's entry is PyPy; one that only has its name is not.
    @Test func pyPy() throws {
      let folder = try Folder()
      try Data("int pypy_main_startup(void) { return 0; }\nint main(void) { for (;;) getchar(); }\n".utf8)
        .write(to: URL(fileURLWithPath: folder.file("pypy.c")))
      let compiler = try #require(Machine.find("cc") ?? Machine.find("gcc"))
      let built = try Child.run([
        compiler, "-include", "stdio.h", folder.file("pypy.c"), "-rdynamic", "-o", folder.file("pypy3"),
      ])
      try #require(built.status == 0, "\(built.description)")
      let real = try Child([folder.file("pypy3")])
      #expect(try message(Caduceus.run(["attach", "\(real.pid)"])).contains("this process runs PyPy"))
      try FileManager.default.createDirectory(atPath: folder.file("other"), withIntermediateDirectories: true)
      try FileManager.default.copyItem(atPath: "/bin/cat", toPath: folder.file("other/pypy3"))
      let other = try Child([folder.file("other/pypy3")])
      #expect(try message(Caduceus.run(["attach", "\(other.pid)"])).contains("no Python interpreter"))
    }

    @Test(arguments: Interpreter.installed.filter { !$0.isSupported })
    func unsupportedReleases(_ interpreter: Interpreter) throws {
      let child = try Child([interpreter.path, "-u", "-c", "import os; print('ready'); os.read(0, 1)"])
      _ = try child.line()
      let line = try message(Caduceus.run(["attach", "\(child.pid)"]))
      #expect(line.contains("CPython \(interpreter.version)"), "\(line)")
      #expect(line.contains("supported: CPython 3.11, 3.12, 3.13"), "\(line)")
    }

    /// `run` runs it all the same: its program's work is not ours to refuse.
    @Test(arguments: Interpreter.installed.filter { !$0.isSupported }.suffix(1))
    func runOfAnUnsupportedRelease(_ interpreter: Interpreter) throws {
      let program = "import sys; sum(range(30000000)); print('done'); sys.exit(4)"
      let finished = try Caduceus.run(["run", "--", interpreter.path, "-c", program])
      #expect(finished.status == 4, "\(finished.description)")
      #expect(finished.outputText == "done\n")
      #expect(finished.errorText.contains("No Python frames: "))
      #expect(finished.errorText.contains("CPython \(interpreter.version)"))
    }

    @Test func everySupportedReleaseIsTested() {
      let missing = (11...13).filter { minor in !Interpreter.supported.contains { $0.minor == minor } }
      if Machine.isCI {
        #expect(missing.isEmpty, "CPython 3.\(missing) is not on PATH or in pyenv")
      } else if !missing.isEmpty {
        print("CPython 3.\(missing) was not found: not tested with it")
      }
    }

    // MARK: Rights

    /// Of somebody else's process.
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can become somebody else"))
    func withoutRights() throws {
      let folder = try Folder()
      let target = try Child(["cat"])
      let finished = try Child.run(
        Restricted.nobody + [Caduceus.publicCopy(in: folder), "attach", "\(target.pid)"])
      let line = try message(finished)
      for words in [
        "not permitted", "CAP_PERFMON", "CAP_BPF", "CAP_SYS_PTRACE", "sudo",
        "kernel.perf_event_paranoid = \(Machine.setting("kernel.perf_event_paranoid"))",
        "kernel.unprivileged_bpf_disabled = \(Machine.setting("kernel.unprivileged_bpf_disabled"))",
      ] { #expect(line.contains(words), "\(words) is not in: \(line)") }
    }

    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can drop capabilities"))
    func withoutTheRightToLookInside()
      throws
    {
      let folder = try Folder()
      let target = try Child(["cat"])
      let set = ["setpriv", "--bounding-set", "-sys_admin,-sys_ptrace"]
      let line = try message(Child.run(set + [Caduceus.publicCopy(in: folder), "attach", "\(target.pid)"]))
      #expect(line.contains("not permitted: CAP_SYS_PTRACE missing"), "\(line)")
    }

    /// Each capability is asked for by its own name; without it, it goes on without eBPF and says why.
    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can drop capabilities"),
      arguments: ["perfmon", "bpf"])
    func withoutOneCapability(_ name: String) throws {
      let folder = try Folder()
      let program = try Program("result.py", ["1"], with: Interpreter.any)
      let set = ["setpriv", "--bounding-set", "-sys_admin,-\(name)"]
      let finished = try Child.run(
        set + [Caduceus.publicCopy(in: folder), "attach", "-d", "0.2", "\(program.pid)"])
      #expect(finished.status == 0, "\(finished.description)")
      #expect(
        finished.errorText.contains("without eBPF (not permitted: CAP_\(name.uppercased()) missing"),
        "\(finished.description)")
    }

    /// The three capabilities are enough, without root.
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can hand capabilities on"))
    func withTheThreeCapabilities()
      throws
    {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let program = try Program("sandwich.py", ["0.5"], with: interpreter, as: Restricted.nobody)
      try FileManager.default.createDirectory(atPath: folder.file("open"), withIntermediateDirectories: false)
      unsafe chmod(folder.file("open"), 0o777)
      let set = "-all,+perfmon,+bpf,+sys_ptrace"
      let child = try Child(
        Restricted.nobody + ["--inh-caps=\(set)", "--ambient-caps=\(set)"] + [
          Caduceus.publicCopy(in: folder), "attach", "--collapsed", "-o", folder.file("open/out"),
          "\(program.pid)",
        ])
      try child.errorLines(1)
      program.go()
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      let file = try CollapsedFile(path: folder.file("open/out"))
      #expect(file.count(with: "sit_spin") > 50, "\(finished.description)")
      #expect(file.count(with: "under_key") > 50)
    }

    /// An interpreter whose file we may not read is not "no Python".
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can hand capabilities on"))
    func anInterpreterThatIsHidden()
      throws
    {
      let folder = try Folder()
      try FileManager.default.createDirectory(
        atPath: folder.file("hidden"), withIntermediateDirectories: false)
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let hidden = folder.file("hidden/python3")
      try FileManager.default.copyItem(atPath: interpreter.path, toPath: hidden)
      let wait = "import os; os.write(1, b'ready\\n'); os.read(0, 1)"
      let child = try Child(Restricted.nobody + [hidden, "-S", "-c", wait])
      _ = try child.line()
      unsafe chmod(folder.file("hidden"), 0o700)
      let set = "-all,+perfmon,+bpf,+sys_ptrace"
      let command = [
        "--inh-caps=\(set)", "--ambient-caps=\(set)", try Caduceus.publicCopy(in: folder), "attach",
      ]
      let line = try message(Child.run(Restricted.nobody + command + ["\(child.pid)"]))
      #expect(line.contains("cannot read \(hidden)"), "\(line)")
      #expect(line.contains("sudo"), "no advice: \(line)")
    }

    // MARK: Output files

    /// Names of files that cannot be written; FOLDER is an empty folder.
    static let unwritable = [
      "FOLDER/missing/out", "FOLDER/missing/", "/proc", "/proc/out", "/proc/self/stat/out",
      "FOLDER/" + String(repeating: "x", count: 256),
    ]

    @Test(arguments: unwritable, ["attach", "run"])
    func aFileThatCannotBeWrittenIsFoundBeforeSampling(_ pattern: String, _ command: String) throws {
      let folder = try Folder()
      let path = pattern.replacingOccurrences(of: "FOLDER", with: folder.path)
      let program = try Program("result.py", ["1"], with: Interpreter.any)
      let end = command == "attach" ? ["\(program.pid)"] : ["--", "/bin/touch", folder.file("trace")]
      let line = try message(Caduceus.run([command, "-o", path] + end))
      #expect(line.contains("cannot write \(path)"), "\(line)")
      #expect(line.contains("-o"), "no advice: \(line)")
      // Nothing was left behind, and the program was not run for nothing.
      #expect(folder.contents.isEmpty, "\(folder.contents)")
    }

    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can become somebody else"))
    func aFolderOfSomebodyElse() throws {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let program = try Program("result.py", ["1"], with: interpreter, as: Restricted.nobody)
      let set = "-all,+perfmon,+bpf,+sys_ptrace"
      let finished = try Child.run(
        Restricted.nobody + ["--inh-caps=\(set)", "--ambient-caps=\(set)"] + [
          Caduceus.publicCopy(in: folder), "attach", "-o", folder.file("out"), "\(program.pid)",
        ])
      #expect(try message(finished).contains("cannot write \(folder.file("out")): Permission denied"))
    }

    // MARK: Targets that end

    /// Whatever moment of the set-up the target's end falls into: a result or one line, never a crash.
    @Test func theTargetEndsWhileSamplingIsSetUp() throws {
      let interpreter = try Interpreter.any
      var refused = 0
      for round in 0..<20 {
        let program = try Program("result.py", ["1"], with: interpreter)
        let child = try Caduceus.start(["attach", "--collapsed", "-o", "/dev/stdout", "\(program.pid)"])
        // A later moment in every round; the moment is what is tried out, nothing depends on it.
        usleep(UInt32(round) * 4000)
        program.child.signal(SIGKILL)
        let finished = try child.finish()
        _ = try program.child.finish()
        if finished.status == 0 {
          let summary = try Summary(finished.errorText)
          #expect(try CollapsedFile(finished.outputText).total == summary.samples)
        } else {
          refused += 1
          let line = try message(finished)
          #expect(line.contains("ended") || line.contains("no process with PID"), "\(line)")
        }
      }
      #expect(refused < 20)
    }

    /// The target ends before its first sample: valid files with nothing in them, and no division by zero.
    @Test(arguments: [["--collapsed"], ["--pstats"], ["--ledger"]])
    func theTargetEndsBeforeTheFirstSample(_ options: [String]) throws {
      let folder = try Folder()
      let program = try Program("result.py", ["1"], with: Interpreter.any)
      let output = options == ["--ledger"] ? [] : ["-o", folder.file("out")]
      let child = try Caduceus.start(["attach", "-i", "10000000"] + options + output + ["\(program.pid)"])
      try child.errorLines(1)
      program.child.closeInput()
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      let summary = try Summary(finished.errorText)
      #expect(summary.samples == 0)
      #expect(summary.errorRate == 0)
      #expect(
        !finished.errorText.contains("nan") && !finished.errorText.contains("inf "), "\(finished.errorText)")
      switch options {
      case ["--collapsed"]: #expect(try folder.text("out") == "")
      case ["--pstats"]:
        let load = "import marshal, sys; print(marshal.load(open(sys.argv[1], 'rb')))"
        let loaded = try Child.run([Interpreter.any.path, "-c", load, folder.file("out")])
        #expect(loaded.status == 0, "\(loaded.description)")
      default: #expect(try LedgerReport(finished.errorText).addsUp)
      }
    }

    @Test(arguments: Interpreter.perRelease) func theTargetEndsWhileItIsSampled(_ interpreter: Interpreter)
      throws
    {
      struct Report: Decodable { let cpu_ns: Double }
      let folder = try Folder()
      let program = try Program("sandwich.py", ["0.5"], with: interpreter)
      let finished = try Caduceus.attach(
        program, ["--collapsed", "--ledger", "-o", folder.file("out"), "-d", "1000"])
      #expect(finished.status == 0, "\(finished.description)")
      let report = try program.result(Report.self)
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp, "\(ledger.text)")
      let file = try CollapsedFile(path: folder.file("out"))
      #expect(file.total == ledger.kept)
      let pace = try program.pace(ledger)
      #expect(pace.interrupts(of: report.cpu_ns).lowerBound <= Double(ledger.targetRuns), "\(ledger.text)")
      #expect(pace.interrupts(of: pace.own).upperBound >= Double(ledger.targetRuns), "\(ledger.text)")
      #expect(pace.contradictions() == [], "\(ledger.text)")
    }

    @Test(arguments: [SIGINT, SIGTERM]) func anInterruptGivesTheResult(_ number: Int32) throws {
      struct Report: Decodable { let right: Bool }
      let folder = try Folder()
      let program = try Program("result.py", ["30"], with: Interpreter.any)
      let child = try Caduceus.start(["attach", "-d", "1000", "-o", folder.file("out"), "\(program.pid)"])
      try child.errorLines(1)
      program.go()
      // Half a second of CPU time makes samples; the clock is the target's own.
      try program.child.wait(forCPU: program.child.cpuTime() / 1e9 + 0.5)
      child.signal(number)
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      #expect(finished.errorText.contains("Interrupted.") == (number == SIGINT))
      #expect(try Summary(finished.errorText).samples > 200, "\(finished.description)")
      #expect(folder.contents == ["out"])
      #expect(try program.result(Report.self).right)
    }
  }
}
