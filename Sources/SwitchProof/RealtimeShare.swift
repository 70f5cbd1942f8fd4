// The watchdog of a reader of the real-time class: how much of its CPU it may take. Pure.

/// Adds up what a reader uses of its CPU; tells when it is more than it may be.
///
/// The kernel's own limit (sched_rt_runtime_us, 95 % of a second by default) is left as it is. This one is lower: a
/// reader that comes near that limit keeps everything else from its CPU, the target first.
public struct RealtimeShare: Sendable {
  /// Nanoseconds over which the share is taken.
  public static let window: UInt64 = 100_000_000
  /// The limit, in percent, that a reader has.
  public static let usualLimit: UInt64 = 75
  /// The share of the CPU that is too much, in percent.
  public let limit: UInt64
  private var windowStart: UInt64
  private var cpuAtStart: UInt64
  /// The largest share of any whole window so far, in percent.
  public private(set) var largest: UInt64 = 0

  /// `clock`: CLOCK_MONOTONIC; `cpu`: CPU time of the reader; both in nanoseconds.
  public init(limit: UInt64 = usualLimit, clock: UInt64, cpu: UInt64) {
    self.limit = limit
    windowStart = clock
    cpuAtStart = cpu
  }

  /// True when the window that ends now used more than the limit. Before its end: false.
  public mutating func isTooMuch(clock: UInt64, cpu: UInt64) -> Bool {
    let wall = clock &- windowStart
    guard wall >= Self.window else { return false }
    let share = (cpu &- cpuAtStart) * 100 / wall
    largest = max(largest, share)
    windowStart = clock
    cpuAtStart = cpu
    return share > limit
  }
}
