// Where a walk over a stack stands, and where it may be taken up again when it cannot go on: at the boundary between
// two evaluation loops, which lies at a known place inside of a frame whose unwind row is known.

import ProcessImages
import Snapshots

/// What was learned of the native frames of evaluation loops: enough to find one from a boundary alone.
public struct KnownLoop: Sendable, Equatable {
  /// A return address inside of the loop's function, at which such a frame was proven before.
  public var callAddress: UInt64
  /// Bytes from the boundary up to the frame's canonical frame address.
  public var distance: UInt64

  /// A loop from its parts.
  public init(callAddress: UInt64, distance: UInt64) {
    self.callAddress = callAddress
    self.distance = distance
  }
}

/// The frame that is next to be added to a stack, and what is known of the way to it.
struct StackWalk {
  /// As they stand in the frame.
  var registers: Registers
  /// `NativeFrame.isInstructionPointer`.
  var isInstruction = true
  /// `NativeFrame.isGuessed`.
  var isGuessed = false
  /// `NativeFrame.isConfirmed`.
  var isConfirmed = false
  /// Position of the first guessed frame since the last boundary that was met; negative for none.
  var guess = -1
  /// Position of the innermost boundary that was not passed yet. Kept only while there is a guess to be checked.
  var next = 0
  /// Addresses inside of the frames of evaluation loops, innermost first.
  let boundaries: [UInt64]
  /// How such a frame is found from its boundary.
  let loop: KnownLoop?

  init(_ registers: Registers, _ boundaries: [UInt64], _ loop: KnownLoop?) {
    self.registers = registers
    self.boundaries = boundaries
    self.loop = loop
  }

  /// The frame, with the canonical frame address that was found for it.
  @inline(__always)
  func frame(_ cfa: UInt64) -> NativeFrame {
    NativeFrame(
      address: registers[Registers.rip], canonicalFrameAddress: cfa, isInstructionPointer: isInstruction,
      isGuessed: isGuessed, isConfirmed: isConfirmed)
  }

  /// Goes to a caller that was found without guessing.
  @inline(__always)
  mutating func arrive(isInstruction: Bool) {
    self.isInstruction = isInstruction
    isGuessed = false
    isConfirmed = false
  }

  /// Whether a frame shows that the guess before it was wrong: it holds a boundary, and at another place than the
  /// frames of evaluation loops do. To be asked for each frame while there is a guess.
  mutating func misses(from sp: UInt64, to cfa: UInt64) -> Bool {
    while next < boundaries.count, boundaries[next] < sp { next += 1 }
    guard let loop, next < boundaries.count, boundaries[next] < cfa else { return false }
    guard boundaries[next] &+ loop.distance == cfa,
      next + 1 == boundaries.count || boundaries[next + 1] >= cfa
    else { return true }
    next += 1
    guess = -1
    return false
  }

  /// The frame of the innermost evaluation loop further out than `sp` that the snapshot holds.
  ///
  /// - Parameters:
  ///   - row: The unwind row of `loop.callAddress`.
  ///   - space: What is mapped: the frame's caller has to lie in code.
  func restart(
    _ snapshot: borrowing StackSnapshot, beyond sp: UInt64, row: UnwindRow, _ space: AddressSpace
  ) -> Restart? {
    guard let loop, row.form == .frame else { return nil }
    for boundary in boundaries where boundary >= sp {
      let cfa = boundary &+ loop.distance
      guard cfa > boundary, cfa % 8 == 0, let returnAddress = snapshot.stackWord(cfa &- 8),
        space.module(containing: returnAddress &- 1) != nil
      else { continue }
      var restart = Restart(boundary: boundary, frame: Registers(), caller: Registers())
      restart.frame[Registers.rip] = loop.callAddress
      if row.cfaRegister == UInt8(Registers.rsp) {
        restart.frame[Registers.rsp] = cfa &- UInt64(bitPattern: Int64(row.cfaOffset))
      }
      restart.caller[Registers.rsp] = cfa
      restart.caller[Registers.rip] = returnAddress
      var isComplete = true
      for index in 0..<6 where row.slots[index] != 0 {
        guard let word = snapshot.stackWord(cfa &- UInt64(row.slots[index]) &* 8) else {
          isComplete = false
          break
        }
        restart.caller[UnwindRow.saved[index]] = word
      }
      if isComplete { return restart }
    }
    return nil
  }

  /// A place to go on at.
  struct Restart {
    /// The boundary in the frame.
    let boundary: UInt64
    /// Registers in the frame of the evaluation loop: the instruction and, where its row is based on it, the stack
    /// pointer. All others are zero.
    var frame: Registers
    /// Registers in its caller: the instruction, the stack pointer and what the loop had saved. All others are zero.
    var caller: Registers
  }
}
