// What stands in for the proof where the kernel gives an ordinary user no registers at a switch: evidence, and said to
// be no more.
//
// Without the kernel's part of perf events (perf_event_paranoid 2, no CAP_PERFMON) a switch ring holds IN and OUT only.
// Steps 1 and 3 of the rule are as exact as before. In the place of step 2: the thread left so soon after the
// interrupt that there was hardly time to run, and the stack that was read again is, byte by byte, the
// interrupt's copy. A thread that ran on for some microseconds without touching its stack, or that put
// everything back, passes: Python frames on the heap may have changed meanwhile.

import Accounting
import Snapshots

/// The rule of evidence.
public enum SwitchEvidence {
  /// The longest time between the interrupt and OUT that still counts, in nanoseconds. Of 59,404 samples with equal
  /// stacks and no longer gap none was wrong, measured against the interrupt's own chain.
  public static let longestGap: UInt64 = 60_000

  /// Steps 1 and 2, before the read.
  public static func refusal(interruptedAt time: UInt64, _ history: SwitchHistory) -> UnverifiedCause? {
    guard let newest = history.newest, newest.time > time else {
      return history.since < time ? .running : .notWatched
    }
    switch newest.kind {
    case .in: return .running
    case .out: break
    case .registers, .other: return .historyBroken
    }
    if let second = history.second {
      if second.time > time { return .switchedAgain }
      guard second.kind == .in else { return .historyBroken }
    } else if !history.isComplete || history.since >= time {
      return .historyBroken
    }
    return newest.time - time < longestGap ? nil : .leftTooLate
  }
}
