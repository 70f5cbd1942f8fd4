// A native stack as addresses: what the unwinder makes of a snapshot.

import Snapshots

/// Why unwinding went no further.
public enum UnwindEnd: UInt8, Sendable {
  /// The outermost frame was reached: its return address is undefined, or it is the thread's first frame.
  case outermost
  /// The stack copy ended.
  case snapshotExhausted
  /// No unwind information and no fallback.
  case noUnwindInformation
  /// The next frame would not lie further out, or its return address lies in no code.
  case didNotAdvance
  /// As many frames as are followed at most.
  case depthLimit
}

/// One native frame.
public struct NativeFrame: Sendable, Equatable {
  /// Where the frame stands in its code.
  public var address: UInt64
  /// The stack pointer when the frame's caller continues: the frame's own memory lies in [caller-most address of
  /// the next inner frame, `canonicalFrameAddress`).
  public var canonicalFrameAddress: UInt64
  /// True where `address` is the instruction to run next (leaf, interrupted by a signal); false for a return
  /// address, whose call lies before it.
  public var isInstructionPointer: Bool
  /// True where a fallback guessed that this frame is the caller of the next inner one.
  public var isGuessed: Bool
  /// The boundary at which unwinding began anew behind a gap: frames between this one and the next inner one are missing.
  /// 0 where there are none missing.
  public var restartedAt: UInt64 = 0

  /// An address inside the instruction that is being executed, for looking the frame up.
  public var lookupAddress: UInt64 { isInstructionPointer ? address : address &- 1 }
}

/// The frames of one snapshot, leaf first. Made once and filled again for each sample.
public struct AddressStack: Sendable {
  /// Leaf first.
  public internal(set) var frames: [NativeFrame] = []
  /// Why it ends.
  public internal(set) var end: UnwindEnd = .outermost
  /// Number of guessed frames.
  public internal(set) var guesses = 0
  /// Whether `registers` is filled, too.
  public var keepsRegisters = false
  /// Per frame, the registers as they stand in it: of a caller only rbx, rbp, rsp, r12 to r15 and rip are its own
  /// (System V ABI, AMD64 supplement, 3.2.1).
  public internal(set) var registers: [Registers] = []

  /// An empty stack.
  public init() { frames.reserveCapacity(256) }

  mutating func reset() {
    frames.removeAll(keepingCapacity: true)
    if keepsRegisters { registers.removeAll(keepingCapacity: true) }
    end = .outermost
    guesses = 0
  }
}
