// The rate that was asked for is the rate of the samples, by the target's own clock and nothing else.

import Foundation
import Testing

extension Live {
  @Suite struct RateTests {
    /// Interrupts for each second of the target's own CPU time: the best of three runs. What disturbs a run only takes
    /// interrupts away, or adds time that is not the target's own.
    private func rate(_ options: [String], every microseconds: Double) throws -> Double {
      let rates = try (0..<3).map { _ in
        let run = try Profiled(
          "accuracy_calls.py", ["0.8"], with: .any, ["-i", "\(Int(microseconds))"] + options, as: Truth.self)
        #expect(run.pace.contradictions(threads: 2) == [], "\(run.ledger.text)")
        return Double(run.ledger.targetRuns) / (run.pace.own / 1e9)
      }
      let wanted = 1e6 / microseconds
      return rates.min { abs($0 - wanted) < abs($1 - wanted) } ?? 0
    }

    /// A run has 400 samples or more, and an error of one at each end.
    @Test(arguments: [[], ["--no-bpf"]]) func twiceTheIntervalIsHalfTheSamples(_ options: [String]) throws {
      let (every, second) = (try rate(options, every: 1000), try rate(options, every: 2000))
      #expect(abs(every - 1000) < 50, "\(every) samples for each second at -i 1000")
      #expect(abs(second - 500) < 25, "\(second) samples for each second at -i 2000")
      #expect(abs(every / second - 2) < 0.1, "\(every) and \(second)")
    }
  }
}
