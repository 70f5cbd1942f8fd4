// What a run of the sampler can be told.

import NativeUnwinding

/// How to sample.
public struct SamplingOptions: Sendable {
  /// Nanoseconds of CPU time between two samples of one thread; at least 10,000 (the kernel's own least period).
  public var period: UInt64 = 1_000_000
  /// Seconds of wall time; nil: until the program ends.
  public var duration: Double?
  /// Only the main thread.
  public var mainThreadOnly = false
  /// Which native frames are shown.
  public var native = NativeFrames.extensions
  /// How native stacks are walked.
  public var unwinder = NativeUnwinder.Method.rows
  /// Bytes of the largest stack copy.
  public var stackBytes: UInt32 = 65528
  /// One event per CPU from the start.
  public var perCPU = false
  /// Whether the profile has a time line: 12 bytes per sample.
  public var keepsTimeline = false
  /// Why the eBPF program is not to be used; nil: it is.
  public var withoutBPF: String?
  /// Samples whose Python frames are not proven are dropped. Without eBPF only: with it there are none.
  public var strict = false
  /// Bytes of one CPU's ring, a power of two; nil: by the interval.
  public var ringBytes: Int?

  /// The defaults.
  public init() {}

  /// Room for 50 ms of the largest samples at the asked rate, a power of two from 4 to 64 MiB.
  var chosenRingBytes: Int {
    if let ringBytes { return ringBytes }
    let wanted = 50_000_000 / Int(max(period, 10_000)) * Int(stackBytes)
    var bytes = 4 << 20
    while bytes < wanted && bytes < 64 << 20 { bytes *= 2 }
    return bytes
  }
}
