// The watchdog's arithmetic.

import SwitchProof
import Testing

@Suite struct RealtimeShareTests {
  private static let window = RealtimeShare.window

  /// What a watchdog says at the end of each span of time: how many windows since the start, and percent of CPU in
  /// them since the start.
  private func answers(_ looks: [(windows: UInt64, percent: UInt64)], limit: UInt64) -> (
    [Bool], largest: UInt64
  ) {
    var share = RealtimeShare(limit: limit, clock: 1000, cpu: 500)
    var found: [Bool] = []
    for look in looks {
      let clock = 1000 + look.windows * Self.window
      let cpu = 500 + Self.window * look.percent / 100
      found.append(share.isTooMuch(clock: clock, cpu: cpu))
    }
    return (found, share.largest)
  }

  @Test func onlyAWholeWindowCounts() {
    var share = RealtimeShare(limit: 75, clock: 0, cpu: 0)
    let early = share.isTooMuch(clock: Self.window - 1, cpu: Self.window - 1)
    #expect(!early && share.largest == 0)
    let whole = share.isTooMuch(clock: Self.window, cpu: Self.window * 76 / 100)
    #expect(whole && share.largest == 76)
  }

  /// 75 %, then 5 %, then 90 % of a window.
  @Test func eachWindowBeginsAnew() {
    let (found, largest) = answers([(1, 75), (2, 80), (3, 170)], limit: 75)
    #expect(found == [false, false, true])
    #expect(largest == 90)
  }

  /// A reader that was not woken for long used its CPU over all of that time.
  @Test func aLongWindowIsAveraged() {
    #expect(answers([(10, 300)], limit: 75).0 == [false])
  }

  /// The kernel lets real-time threads have 95 % of a second (sched_rt_runtime_us).
  @Test func theLimitIsBelowTheKernels() {
    #expect(RealtimeShare(clock: 0, cpu: 0).limit < 95)
  }
}
