// What a capture without eBPF is told, and what it counts.

import Accounting
import SwitchProof

/// What is fixed when such a capture begins.
public struct UnassistedConfiguration: Sendable {
  /// Process id of the target in our pid namespace.
  public var target: Int32
  /// Nanoseconds of CPU time between two interrupts of one thread.
  public var period: UInt64
  /// Only the main thread is sampled.
  public var mainThreadOnly = false
  /// Bytes of the largest stack copy.
  public var stackBytes: UInt32 = 65528
  /// Bytes of one CPU's ring between reader and us, a power of two.
  public var ringBytes: Int
  /// Whether the readers may ask for the real-time class.
  public var allowRealtime = true
  /// Whether only evidence is to be had, whatever the kernel allows.
  public var userOnly = false
  /// The share of its CPU, in percent, above which a reader leaves the real-time class.
  package var realtimeLimit = RealtimeShare.usualLimit

  /// Everything but the defaults.
  public init(target: Int32, period: UInt64, ringBytes: Int) {
    self.target = target
    self.period = period
    self.ringBytes = ringBytes
  }
}

/// What the readers counted, all CPUs together.
public struct UnassistedCounts: Sendable {
  /// Clock samples met.
  public var samples: UInt64 = 0
  /// Samples that found no room between reader and us.
  public var lostSamples: UInt64 = 0
  /// Samples of other processes: a thread's number was used again before its event was opened.
  public var filtered: UInt64 = 0
  /// Names that found no room there.
  public var lostNames: UInt64 = 0
  /// Side-band records that found no room there.
  public var lostSideband: UInt64 = 0
  /// Samples whose thread stood still.
  public var stoodStill: UInt64 = 0
  /// Nanoseconds from these interrupts to the end of the reads, added up.
  public var lag: UInt64 = 0
  /// Calls that read the target's memory.
  public var calls: UInt64 = 0
  /// Samples without proof, by `UnverifiedCause.rawValue`.
  public var refusals: [UInt64] = Array(repeating: 0, count: UnverifiedCause.allCases.count)
  /// Nanoseconds of CPU time of the readers.
  public var readerCPU: UInt64 = 0
  /// Readers that the watchdog took out of the real-time class.
  public var watchdog: UInt64 = 0
  /// Largest share of one CPU that a reader took over 100 ms, in percent.
  public var largestShare: UInt64 = 0
}
