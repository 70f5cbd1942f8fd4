// The time for which it is proven that the process whose samples arrive may be looked into.

import PerfEvents

/// For events of CPUs, which the kernel does not end when a process's rights grow by an exec, and which find the
/// process by its number: a sample counts only where the permission was checked with success after it, and no exec lies
/// between that the check does not answer for. Times are CLOCK_MONOTONIC in nanoseconds.
package struct ProvenTime {
  private let clock: () -> UInt64
  private let isPermitted: () -> Bool
  private var start: UInt64 = 0
  private var end: UInt64 = 0

  /// `isPermitted`: asks the kernel at this moment; true only where the same process still lives and may be read.
  package init(clock: @escaping () -> UInt64 = RecordStream.clock, isPermitted: @escaping () -> Bool) {
    self.clock = clock
    self.isPermitted = isPermitted
  }

  /// Whether a sample of that time may be kept. Asks at most once for all samples until now.
  package mutating func covers(_ time: UInt64) -> Bool {
    if time > end {
      let now = clock()
      guard isPermitted() else { return false }
      end = now
    }
    return time >= start && time <= end
  }

  /// An exec, or a loss that may have been one: what ran before the next check may have been somebody else's program.
  package mutating func begin() {
    start = clock()
    end = 0
  }
}
