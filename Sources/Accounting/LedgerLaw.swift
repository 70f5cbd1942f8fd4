// The law of the ledger, and the estimates above it.

extension Ledger {
  /// One equation of the law that does not hold.
  public struct Discrepancy: Sendable, Equatable {
    /// The equation, in the words of the ledger.
    public let equation: String
    /// Its left side.
    public let left: UInt64
    /// Its right side.
    public let right: UInt64
  }

  /// The equations that do not hold; empty for every correct run.
  public var discrepancies: [Discrepancy] {
    var found: [Discrepancy] = []
    func check(_ equation: String, _ left: UInt64, _ right: UInt64) {
      if left != right { found.append(Discrepancy(equation: equation, left: left, right: right)) }
    }
    check(
      "runs = filtered + emitted + ring full + other output error", runs,
      filtered + emitted + ringFull + outputErrors)
    check("emitted = records read", emitted, recordsRead)
    check("records read = kept + dropped", recordsRead, kept + dropped)
    check("attempts without room = lost by the kernel's count", ringFullAttempts, kernelLostSamples)
    check("name attempts without room = lost by the kernel's count", nameAttemptsLost, kernelLostNames)
    return found
  }

  /// Samples an undisturbed clock would have taken of the target's CPU time.
  public var expected: UInt64 { period == 0 ? 0 : targetCPU / period }

  /// Estimate: periods that the threads' events counted and that ended in no interrupt. At most one per thread that
  /// lived, plus timers that came late. Below 0 where interrupts came before the count had reached the end of their
  /// period: the timer goes by another clock than the count.
  public var unfired: Int64 {
    guard period > 0 else { return 0 }
    let fired = runs &- filtered &+ duplicates &- interruptsByCPUs
    return Int64(clamping: eventCount / period) - Int64(clamping: fired)
  }

  /// Estimate: periods in which the kernel had throttled the events.
  public var throttled: UInt64 {
    period == 0 || eventTimeRunning <= eventCount ? 0 : (eventTimeRunning - eventCount) / period
  }
}
