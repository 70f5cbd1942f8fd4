// Samples of a user without root count only where a check of the permission answers for their time.

import Testing

@testable import Sampling

@Suite struct ProvenTimeTests {
  /// A clock and a kernel's answer that the test sets.
  private final class Kernel {
    var now: UInt64 = 0
    var permits = true
    var asked = 0
  }

  private final class Proven {
    private var time: ProvenTime

    init(_ kernel: Kernel) {
      time = ProvenTime(clock: { kernel.now }) {
        kernel.asked += 1
        return kernel.permits
      }
    }

    func covers(_ sample: UInt64) -> Bool { time.covers(sample) }

    func begin() { time.begin() }
  }

  private func make() -> (Kernel, Proven) {
    let kernel = Kernel()
    return (kernel, Proven(kernel))
  }

  @Test func oneCheckAnswersForAllBeforeIt() {
    let (kernel, proven) = make()
    kernel.now = 100
    for time in UInt64(90)...100 { #expect(proven.covers(time)) }
    #expect(kernel.asked == 1)
    kernel.now = 200
    #expect(proven.covers(101) && kernel.asked == 2)
  }

  /// What was proven stays so; what comes after the last success is not.
  @Test func afterTheEndNothingIsProven() {
    let (kernel, proven) = make()
    kernel.now = 100
    #expect(proven.covers(100))
    kernel.permits = false
    kernel.now = 200
    #expect(!proven.covers(101))
    #expect(proven.covers(99))
  }

  /// Between an exec and the next check somebody else's program may have run, and have gone again.
  @Test func anExecTakesWhatWasNotChecked() {
    let (kernel, proven) = make()
    kernel.now = 100
    #expect(proven.covers(100))
    kernel.now = 150
    proven.begin()
    for time: UInt64 in [101, 149] { #expect(!proven.covers(time), "\(time)") }
    kernel.now = 160
    #expect(proven.covers(155))
    kernel.permits = false
    proven.begin()
    kernel.now = 170
    #expect(!proven.covers(165))
  }

  /// A sample that seems to come from after the check is asked for again, and never taken on trust.
  @Test func aTimeToCome() {
    let (kernel, proven) = make()
    kernel.now = 100
    #expect(!proven.covers(101))
    kernel.now = 101
    #expect(proven.covers(101))
  }
}
