// One row of an unwind table in 16 bytes: how to get from a frame to its caller while the instruction pointer is
// in the row's range.

import Snapshots

/// A rule for one range of instructions. CFA, the canonical frame address, is the stack pointer before the call
/// pushed its return address (DWARF 5, section 6.4).
struct UnwindRow: Sendable {
  /// The form of the rule.
  enum Form: UInt8, Sendable {
    /// CFA = register + offset; return address at CFA - 8; saved registers at CFA - 8 * slot.
    case frame
    /// CFA = *(register + offset); return address at CFA - 8; saved registers at rbp - 8 * (slot - 1).
    /// What gcc makes for functions that align their stack.
    case aligned
    /// CFA = rsp + 8, and 8 more from the 11th byte of a 16-byte stub on: ld's rule for .plt.
    case plt
    /// The outermost frame: its return address is undefined.
    case outermost
    /// The first frame of a stack that was made for a coroutine: nothing called it, a return leads to its entry.
    case contextEntry
    /// Only libunwind's own stepping can follow this rule.
    case complex
    /// There is no rule.
    case none
  }

  var cfaOffset: Int32
  var form: Form
  /// DWARF number of the register the CFA is computed from.
  var cfaRegister: UInt8
  /// True for the frame a signal handler returns to: its caller was interrupted, it did not call.
  var isSignalFrame: Bool
  /// Slots of rbx, rbp, r12, r13, r14, r15; 0: the register still has its value.
  var slots: InlineArray<6, UInt8>

  /// DWARF numbers of the registers that `slots` is about.
  static let saved: InlineArray<6, Int> = [3, 6, 12, 13, 14, 15]

  init(form: Form, isSignalFrame: Bool = false) {
    self.form = form
    self.isSignalFrame = isSignalFrame
    cfaOffset = 0
    cfaRegister = 7
    slots = InlineArray(repeating: 0)
  }

  /// Whether the same registers are saved, in the same places.
  func hasSlots(of other: UnwindRow) -> Bool {
    for index in 0..<6 where slots[index] != other.slots[index] { return false }
    return true
  }

  /// Whether the frame has the same form.
  func isForm(of other: UnwindRow) -> Bool {
    form == other.form && cfaRegister == other.cfaRegister && cfaOffset == other.cfaOffset
      && hasSlots(of: other)
  }
}
