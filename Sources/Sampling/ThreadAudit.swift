// Threads that use CPU time without being sampled: born while their parent's event was being opened.

import PerfEvents

/// Looks at all threads from time to time, and opens events for those that need one.
struct ThreadAudit {
  /// CPU time, in nanoseconds, that makes it certain that a thread has no event: many periods.
  private let leastCPU: UInt64
  /// CPU time of the threads that had not been sampled at the previous look.
  private var previous: [Int32: UInt64] = [:]
  /// Threads whose event could not be opened for another reason than that they had ended.
  private(set) var unopened: UInt64 = 0

  init(leastCPU: UInt64) { self.leastCPU = leastCPU }

  /// One look. `cpuTime` is nil for a thread that has ended.
  mutating func round(
    _ threads: [Int32], isSampled: (Int32) -> Bool, cpuTime: (Int32) -> UInt64?,
    open: (Int32) throws(PerfEventsError) -> Void
  ) {
    var current: [Int32: UInt64] = [:]
    for thread in threads {
      guard !isSampled(thread), let cpu = cpuTime(thread) else { continue }
      if let before = previous[thread], cpu >= before, cpu - before > leastCPU {
        do throws(PerfEventsError) { try open(thread) } catch { unopened += 1 }
      }
      current[thread] = cpu
    }
    previous = current
  }
}
