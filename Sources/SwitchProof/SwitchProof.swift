// The proof that a thread stood still between an interrupt and the end of a read from outside. Pure: a function of
// what the rings said.
//
// What is to be proven. A cpu-clock interrupt copied a thread's registers at time T0. Later a reader on another
// thread reads the thread's Python frames from memory. They are the frames of T0 only if the thread executed no
// instruction of its own in between: nobody but a thread writes its own frames, its thread state and its stack.
//
// What the kernel tells. Each thread has a ring of its own in which the kernel writes, at every switch away from the
// CPU, the user registers of that moment and then a record OUT; and at every switch back a record IN. IN is written,
// and the ring's head stored, before the kernel returns to the thread's next user instruction
// (kernel/events/core.c, __perf_event_task_sched_in; kernel/sched/core.c, finish_task_switch).
//
// The rule. Read once the ring's head H, then the newest records. Then:
// 1. After T0 there are exactly two records: registers, then OUT. So the thread was switched away once after T0
//    and was not switched back before H was loaded. A second OUT would mean that it ran between.
// 2. The registers at OUT are those at T0, `rax` apart: a thread that was interrupted in a system call comes to OUT
//    with the call's result in it.
// 3. Read the stack and the frames. Then load the head again: it is still H. Had the thread run a user instruction
//    before the last byte was read, its IN would have moved the head before that instruction, hence before the
//    load, which is ordered behind the reads.
//
// So everything that was read is the state at OUT: exact, and all of it of one instant. It is the state at T0,
// unless the thread left the kernel after T0, ran, and came to OUT with the very same registers, stack pointer and
// instruction pointer included. Readers of the normal class met that: of 30,000 samples at 10 kHz one or two, in
// a function that was called anew by another one and interrupted at the same place. So the stack that was read again is
// compared, too, byte by byte, with the interrupt's copy: what called the function differs there. (A system call
// that was interrupted may still write to the stack before the thread leaves at its end: then the thread must have
// left at once.) A thread that came to OUT with the same registers on the same stack, and with other frames on the
// heap, is what is left; its stack is a true one, some microseconds younger.
//
// It is proven whole or not at all. Where the registers differ, what was read is true at OUT and not at T0: the
// sample keeps its native half, which the interrupt copied, and its Python half is unverified.
//
// What is not covered: memory that other threads may free or change under a thread that stands still. A frame keeps
// its code object alive, so code objects, names and line tables of the chain stay; the list of thread states may
// change while it is searched, which the thread id in each state checks.

import Accounting
import Snapshots

/// One record of a thread's switch ring.
public struct SwitchRecord: Sendable {
  /// What happened.
  public enum Kind: Sendable, Equatable {
    /// The thread is about to leave the CPU; its user registers are in the record.
    case registers
    /// The thread left the CPU.
    case out
    /// The thread came back to a CPU.
    case `in`
    /// A record of another kind, or one without user registers.
    case other
  }

  /// What happened.
  public var kind: Kind
  /// When, in nanoseconds of CLOCK_MONOTONIC.
  public var time: UInt64
  /// Of `.registers`; else zero.
  public var registers: Registers

  /// A record from its parts.
  public init(_ kind: Kind, time: UInt64, registers: Registers = Registers()) {
    self.kind = kind
    self.time = time
    self.registers = registers
  }
}

/// The newest records of a switch ring, read once.
public struct SwitchHistory: Sendable {
  /// The ring's head before the records were read.
  public var head: UInt64
  /// The youngest record; nil where the ring has none.
  public var newest: SwitchRecord?
  /// The one before.
  public var second: SwitchRecord?
  /// The one before that.
  public var third: SwitchRecord?
  /// True where the ring has held every record since it was opened, so that a missing one was never written.
  public var isComplete: Bool
  /// When the ring was opened and had begun to record, in nanoseconds of CLOCK_MONOTONIC.
  public var since: UInt64

  /// A history from its parts.
  public init(
    head: UInt64, newest: SwitchRecord?, second: SwitchRecord?, third: SwitchRecord?, isComplete: Bool,
    since: UInt64
  ) {
    self.head = head
    self.newest = newest
    self.second = second
    self.third = third
    self.isComplete = isComplete
    self.since = since
  }
}

/// The rule.
public enum SwitchProof {
  /// Steps 1 and 2: whether a thread that was interrupted at `time` with `registers` was standing still, just as it
  /// was interrupted, when `history` was read. Nil: it was.
  public static func refusal(interruptedAt time: UInt64, with registers: Registers, _ history: SwitchHistory)
    -> UnverifiedCause?
  {
    if let refusal = order(interruptedAt: time, history) { return refusal }
    guard let second = history.second, second.kind == .registers else { return .historyBroken }
    return isSame(second.registers, registers) ? nil : .registersDiffer
  }

  /// The other half of step 2: whether the stack at OUT may be the interrupt's. `isSame`: byte by byte. `inKernel`:
  /// whether the interrupt met the thread in the kernel, which may have written to the stack since.
  public static func refusal(
    stackIsSame isSame: Bool, inKernel: Bool, interruptedAt time: UInt64, _ history: SwitchHistory
  ) -> UnverifiedCause? {
    if isSame { return nil }
    guard inKernel, let out = history.newest, out.time >= time, out.time - time < SwitchEvidence.longestGap
    else { return .stackDiffers }
    return nil
  }

  /// Step 3: whether it was still standing when the last byte had been read. `head`: loaded after that.
  public static func refusal(head: UInt64, after history: SwitchHistory) -> UnverifiedCause? {
    head == history.head ? nil : .switchedMeanwhile
  }

  /// Step 1: the two records that a single switch writes, and the one before them.
  private static func order(interruptedAt time: UInt64, _ history: SwitchHistory) -> UnverifiedCause? {
    guard let newest = history.newest, newest.time > time else {
      return history.since < time ? .running : .notWatched
    }
    switch newest.kind {
    case .in, .registers: return .running
    case .other: return .historyBroken
    case .out: break
    }
    guard let second = history.second else { return .historyBroken }
    if second.kind == .in, second.time <= time {
      // OUT without its registers: they were not written.
      return .historyBroken
    }
    guard second.kind == .registers, second.time > time, second.time <= newest.time else {
      return second.kind == .in || second.kind == .out ? .switchedAgain : .historyBroken
    }
    guard let before = history.third else {
      return history.isComplete && history.since < time ? nil : .historyBroken
    }
    if before.time > time { return before.kind == .other ? .historyBroken : .switchedAgain }
    return before.kind == .in ? nil : .historyBroken
  }

  /// Equal but for `rax`.
  static func isSame(_ left: Registers, _ right: Registers) -> Bool {
    // DWARF number of rax.
    for number in 1..<Registers.count where left[number] != right[number] { return false }
    return true
  }
}
