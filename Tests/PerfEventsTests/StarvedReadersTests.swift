// When a reader is taken away from its CPU, and when it comes back.

import Testing

@testable import PerfEvents

@Suite struct StarvedReadersTests {
  private static let patience = StarvedReaders.patience
  private static let pause = StarvedReaders.firstPause

  @Test func aReaderThatKeepsUp() {
    var watch = StarvedReaders.Watch()
    for round in 1..<100 as Range<UInt64> {
      // Always some way behind, and always further.
      let step = watch.look(isBehind: true, consumed: round * 10, clock: round * Self.patience)
      #expect(step == .nothing)
    }
  }

  @Test func anIdleReader() {
    var watch = StarvedReaders.Watch()
    for round in 0..<100 as Range<UInt64> {
      let step = watch.look(isBehind: false, consumed: 70, clock: round * Self.patience)
      #expect(step == .nothing)
    }
  }

  /// However long nobody looked: its time begins when it is told.
  @Test func aReaderThatWasJustTold() {
    var watch = StarvedReaders.Watch()
    var steps = [watch.look(isBehind: false, consumed: 0, clock: 0)]
    steps.append(watch.look(isBehind: true, consumed: 0, clock: 50 * Self.patience))
    steps.append(watch.look(isBehind: true, consumed: 0, clock: 51 * Self.patience - 1))
    #expect(steps == [.nothing, .nothing, .nothing])
  }

  @Test func aReaderThatDoesNotRun() {
    var watch = StarvedReaders.Watch()
    var steps: [StarvedReaders.Step] = []
    for round in 0..<6 as Range<UInt64> {
      steps.append(watch.look(isBehind: true, consumed: 0, clock: round * Self.patience))
    }
    #expect(steps == [.nothing, .leaveCPU, .leaveClass, .nothing, .nothing, .nothing])
  }

  @Test func aReaderTriesItsOwnCPUAgain() {
    var watch = StarvedReaders.Watch()
    var clock = Self.patience
    var steps = [watch.look(isBehind: true, consumed: 0, clock: 0)]
    steps.append(watch.look(isBehind: true, consumed: 0, clock: clock))
    // It runs elsewhere.
    let left = clock
    while clock + 10_000_000 < left + Self.pause {
      clock += 10_000_000
      let step = watch.look(isBehind: false, consumed: clock, clock: clock)
      #expect(step == .nothing)
    }
    clock = left + Self.pause
    steps.append(watch.look(isBehind: false, consumed: clock, clock: clock))
    // In vain: the next pause is longer.
    let stuck = clock
    steps.append(watch.look(isBehind: true, consumed: stuck, clock: clock))
    clock += Self.patience
    steps.append(watch.look(isBehind: true, consumed: stuck, clock: clock))
    steps.append(watch.look(isBehind: false, consumed: stuck + 9, clock: clock + Self.pause))
    steps.append(watch.look(isBehind: false, consumed: stuck + 9, clock: clock + 2 * Self.pause))
    #expect(steps == [.nothing, .leaveCPU, .comeBack, .nothing, .leaveCPU, .nothing, .comeBack])
  }
}
