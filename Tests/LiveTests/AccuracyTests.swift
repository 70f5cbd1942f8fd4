// Programs that know their own CPU times and legal stacks, compared with their profile.

import Foundation
import Testing

extension Live {
  @Suite struct AccuracyTests {
    /// Share of samples that must be whole: the interpreter of 3.12 is between two stores more often.
    private func leastWhole(_ interpreter: Interpreter) -> Double { interpreter.minor == 12 ? 0.985 : 0.995 }

    private func check(
      _ run: Profiled<Truth>, top: String, threads: Int = 1, _ interpreter: Interpreter, shares: Bool = true
    ) {
      let found = Comparison(run, top: top)
      let context: Comment = "\(interpreter), \(run.script):\n\(run.errorText)"
      #expect(found.illegal == [], context)
      let expected = run.pace.samples(of: Double(run.report.mainCPU), stretches: threads)
      #expect(expected.contains(Double(found.samples + found.marked)), "\(expected); \(context)")
      // The threads and the main thread that waits for them.
      #expect(run.pace.contradictions(threads: threads + 1) == [], context)
      #expect(Double(found.onPath) >= 0.9995 * Double(found.withPath), context)
      if shares { #expect(found.wrongShares(run.report) == [], context) }
      #expect(Bounds.isAtLeast(leastWhole(interpreter), run.ledger.whole, of: run.ledger.targetRuns), context)
      #expect(run.ledger.addsUp && run.ledger.ringFull == 0 && run.ledger.dropped == 0, context)
    }

    @Test(arguments: Interpreter.supported) func nestedFunctions(_ interpreter: Interpreter) throws {
      let run = try Profiled("accuracy_calls.py", ["2"], with: interpreter, as: Truth.self)
      check(run, top: "main", interpreter)
    }

    @Test(arguments: Interpreter.supported) func fastChangingCalls(_ interpreter: Interpreter) throws {
      let run = try Profiled("accuracy_python.py", ["2"], with: interpreter, as: Truth.self)
      check(run, top: "main", interpreter)
      #expect(run.ledger.nameless == 0, "\(run.ledger.text)")
    }

    @Test(arguments: Interpreter.perRelease) func threadsWithAndWithoutTheGIL(_ interpreter: Interpreter)
      throws
    {
      let run = try Profiled("accuracy_threads.py", ["0.6"], with: interpreter, as: Truth.self)
      check(run, top: "thread", threads: 4, interpreter)
    }

    @Test(arguments: Interpreter.supported) func tenThousandPerSecond(_ interpreter: Interpreter) throws {
      for script in ["accuracy_calls.py", "accuracy_python.py"] {
        let run = try Profiled(script, ["1"], with: interpreter, ["-i", "100"], as: Truth.self)
        // An interrupt's own time is the sampled thread's: its share of the time is not looked at.
        let found = Comparison(run, top: "main")
        #expect(found.illegal == [], "\(interpreter), \(script)")
        let expected = run.pace.samples(of: Double(run.report.mainCPU))
        #expect(expected.contains(Double(found.samples + found.marked)), "\(expected); \(run.ledger.text)")
        #expect(run.pace.contradictions() == [], "\(run.ledger.text)")
        #expect(Double(found.onPath) >= 0.9995 * Double(found.withPath))
        #expect(Bounds.isAtLeast(leastWhole(interpreter), run.ledger.whole, of: run.ledger.targetRuns))
        #expect(
          run.ledger.addsUp && run.ledger.ringFull == 0 && run.ledger.dropped == 0, "\(run.ledger.text)")
      }
    }

    /// libunwind's own stepping is the second opinion of the rows.
    @Test func bothWaysToUnwindAgree() throws {
      let run = try Profiled(
        "accuracy_calls.py", ["1"], with: .any, ["--unwinder", "libunwind"], as: Truth.self)
      let found = Comparison(run, top: "main")
      #expect(found.illegal == [])
      #expect(found.onPath == found.withPath)
      #expect(run.pace.samples(of: Double(run.report.mainCPU)).contains(Double(found.samples + found.marked)))
    }
  }
}
