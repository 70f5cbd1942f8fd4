// Losses that real means bring about: rings that are too small, and a kernel that lets events interrupt less often.

import Foundation
import Testing

extension Live {
  @Suite struct LossesTests {
    /// Ten thousand samples a second into 64 KiB: many find no room. Each interrupt is counted all the same: there are
    /// as many as the target's own clock has periods.
    @Test(arguments: [[], ["--no-bpf"]]) func interruptsWithoutRoomAreCounted(_ options: [String]) throws {
      let run = try Profiled(
        "accuracy_python.py", ["1"], with: .any, ["-i", "100", "--ring-size", "64"] + options, as: Truth.self)
      let context: Comment = "\(run.errorText)"
      #expect(run.ledger.addsUp, context)
      let expected = run.pace.interrupts(of: run.pace.own, stretches: 2)
      #expect(expected.contains(Double(run.ledger.targetRuns)), "\(expected): \(run.ledger.text)")
      #expect(run.ledger.ringFull > 0, context)
      let lost = run.ledger.ringFull + run.ledger.count("samples lost: output failed otherwise")
      #expect(run.ledger.targetRuns == run.ledger.kept + run.ledger.dropped + lost, context)
      #expect(run.stacks.total == run.ledger.kept, context)
      // What is kept is true all the same.
      #expect(Comparison(run, top: "main").illegal == [], context)
    }

    /// The kernel lets an event interrupt no more often than kernel.perf_event_max_sample_rate says, and stops it for
    /// the rest of a tick of its timer: that is told.
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can change sysctls"))
    func throttlingIsTold() throws {
      let usual = try Profiled("accuracy_python.py", ["0.5"], with: .any, ["-i", "200"], as: Truth.self)
      #expect(usual.ledger.throttled * 20 < usual.ledger.expected, "\(usual.ledger.text)")
      try withSetting("kernel.perf_event_max_sample_rate", 1000) {
        let run = try Profiled("accuracy_python.py", ["0.5"], with: .any, ["-i", "200"], as: Truth.self)
        // A fifth of the rate was allowed.
        #expect(run.ledger.throttled * 5 > run.ledger.expected, "\(run.ledger.text)")
        #expect(run.ledger.targetRuns * 2 < run.ledger.expected, "\(run.ledger.text)")
        // The sums add up, and that most of the time is not in the profile is an error, with its reason.
        #expect(run.ledger.sumsAddUp && !run.ledger.addsUp, "\(run.ledger.text)")
        #expect(run.ledger.text.contains("(kernel.perf_event_max_sample_rate)"), "\(run.ledger.text)")
      }
    }
  }
}
