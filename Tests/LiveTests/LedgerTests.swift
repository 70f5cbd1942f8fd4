// The accounting of samples, against the kernel's own count of the program's runs and the target's own clock.

import Foundation
import Testing

extension Live {
  @Suite struct LedgerTests {
    /// How a run is disturbed.
    enum Situation: String, CaseIterable { case normal, smallRing, killed, interrupted, perCPU, mainThread }

    private struct Held: Decodable { let runs: Int }

    /// A profile's ledger, and how often the kernel says that the program ran (`run_cnt` of its statistics).
    private func runs(_ situation: Situation, _ interpreter: Interpreter) throws -> (
      LedgerReport, kernel: Int, CollapsedFile
    ) {
      let folder = try Folder()
      let holder = try Program("hold_program.py", with: .any)
      holder.go()
      let script = situation == .mainThread ? "accuracy_threads.py" : "accuracy_python.py"
      let target = try Program(
        script, [situation == .killed || situation == .interrupted ? "30" : "0.5"], with: interpreter)
      let options: [String] =
        switch situation {
        case .smallRing: ["-i", "20", "--ring-size", "64"]
        case .perCPU: ["--per-cpu"]
        case .mainThread: ["--main-thread"]
        default: ["-i", "200"]
        }
      let caduceus = try Caduceus.start(
        ["attach", "-d", "100", "--collapsed", "--ledger", "-o", folder.file("stacks.txt")] + options + [
          "\(target.pid)"
        ])
      try caduceus.errorLines(1)
      holder.child.send("\(caduceus.pid)\n")
      #expect(try holder.child.line() == "held")
      target.go()
      if situation == .killed || situation == .interrupted {
        try target.child.wait(forCPU: 0.3)
        if situation == .killed { target.child.signal(SIGKILL) } else { caduceus.signal(SIGINT) }
      }
      let finished = try caduceus.finish()
      #expect(finished.status == 0, "\(finished.description)")
      holder.child.send("\n")
      let held = try holder.result(Held.self)
      return (
        try LedgerReport(finished.errorText), held.runs, try CollapsedFile(path: folder.file("stacks.txt"))
      )
    }

    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can hold a program of the kernel"),
      arguments: Situation.allCases, Interpreter.perRelease)
    func everyRunIsAccountedFor(_ situation: Situation, _ interpreter: Interpreter) throws {
      let (ledger, kernel, stacks) = try runs(situation, interpreter)
      #expect(ledger.runs == kernel, "\(interpreter)")
      let lost = ledger.ringFull + ledger.count("samples lost: output failed otherwise")
      let filtered = ledger.count("of these in other processes, or a second event of one thread")
      #expect(kernel == filtered + ledger.kept + ledger.dropped + lost, "\(ledger.text)")
      #expect(stacks.total == ledger.kept)
      #expect(ledger.kept == ledger.whole + ledger.damaged)
      // An interrupt each 20 us is more than every machine can give.
      #expect(situation == .smallRing ? ledger.sumsAddUp : ledger.addsUp, "\(ledger.text)")
      #expect(ledger.count("records that came after younger ones") == 0)
      if situation == .smallRing {
        #expect(ledger.ringFull > 0)
        #expect(
          ledger.count("attempts to write a sample that found no room")
            == ledger.count("sample records without room"))
      } else {
        #expect(ledger.ringFull == 0 && kernel > (situation == .mainThread ? 0 : 300), "\(ledger.text)")
      }
    }

    private struct Caused: Decodable {
      let cpu: UInt64
      enum CodingKeys: String, CodingKey { case cpu = "cpu_ns" }
    }

    /// Each state of the target is there for a known CPU time, so that the count of its own line is known.
    @Test(
      arguments: [
        ("hidden", "interpreter memory not readable in the interrupt"),
        ("swapped", "code pointer without a code object"),
        ("unlinked", "Python frame chain in the middle of a change"),
        ("misplaced", "Python and native frames could not be joined"),
        ("crowded", "too many Python threads to search"),
        ("unknown", "no unwind information"),
        ("deep", "more Python frames than a record holds"),
        ("big", "copy of the native stack too short"),
      ], Interpreter.perRelease)
    func eachCauseMovesItsOwnLine(_ cause: (kind: String, line: String), _ interpreter: Interpreter) throws {
      let run = try Profiled(
        "causes.py", [cause.kind, "100"], with: interpreter, ["-i", "500"], as: Caused.self)
      var line = cause.line
      // 3.11 knows by the loop's own record that the frame cannot be without a caller.
      if cause.kind == "unlinked", interpreter.minor == 11 {
        line = "Python and native frames could not be joined"
      }
      let found = Double(run.ledger.count(line))
      if cause.kind == "big" {
        #expect(found > 20, "\(run.ledger.text)")  // It works by rounds, not by the clock.
      } else {
        let expected = run.pace.interrupts(of: 100e6)
        #expect(
          expected.contains(found),
          "\(interpreter), \(cause.kind): \(found), not in \(expected)\n\(run.ledger.text)")
      }
      // No other line moves, and the ordinary work before and after is whole.
      #expect(run.ledger.damaged - Int(found) <= 3, "\(run.ledger.text)")
      let ordinary = run.stacks.lines.filter { $0.names.contains("ordinary") }
      let expected = run.pace.interrupts(of: 200e6, stretches: 2)
      #expect(expected.contains(Double(ordinary.reduce(0) { $0 + $1.count })), "\(run.ledger.text)")
      #expect(run.pace.contradictions() == [], "\(run.ledger.text)")
      #expect(ordinary.filter(\.isMarked).map(\.text) == [])
      // What is not whole says so where it stands; native code that Python has no part in is shown as it is.
      if cause.kind != "crowded" {
        #expect(run.stacks.count(where: \.isMarked) == run.ledger.damaged, "\(run.ledger.text)")
      }
      #expect(run.ledger.addsUp)
    }

    /// Code without unwind information that keeps the old stack pointer in a register, as OpenBLAS does, above
    /// whatever an earlier call left on the stack: a guess leads to the caller, or is found out.
    @Test(arguments: Interpreter.perRelease, ["rows", "libunwind"])
    func aGuessIsRightOrFoundOut(_ interpreter: Interpreter, _ unwinder: String) throws {
      let run = try Profiled(
        "causes.py", ["kernel", "100"], with: interpreter, ["-i", "500", "--unwinder", unwinder],
        as: Caused.self)
      let kernel = run.stacks.lines.filter { $0.names.contains { $0.hasPrefix("anon+") } }
      let whole = kernel.filter { !$0.isMarked }
      let right = whole.filter {
        $0.text.wholeMatch(of: /<module>;main;fault_kernel;anon[+]0x[0-9a-f]+/) != nil
      }
      #expect(kernel.reduce(0) { $0 + $1.count } > 20)
      #expect(right.count == whole.count, "\(whole.map(\.text))")
      // What is marked still has its Python half.
      #expect(kernel.allSatisfy { $0.names.starts(with: ["<module>", "main"]) }, "\(kernel.map(\.text))")
      let marked = kernel.filter(\.isMarked).reduce(0) { $0 + $1.count }
      #expect(run.ledger.damaged - marked <= 3, "\(run.ledger.text)")
    }

    @Test func samplesBeforeTheInterpreterIsKnownAreCounted() throws {
      let folder = try Folder()
      let interpreter = try Interpreter.any
      let finished = try Caduceus.run(
        [
          "run", "-i", "100", "--collapsed", "--ledger", "-o", folder.file("stacks.txt"), "--",
          interpreter.path, "-c", "pass",
        ])
      let ledger = try LedgerReport(finished.errorText)
      #expect(finished.status == 0 && ledger.notYetKnown > 0, "\(finished.description)")
      #expect(ledger.addsUp)
    }

    private struct Short: Decodable {
      let threadsCPU: Double
      enum CodingKeys: String, CodingKey { case threadsCPU = "threads_cpu_ns" }
    }

    @Test func threadsWithoutPythonAreCounted() throws {
      let run = try Profiled("short_threads.py", ["native", "3", "100000"], with: .any, as: Short.self)
      let found = Double(run.ledger.count("of threads that do not run Python"))
      #expect(
        run.pace.interrupts(of: run.report.threadsCPU, stretches: 3).contains(found), "\(run.ledger.text)")
      #expect(run.pace.contradictions(threads: 4) == [], "\(run.ledger.text)")
    }

    /// The target's own clock is what is expected; the events count the same.
    @Test(arguments: Interpreter.perRelease) func expectedIsTheTargetsOwnClock(_ interpreter: Interpreter)
      throws
    {
      let run = try Profiled("accuracy_calls.py", ["1"], with: interpreter, as: Truth.self)
      let line = Double(run.ledger.count("samples expected from the CPU time of the sampled threads"))
      let pace = run.pace
      #expect(
        line >= Double(run.report.mainCPU) / pace.period - 2
          && line <= (pace.own + pace.elsewhere) / pace.period + 1,
        "\(line) for \(pace.own) ns and at most \(pace.elsewhere) ns elsewhere")
      #expect(pace.own >= Double(run.report.mainCPU))
      #expect(pace.contradictions() == [], "\(run.ledger.text)")
    }
  }
}
