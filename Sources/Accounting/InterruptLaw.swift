// Whether as many interrupts came as the target's CPU time asks for. What the events and the eBPF program count cannot
// show that the events themselves had ended; the target's own clock can.

extension Ledger {
  /// A contradiction between the target's CPU time and the interrupts that came.
  public enum RateError: Sendable, Equatable {
    /// Fewer than can be explained; of how many.
    case tooFew(came: UInt64, of: UInt64)
    /// Hardly any for some time, of which the target used so many nanoseconds.
    case blind(UInt64)
    /// More than can be explained; where how many were asked for.
    case tooMany(came: UInt64, of: UInt64)
  }

  /// Interrupts that the target's own clock asks for; 0 where that was not read.
  public var askedFor: UInt64 { period == 0 ? 0 : ownClock / period }

  /// How many of them did not come; less than 0 where more came.
  public var missing: Int64 {
    ownClock == 0 || period == 0 ? 0 : Int64(clamping: askedFor) - Int64(clamping: targetRuns)
  }

  /// The most of them that may be missing in a run in which nothing went wrong, the sum of
  ///  - one period of each event of each thread that lived, which had begun and was not over;
  ///  - 4.5 standard deviations: a clock of a CPU meets a thread by chance, at worst as independent events do;
  ///  - 5 %: timers that came late, whose periods the kernel leaves out (0.2 to 1.5 % at 50 µs and more). Of interrupts by
  ///    the clocks of the CPUs a third: one that is due at the end of a stretch of work comes when the CPU is idle again,
  ///    in a virtual machine 10 to 50 µs late (2 to 22 % of stretches of 0.3 ms, nothing where CPUs are not idle);
  ///  - 20 ms: starting, ending, and clocks that go in ticks; where a share of the time was told in ticks only
  ///    (`kernelCPU`), 4.5 deviations of a count of ticks of 10 ms.
  public var missingBound: UInt64 {
    guard ownClock > 0, period > 0 else { return 0 }
    let late = askedFor / (interruptsByCPUs > 0 ? 3 : 20)
    return threadsLived * eventsPerThread + late + Self.deviations(askedFor) + tickError / period
  }

  /// The most interrupts that may come in such a run: the same the other way round, a quarter more, because the events
  /// count time of the host and of other interrupts that a thread's clock leaves out, and what of it is known.
  public var mostInterrupts: UInt64 {
    guard ownClock > 0, period > 0 else { return .max }
    return askedFor + askedFor / 4 + threadsLived * eventsPerThread + Self.deviations(askedFor)
      + (tickError + clockAhead) / period
  }

  /// What of the law does not hold; empty for every run that can be believed.
  public var rateErrors: [RateError] {
    guard ownClock > 0, period > 0 else { return [] }
    var errors: [RateError] = []
    if missing > Int64(clamping: missingBound) {
      errors.append(.tooFew(came: targetRuns, of: askedFor))
    } else if blindCPU > 0 {
      errors.append(.blind(blindCPU))
    }
    if targetRuns > mostInterrupts { errors.append(.tooMany(came: targetRuns, of: askedFor)) }
    return errors
  }

  private static func deviations(_ count: UInt64) -> UInt64 { UInt64(4.5 * Double(count).squareRoot()) }

  private var tickError: UInt64 {
    let tick = 10_000_000.0
    return UInt64(2 * tick + (kernelCPU == 0 ? 0 : 4.5 * (tick * max(Double(kernelCPU), tick)).squareRoot()))
  }
}
