// The limits of the proof as numbers: whoever changes one of them changes what "proven" means.

import Accounting
import Snapshots
import SwitchProof
import Testing

@Suite struct LimitTests {
  private static let interrupt: UInt64 = 5_000_000

  /// One switch away, so long after the interrupt; `registers`: with the kernel's part of perf events.
  private func history(gap: UInt64, registers: Bool) -> SwitchHistory {
    let out = SwitchRecord(.out, time: Self.interrupt + gap)
    let back = SwitchRecord(.in, time: 4_000_000)
    return SwitchHistory(
      head: 0, newest: out,
      second: registers ? SwitchRecord(.registers, time: Self.interrupt + gap) : back,
      third: registers ? back : SwitchRecord(.out, time: 3_000_000), isComplete: false, since: 1000)
  }

  /// Evidence counts below 60 us: of 59,404 samples within that none was wrong.
  @Test(
    arguments: [(1, true), (59_999, true), (60_000, false), (61_000, false), (5_999_999, false)]
      as [(UInt64, Bool)]) func evidenceEndsAtSixtyMicroseconds(_ gap: UInt64, _ isEnough: Bool)
  {
    let found = SwitchEvidence.refusal(interruptedAt: Self.interrupt, history(gap: gap, registers: false))
    #expect(found == (isEnough ? nil : .leftTooLate))
  }

  /// A system call may have written to the stack only where it ended at once.
  @Test(arguments: [(59_999, true), (60_000, false), (1_000_000, false)] as [(UInt64, Bool)])
  func aChangedStackIsForgivenForSixtyMicroseconds(_ gap: UInt64, _ isEnough: Bool) {
    let found = SwitchProof.refusal(
      stackIsSame: false, inKernel: true, interruptedAt: Self.interrupt, history(gap: gap, registers: true))
    #expect(found == (isEnough ? nil : .stackDiffers))
  }

  /// With registers the time does not matter: a thread may wait for its CPU as long as it likes.
  @Test func registersProveAtAnyTime() {
    let late = history(gap: 3_000_000_000, registers: true)
    #expect(SwitchProof.refusal(interruptedAt: Self.interrupt, with: Registers(), late) == nil)
  }

  /// A reader may take three quarters of a tenth of a second.
  @Test func theWatchdogsShare() {
    var share = RealtimeShare(clock: 0, cpu: 0)
    let enough = share.isTooMuch(clock: 100_000_000, cpu: 75_000_000)
    let tooMuch = share.isTooMuch(clock: 200_000_000, cpu: 151_000_000)
    #expect(!enough && tooMuch)
  }
}
