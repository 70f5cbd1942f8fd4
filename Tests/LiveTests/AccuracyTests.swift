// Programs that know their own CPU times and legal stacks, compared with their profile.

import Foundation
import Testing

extension Live {
  @Suite struct AccuracyTests {
    /// Share of samples that must be whole: the interpreter of 3.12 is between two stores more often.
    private func leastWhole(_ interpreter: Interpreter) -> Double { interpreter.minor == 12 ? 0.985 : 0.995 }

    private func check(
      _ run: Profiled<Truth>, top: String, hertz: Double, _ interpreter: Interpreter, shares: Bool = true
    ) {
      let found = Comparison(run, top: top)
      let context: Comment = "\(interpreter), \(run.script):\n\(run.errorText)"
      #expect(found.illegal == [], context)
      #expect(found.samples > 500, context)
      #expect(Double(found.onPath) >= 0.9995 * Double(found.withPath), context)
      if shares { #expect(found.wrongShares(run.report) == [], context) }
      let rate = found.rate(run.report)
      let late = run.ledger.unfired / run.ledger.targetCPU
      #expect(
        rate <= Bounds.mostPerPeriod * hertz && rate + late >= 0.98 * hertz,
        "\(rate) samples per CPU second; \(context)")
      #expect(Bounds.isAtLeast(leastWhole(interpreter), run.ledger.whole, of: run.ledger.targetRuns), context)
      #expect(run.ledger.addsUp && run.ledger.ringFull == 0 && run.ledger.dropped == 0, context)
    }

    @Test(arguments: Interpreter.supported) func nestedFunctions(_ interpreter: Interpreter) throws {
      let run = try Profiled("accuracy_calls.py", ["2"], with: interpreter, as: Truth.self)
      check(run, top: "main", hertz: 1000, interpreter)
    }

    @Test(arguments: Interpreter.supported) func fastChangingCalls(_ interpreter: Interpreter) throws {
      let run = try Profiled("accuracy_python.py", ["2"], with: interpreter, as: Truth.self)
      check(run, top: "main", hertz: 1000, interpreter)
      #expect(run.ledger.nameless == 0, "\(run.ledger.text)")
    }

    @Test(arguments: Interpreter.perRelease) func threadsWithAndWithoutTheGIL(_ interpreter: Interpreter)
      throws
    {
      let run = try Profiled("accuracy_threads.py", ["0.6"], with: interpreter, as: Truth.self)
      check(run, top: "thread", hertz: 1000, interpreter)
    }

    @Test(arguments: Interpreter.supported) func tenThousandPerSecond(_ interpreter: Interpreter) throws {
      for script in ["accuracy_calls.py", "accuracy_python.py"] {
        let run = try Profiled(script, ["1"], with: interpreter, ["-i", "100"], as: Truth.self)
        // An interrupt's own time is the sampled thread's: only the edges are looked at.
        let found = Comparison(run, top: "main")
        #expect(found.illegal == [], "\(interpreter), \(script)")
        #expect(found.samples > 5000)
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
      #expect(found.onPath == found.withPath && found.withPath > 500)
    }
  }
}
