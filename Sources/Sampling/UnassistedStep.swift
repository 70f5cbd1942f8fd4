// Which step of sampling without eBPF is taken: how soon its readers run, and what is known of the Python frames.

import PerfEvents

/// How samples are taken without eBPF.
public struct UnassistedStep: Equatable, Sendable {
  /// How the readers are scheduled: the least favourable of all CPUs.
  public var scheduling: ReaderScheduling
  /// Whether the kernel tells the registers at switches, so that frames can be proven; else there is only evidence.
  public var proves: Bool
  /// Readers that left the real-time class because they used too much of their CPU.
  public var leftRealtime: UInt64 = 0
  /// Readers that left the real-time class because real-time threads kept them from running on any CPU.
  public var keptFromRunning: UInt64 = 0
  /// Times that a reader had to leave its CPU to a real-time thread.
  public var departures: UInt64 = 0
  /// Threads that have no switch ring because no more memory may be locked.
  public var threadsWithoutRing: UInt64 = 0
  /// Bytes of one CPU's ring where they are fewer than intended, because no more memory may be locked; else nil.
  public var smallerRing: Int?

  /// A step from its parts.
  public init(scheduling: ReaderScheduling, proves: Bool, leftRealtime: UInt64 = 0) {
    self.scheduling = scheduling
    self.proves = proves
    self.leftRealtime = leftRealtime
  }

  /// The step of a capture, as it is now.
  init(_ capture: UnassistedCapture) {
    self.init(
      scheduling: capture.scheduling, proves: !capture.userOnly, leftRealtime: capture.counts.watchdog)
    departures = capture.departures
    keptFromRunning = capture.classDepartures
    threadsWithoutRing = capture.threadsWithoutRing
    smallerRing = capture.hasSmallerRings ? capture.kernelRingBytes : nil
  }

  /// In words, for one line.
  public var text: String {
    let refused =
      leftRealtime + keptFromRunning == 0 ? ", because the real-time class is refused (CAP_SYS_NICE)" : ""
    var text =
      switch scheduling {
      case .realtime: "readers of the real-time class"
      case .shortSlice: "readers of the normal class with a short slice\(refused)"
      case .starting, .normal: "readers of the normal class\(refused)"
      }
    if leftRealtime > 0 {
      text += " (\(leftRealtime) left the real-time class: they used too much of their CPU)"
    }
    if keptFromRunning > 0 {
      text += " (\(keptFromRunning) left the real-time class: real-time threads kept them from running)"
    }
    text +=
      proves
      ? "; Python frames are proven, or marked as unverified"
      : "; Python frames rest on evidence, or are marked as unverified: the kernel's own part of events is refused "
        + "(CAP_PERFMON, kernel.perf_event_paranoid)"
    if departures > 0 { text += "; real-time threads took readers their CPU \(departures) times" }
    let limits = "(kernel.perf_event_mlock_kb, ulimit -l)"
    if let smallerRing { text += "; only \(smallerRing >> 10) KiB of ring for each CPU \(limits)" }
    if threadsWithoutRing > 0 {
      text += "; \(threadsWithoutRing) threads without a switch ring, all of them unverified \(limits)"
    }
    return text
  }
}
