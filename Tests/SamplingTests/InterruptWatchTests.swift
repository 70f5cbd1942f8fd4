// When sampling is found to be blind, and when threads are found to be too short for events of their own.

import Testing

@testable import Sampling

@Suite struct InterruptWatchTests {
  private typealias Reading = InterruptWatch.Reading

  /// `cpu` and `clock` in milliseconds; the period is one.
  private func reading(
    _ clock: UInt64, cpu: UInt64, came: UInt64, alive: UInt64 = 1, born: UInt64 = 0
  ) -> Reading {
    Reading(clock: clock * 1_000_000, cpu: cpu * 1_000_000, interrupts: came, alive: alive, born: born)
  }

  private func watch(alive: UInt64 = 1) -> InterruptWatch {
    InterruptWatch(period: 1_000_000, start: reading(0, cpu: 0, came: 0, alive: alive))
  }

  @Test func aSecondWithoutInterruptsIsBlind() {
    var watch = watch()
    #expect(watch.isBlind(reading(999, cpu: 999, came: 0)) == nil, "not over yet")
    #expect(watch.isBlind(reading(1000, cpu: 1000, came: 998)) == false)
    #expect(watch.blindCPU == 0)
    #expect(watch.isBlind(reading(2000, cpu: 2000, came: 1010)) == true)
    #expect(watch.blindCPU == 988_000_000)
    // The next second is seen again.
    #expect(watch.isBlind(reading(3000, cpu: 3000, came: 2009)) == false)
    #expect(watch.blindCPU == 988_000_000)
  }

  @Test func whatHardlyRunsIsWaitedFor() {
    var watch = watch()
    // 60 periods of a second that was mostly slept say nothing.
    #expect(watch.isBlind(reading(1000, cpu: 60, came: 0)) == nil)
    #expect(watch.isBlind(reading(2000, cpu: 120, came: 0)) == true)
    #expect(watch.blindCPU == 120_000_000)
  }

  @Test func unfinishedPeriodsAreNotBlindness() {
    var watch = watch(alive: 300)
    #expect(watch.isBlind(reading(1000, cpu: 300, came: 5, alive: 300)) == false)
    #expect(watch.isBlind(reading(2000, cpu: 600, came: 20, alive: 10, born: 290)) == false)
    #expect(watch.isBlind(reading(3000, cpu: 900, came: 25, alive: 10, born: 290)) == true)
  }

  @Test func threadsThatEndedUnsampled() {
    let watch = watch()
    // 20 threads of 0.8 ms each beside the main thread, which has been sampled.
    #expect(watch.losesTooMuch(reading(30, cpu: 26, came: 10, alive: 1, born: 20)))
    // The same number of threads in a long run: under 1 %.
    #expect(!watch.losesTooMuch(reading(9000, cpu: 2016, came: 2000, alive: 1, born: 20)))
    #expect(watch.losesTooMuch(reading(9000, cpu: 2024, came: 2000, alive: 1, born: 30)))
  }

  /// Late timers and time of the host are nothing that other events would see.
  @Test func whatThreadsCannotHaveLeftIsNotTheirs() {
    #expect(!watch().losesTooMuch(reading(10_000, cpu: 10_000, came: 8000)))
    #expect(!watch(alive: 3).losesTooMuch(reading(10_000, cpu: 10_000, came: 8000, alive: 3)))
  }

  @Test func manyIdleThreads() {
    let watch = watch(alive: 2000)
    // 2,000 threads that use 270 ms in a second and have finished no period: nothing ended, and nothing is seen.
    #expect(!watch.losesTooMuch(reading(100, cpu: 27, came: 0, alive: 2000)), "too early to tell")
    #expect(watch.losesTooMuch(reading(250, cpu: 67, came: 0, alive: 2000)))
  }

  /// 24 and 64 threads that keep two CPUs busy leave half a period each, whatever the length of the run.
  @Test(arguments: [24, 64] as [UInt64]) func busyThreadsAreWellSampled(_ count: UInt64) {
    let watch = watch(alive: count)
    for clock in stride(from: UInt64(50), through: 20_000, by: 50) {
      let came = clock * 2 > count / 2 ? clock * 2 - count / 2 : 0
      #expect(!watch.losesTooMuch(reading(clock, cpu: clock * 2, came: came, alive: count)), "\(clock)")
    }
  }
}
