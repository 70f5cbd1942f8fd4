// Looks, while sampling goes on, whether interrupts come as the target's CPU time asks for them.

/// Compares the target's clock with the interrupts that came. Pure: it is told what was read.
struct InterruptWatch {
  /// What was read at one moment.
  struct Reading: Equatable {
    /// CLOCK_MONOTONIC.
    var clock: UInt64
    /// Nanoseconds of CPU time of the sampled threads since sampling began, by the target's own clock.
    var cpu: UInt64
    /// Interrupts of the target.
    var interrupts: UInt64
    /// Threads that live now.
    var alive: UInt64
    /// Threads that were created since sampling began.
    var born: UInt64
  }

  /// Least length of what is looked at, in nanoseconds, and the least number of periods in it.
  private static let window: UInt64 = 1_000_000_000
  private static let leastPeriods: UInt64 = 100

  private let period: UInt64
  private let start: UInt64
  private let threadsAtStart: UInt64
  private let eventsPerThread: UInt64
  private var previous: Reading
  /// CPU time, in nanoseconds, that went by in windows in which less than a quarter of the interrupts came; without
  /// those that came.
  private(set) var blindCPU: UInt64 = 0

  /// `start`: the moment at which sampling began. `eventsPerThread`: each has a period of its own to finish.
  init(period: UInt64, start: Reading, eventsPerThread: UInt64 = 1) {
    self.period = period
    self.start = start.clock
    threadsAtStart = start.alive
    self.eventsPerThread = eventsPerThread
    previous = start
  }

  /// Whether the window that ends now was blind; nil where it has not ended yet. Each thread that was there may have
  /// begun a period and not finished it.
  mutating func isBlind(_ now: Reading) -> Bool? {
    guard now.clock >= previous.clock + Self.window, now.cpu >= previous.cpu else { return nil }
    let asked = (now.cpu - previous.cpu) / period
    guard asked >= Self.leastPeriods else { return nil }
    let came = now.interrupts &- previous.interrupts
    let threads = now.alive + (now.born &- previous.born)
    let blind = came + threads * eventsPerThread + 20 < asked / 4
    if blind { blindCPU += now.cpu - previous.cpu - min(now.cpu - previous.cpu, came * period) }
    previous = now
    return blind
  }

  /// Whether periods that threads began and did not finish may be too many: known without counting the threads.
  func mayLoseTooMuch(_ now: Reading) -> Bool {
    let asked = now.cpu / period
    return asked > now.interrupts + 8 && (asked - now.interrupts) * 100 > asked
  }

  /// Whether they are: more than 1 % of the run's. Those of threads that have ended are lost, so that this is known at
  /// once. Those of threads that live may still be finished: they count for the whole run, of which ten seconds are
  /// taken for granted. What is more than one period of each thread has another reason, and another remedy.
  func losesTooMuch(_ now: Reading) -> Bool {
    guard mayLoseTooMuch(now) else { return false }
    let asked = now.cpu / period
    let unfinished = asked - now.interrupts
    let lived = threadsAtStart + now.born
    if unfinished > now.alive, lived > now.alive {
      let lost = min(unfinished - now.alive, lived - now.alive)
      if lost > 8, lost * 100 > asked { return true }
    }
    let elapsed = max(1, now.clock &- start)
    guard min(unfinished, lived) > 20, elapsed > 200_000_000 else { return false }
    return Double(min(unfinished, lived)) * 100 > Double(asked) * max(1, 10e9 / Double(elapsed))
  }
}
