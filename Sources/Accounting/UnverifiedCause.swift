// Without eBPF the Python frames are read from outside, a moment after the interrupt: why that proved nothing.

/// Why it is not proven that a thread stood still.
public enum UnverifiedCause: Int, CaseIterable, Sendable {
  /// The thread has no switch ring, or has had none since before the interrupt.
  case notWatched
  /// It has not been switched away since the interrupt, or has been switched back: it may be running.
  case running
  /// It was switched away more than once since the interrupt: it ran between.
  case switchedAgain
  /// It left with other registers than it was interrupted with: it ran on before it left.
  case registersDiffer
  /// The records are not those that a switch writes: one was lost, or overwritten while it was read.
  case historyBroken
  /// It was switched back while it was being read.
  case switchedMeanwhile
  /// It stood still, but its stack could not be read.
  case stackUnreadable
  /// Evidence only: it was switched away so long after the interrupt that it may have run on.
  case leftTooLate
  /// Its stack was no longer the one of the interrupt.
  case stackDiffers
}
