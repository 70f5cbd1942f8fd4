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
  /// True for a guessed frame where a fact that the guess did not rest on supports it: the code of the next inner
  /// frame, followed from its entry, has its return address in this very word, and the call before that address
  /// leads there. False for frames that are not guessed.
  public var isConfirmed = false
  /// The boundary between two evaluation loops at which unwinding was taken up again, which lies in this frame; 0
  /// where it leads here without a gap. Then `address` is not where the frame stood but some call in its function.
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
  /// Number of guessed frames that are not confirmed. What lies outside of one may be a stack that never was.
  public internal(set) var unconfirmed = 0
  /// Why there is a gap, for each frame at which unwinding was taken up again, leaf first.
  public internal(set) var gapCauses: [UnwindEnd] = []
  /// Places at which frames are missing: how often unwinding was taken up again further out.
  public var gaps: Int { gapCauses.count }
  /// Whether `registers` is filled, too.
  public var keepsRegisters = false
  /// Per frame, the registers as they stand in it: of a caller only rbx, rbp, rsp, r12 to r15 and rip are its own
  /// (System V ABI, AMD64 supplement, 3.2.1).
  public internal(set) var registers: [Registers] = []

  /// An empty stack.
  public init() {
    frames.reserveCapacity(256)
    gapCauses.reserveCapacity(64)
  }

  mutating func reset() {
    frames.removeAll(keepingCapacity: true)
    if keepsRegisters { registers.removeAll(keepingCapacity: true) }
    end = .outermost
    guesses = 0
    unconfirmed = 0
    gapCauses.removeAll(keepingCapacity: true)
  }

  /// Adds a frame.
  mutating func append(_ frame: NativeFrame, _ registers: Registers) {
    if keepsRegisters { self.registers.append(registers) }
    if frame.isGuessed {
      guesses += 1
      if !frame.isConfirmed { unconfirmed += 1 }
    }
    frames.append(frame)
  }

  /// Takes back the frames from a position on.
  mutating func remove(from position: Int) {
    for frame in frames[position...] where frame.isGuessed {
      guesses -= 1
      if !frame.isConfirmed { unconfirmed -= 1 }
    }
    frames.removeSubrange(position...)
    if keepsRegisters { registers.removeSubrange(position...) }
  }
}
