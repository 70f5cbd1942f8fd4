// As many samples as the CPU time asks for, in every way of sampling; and a word where it is not so.

import Foundation
import Testing

extension Live {
  @Suite struct RatesTests {
    /// How threads are interrupted.
    enum Mode: String, CaseIterable {
      case threads = "--all-threads"
      case cpus = "--per-cpu"
      case withoutBPF = "--no-bpf"
    }

    private struct Used: Decodable {
      let cpu: Double
      let total: Double
      enum CodingKeys: String, CodingKey {
        case cpu = "cpu_ns"
        case total = "total_ns"
      }
    }

    /// A run of a situation of known_time.py under `run` or `attach`: nanoseconds of CPU time, and what caduceus said.
    private func sample(_ situation: String, _ seconds: String, _ mode: Mode, attach: Bool) throws -> (
      cpu: Double, ledger: LedgerReport, said: String
    ) {
      let folder = try Folder()
      let interpreter = try Interpreter.any
      let options = [mode.rawValue, "--ledger", "--collapsed", "-o", folder.file("out")]
      if attach {
        let program = try Program("known_time.py", [situation, seconds], with: interpreter)
        let finished = try Caduceus.attach(program, options)
        let used = try program.result(Used.self)
        return (used.cpu, try LedgerReport(finished.errorText), finished.errorText)
      }
      let finished = try Caduceus.run(
        ["run"] + options + ["--"]
          + Program.command("known_time.py", [situation, seconds, "--no-gate"], with: interpreter))
      let used = try JSONDecoder().decode(Used.self, from: finished.output)
      return (used.total, try LedgerReport(finished.errorText), finished.errorText)
    }

    /// The rate is within 2 % and 4.5 standard deviations, of which interrupts by the clocks of threads have none, the
    /// periods that were begun and not finished, and what begins and ends with the process; upwards, what the kernel's
    /// ticks do not tell of other time (`Pace.untold`). Time after a stretch of work is lost to late timers of CPUs that
    /// had been idle (InterruptLaw.swift says how much).
    private func check(
      _ run: (cpu: Double, ledger: LedgerReport, said: String), stretches: Double = 0, _ context: String
    ) {
      let expected = run.cpu / 1e6
      let found = Double(run.ledger.targetRuns)
      let chance = 0.02 * expected + Bounds.deviations * expected.squareRoot() + 25
      let unfinished = run.ledger["threads that had events of their own"]
      let least = expected - chance - stretches * 0.05 - min(unfinished, 0.02 * expected)
      let most =
        expected * (1 + Pace.untold) + chance + run.ledger[
          "that the events may have been ahead of that clock"] * 1e3
      #expect(found >= least && found <= most, "\(context): \(found), not in \(least)...\(most)\n\(run.said)")
      #expect(run.ledger.addsUp, "\(context)\n\(run.said)")
    }

    @Test(arguments: ["steady", "burst-3-7", "busy-threads-8"], Mode.allCases) func asTheTimeAsks(
      _ situation: String, _ mode: Mode
    ) throws {
      for attach in [false, true] {
        check(
          try sample(situation, "1", mode, attach: attach), stretches: 150, "\(situation) \(mode) \(attach)")
      }
    }

    /// `run` leaves the enabling of its events to the exec; what it changes to must not wait for another one.
    @Test(arguments: [false, true]) func shortThreadsThenOrdinaryWork(_ attach: Bool) throws {
      let run = try sample("short-threads-first", "1", .threads, attach: attach)
      check(run, stretches: 400, "attach \(attach)")
      #expect(run.ledger.interruptsByCPUs > 800, "\(run.said)")
    }

    /// A CPU's clock is the clock of the program's timer.
    @Test(arguments: [Mode.threads, .cpus]) func aThreadEachMillisecond(_ mode: Mode) throws {
      check(try sample("thread-each-millisecond", "3", mode, attach: false), stretches: 3000, "\(mode)")
    }

    /// No thread ends, and none finishes a period.
    @Test func manyMostlyIdleThreads() throws {
      let run = try sample("idle-threads-2000", "2", .threads, attach: true)
      #expect(run.ledger.interruptsByCPUs > 0, "\(run.said)")
      #expect(Double(run.ledger.targetRuns) > 0.7 * run.cpu / 1e6, "\(run.said)")
      #expect(run.ledger.addsUp, "\(run.said)")
    }

    /// One thread's late timers and its host's time are no short threads.
    @Test func oneThreadKeepsItsEvent() throws {
      let run = try sample("burst-0.3-0.7", "2", .threads, attach: false)
      #expect(run.ledger.interruptsByCPUs == 0, "\(run.said)")
      check(run, "one thread")
    }

    @Test(arguments: Mode.allCases) func aSleeperHasMissedNothing(_ mode: Mode) throws {
      let run = try sample("sleeper", "1.5", mode, attach: true)
      #expect(run.ledger.addsUp, "\(run.said)")
    }

    /// The events are disabled from outside: neither the program nor the events' own count can know.
    @Test(
      .enabled(if: Machine.isRoot),
      arguments: [
        ["--all-threads"], ["--main-thread"], ["--per-cpu"], ["--no-bpf"], ["--no-bpf", "--main-thread"],
      ]) func aBlindRunSaysSo(_ options: [String]) throws
    {
      let interpreter = try Interpreter.any
      let program = try Program("known_time.py", ["steady", "4"], with: interpreter)
      let folder = try Folder()
      let caduceus = try Caduceus.start(
        ["attach"] + options + ["--ledger", "--collapsed", "-o", folder.file("out"), "\(program.pid)"])
      try Caduceus.waitUntilItSamples(caduceus)
      program.go()
      try program.child.wait(forCPU: program.cpuAtStart / 1e9 + 1)
      let disabled = try Child.run(
        [interpreter.path, Program.path("disable_events.py"), "\(caduceus.pid)"])
      #expect(disabled.status == 0 && disabled.outputText != "0\n", "\(disabled.description)")
      let finished = try caduceus.finish()
      _ = try program.result(Used.self)
      let ledger = try LedgerReport(finished.errorText)
      #expect(finished.errorText.contains("SAMPLING ERROR: "), "\(finished.errorText)")
      // Nothing else is wrong, and the rest of the time is seen.
      #expect(ledger.text.contains("  All sums add up.\n"))
      #expect(ledger.blind > 0.1 && ledger.blind < 3, "\(ledger.text)")
      #expect(Double(ledger.targetRuns) > 1000 * (ledger.ownClock - 2.5), "\(ledger.text)")
    }

    @Test func childrenAreToldOf() throws {
      let interpreter = try Interpreter.any
      let folder = try Folder()
      let work =
        (["exec"] + (try Program.command("known_time.py", ["steady", "0.5", "--no-gate"], with: interpreter)))
        .joined(separator: " ")
      let finished = try Caduceus.run([
        "run", "--ledger", "--collapsed", "-o", folder.file("out"), "--", "/bin/sh", "-c",
        "(\(work)); exit 3",
      ])
      #expect(finished.status == 3, "\(finished.description)")
      let line = try #require(
        finished.errorLines.first { $0.hasPrefix("Children: ") }, "\(finished.description)")
      #expect(line.hasPrefix("Children: 1 process (1 seen with Python) used 0."), "\(line)")
      #expect(line.hasSuffix(" was not sampled; caduceus attach PID samples one while it runs"), "\(line)")
      let used = try LedgerReport(finished.errorText)["of CPU time of child processes, which are not sampled"]
      #expect(used >= 0.48, "\(line)")
    }

    /// A child that goes on: the command that reaches it.
    @Test func aChildThatIsStillThere() throws {
      let interpreter = try Interpreter.any
      let folder = try Folder()
      let child = "import os, time\nos.read(0, 1)"
      let parent = """
        import subprocess, sys, os
        child = subprocess.Popen([sys.executable, "-c", \(String(reflecting: child))])
        print(child.pid, flush=True)
        os.waitid(os.P_PID, child.pid, os.WEXITED)
        """
      let program = try Child([interpreter.path, "-c", parent])
      let pid = try program.line()
      let finished = try Caduceus.run(
        ["attach", "-d", "0.5", "--collapsed", "-o", folder.file("out"), "\(program.pid)"])
      #expect(
        finished.errorLines.contains {
          $0.hasPrefix("Children: 1 process") && $0.hasSuffix("still there: caduceus attach \(pid)")
        },
        "\(finished.description)")
      program.send("x")
      _ = try program.finish()
    }

    @Test func noChildrenNoWord() throws {
      let run = try sample("steady", "0.3", .threads, attach: false)
      #expect(!run.said.contains("Children"), "\(run.said)")
    }
  }
}
