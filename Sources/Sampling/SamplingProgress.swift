// How far a run has come: what a person who waits for it is told.

import Glibc

/// Numbers of a run that has not ended yet.
public struct SamplingProgress: Sendable {
  /// Nanoseconds of wall time since sampling began.
  public var elapsed: UInt64 = 0
  /// Samples in the profile so far.
  public var samples: UInt64 = 0
  /// Samples that are lost so far.
  public var lost: UInt64 = 0
  /// Nanoseconds of CPU time that the sampled threads have used since sampling began.
  public var targetCPU: UInt64 = 0
  /// Nanoseconds of CPU time that this process has used since it was started.
  public var ownCPU: UInt64 = 0
  /// Rates of the last samples; nil before there are three.
  public var rates: SampleRates?

  /// Nothing has happened yet.
  public init() {}

  /// CPU time of this process (getrusage(2)).
  public static func ownCPU() -> UInt64 {
    var usage = rusage()
    guard unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
    let microseconds = usage.ru_utime.tv_usec + usage.ru_stime.tv_usec
    return UInt64(seconds) * 1_000_000_000 + UInt64(microseconds) * 1000
  }
}

/// Samples per second, by the distances between consecutive samples of any thread.
public struct SampleRates: Sendable, Equatable {
  /// Mean of the single rates, in samples per second.
  public var mean: Double
  /// The least of them.
  public var least: Double
  /// The greatest of them.
  public var greatest: Double
}

/// Times of the last samples, for their rates: CPython's sampling profiler shows those of a hundred distances.
struct RecentTimes {
  private static let capacity = 101
  private var times = InlineArray<101, UInt64>(repeating: 0)
  private var next = 0
  private var count = 0

  /// `time`: CLOCK_MONOTONIC in nanoseconds, not before the one added last.
  mutating func add(_ time: UInt64) {
    times[next] = time
    next = next + 1 == Self.capacity ? 0 : next + 1
    if count < Self.capacity { count += 1 }
  }

  /// Samples of one instant (on two CPUs) have no rate and are left out.
  var rates: SampleRates? {
    guard count >= 3 else { return nil }
    var sum = 0.0
    var used = 0
    var (least, greatest) = (Double.infinity, 0.0)
    let oldest = count < Self.capacity ? 0 : next
    for step in 1..<count {
      let before = times[(oldest + step - 1) % Self.capacity]
      let after = times[(oldest + step) % Self.capacity]
      guard after > before else { continue }
      let rate = 1e9 / Double(after - before)
      sum += rate
      used += 1
      least = min(least, rate)
      greatest = max(greatest, rate)
    }
    guard used > 0 else { return nil }
    return SampleRates(mean: sum / Double(used), least: least, greatest: greatest)
  }
}
