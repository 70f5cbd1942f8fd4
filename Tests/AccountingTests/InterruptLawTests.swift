// The law that a blind run cannot satisfy: interrupts against the target's own clock.

import Testing

@testable import Accounting

@Suite struct InterruptLawTests {
  /// 20 s of one thread at 1 kHz, of which `came` interrupts came.
  private func ledger(_ came: UInt64, change: (inout Ledger) -> Void = { _ in }) -> Ledger {
    var ledger = Ledger()
    ledger.period = 1_000_000
    ledger.ownClock = 20_000_000_000
    ledger.runs = came + 100
    ledger.filtered = 100
    ledger.threadsLived = 1
    change(&ledger)
    return ledger
  }

  /// 1 unfinished, 1,000 late, 4.5 deviations of 20,000 (636), 20 periods of ticks.
  @Test func theBoundIsTheSumOfItsParts() {
    #expect(ledger(20_000).missingBound == 1 + 1000 + 636 + 20)
    #expect(ledger(20_000) { $0.threadsLived = 300 }.missingBound == 300 + 1000 + 636 + 20)
    #expect(
      ledger(20_000) {
        $0.threadsLived = 300
        $0.eventsPerThread = 4
      }.missingBound == 1200 + 1000 + 636 + 20)
    #expect(ledger(20_000) { $0.interruptsByCPUs = 20_000 }.missingBound == 1 + 6666 + 636 + 20)
    // 100 ticks of 10 ms: 4.5 deviations are 45 ticks.
    #expect(ledger(20_000) { $0.kernelCPU = 1_000_000_000 }.missingBound == 1 + 1000 + 636 + 470)
  }

  @Test func fewerThanCanBeExplained() {
    #expect(ledger(20_000).rateErrors == [])
    #expect(ledger(20_000 - 1657).rateErrors == [])
    #expect(ledger(20_000 - 1658).rateErrors == [.tooFew(came: 18_342, of: 20_000)])
    #expect(ledger(0).rateErrors == [.tooFew(came: 0, of: 20_000)])
    // Nor are interrupts of others the target's.
    #expect(ledger(0) { $0.filtered = $0.runs }.rateErrors.count == 1)
  }

  @Test func moreThanCanBeExplained() {
    // A quarter, one thread's period, deviations, ticks.
    let most: UInt64 = 20_000 + 5000 + 1 + 636 + 20
    #expect(ledger(most).rateErrors == [])
    #expect(ledger(most + 1).rateErrors == [.tooMany(came: most + 1, of: 20_000)])
    #expect(ledger(most + 1000) { $0.clockAhead = 1_000_000_000 }.rateErrors == [])
    #expect(ledger(2 * 20_000).missing == -20_000)
  }

  @Test func blindForATime() {
    #expect(ledger(19_500) { $0.blindCPU = 500_000_000 }.rateErrors == [.blind(500_000_000)])
    // It is told once.
    #expect(ledger(10) { $0.blindCPU = 500_000_000 }.rateErrors == [.tooFew(came: 10, of: 20_000)])
  }

  @Test func nothingIsSaidOfWhatUsedNoTime() {
    #expect(ledger(0) { $0.ownClock = 0 }.rateErrors == [])
    // Starting and ending.
    #expect(ledger(0) { $0.ownClock = 20_000_000 }.rateErrors == [])
    #expect(Ledger().rateErrors == [])
    #expect(Ledger().missing == 0 && Ledger().missingBound == 0)
  }

  /// What the threads' events counted is compared with their own interrupts only.
  @Test func unfinishedPeriodsAreThoseOfThreads() {
    let mixed = ledger(15_000) {
      $0.eventCount = 5_010_000_000
      $0.interruptsByCPUs = 10_000
    }
    #expect(mixed.unfired == 10)
    #expect(ledger(15_000) { $0.interruptsByCPUs = 15_000 }.unfired == 0)
  }
}
