// Finds the instructions of the evaluation loop's start during which the frame chain is garbage.

import ProcessImages
import PythonChain

/// The hole in `_PyEval_EvalFrameDefault` of 3.11 and 3.12 (Python/ceval.c).
///
/// `tstate->cframe = &cframe` is done before `cframe.current_frame` is stored. A thread interrupted between the
/// two has a C frame whose frame pointer is whatever the stack held before, plausible or not. The compiler orders
/// the stores, so each build has its own hole.
public enum EvaluationPrologue {
  /// Offsets from the function's start to treat as the hole where `hole` finds none, in bytes.
  public static let fallback: Range<Int> = 0..<0x80

  /// The hole, as offsets of instruction pointers from the function's start: from behind the store of the C
  /// frame's address to behind the store of its frame pointer. nil where the code has another shape.
  ///
  /// - Parameters:
  ///   - code: The function's first bytes, up to the first jump that is always taken; 512 are plenty.
  ///   - threadCFrame: Offset of `PyThreadState.cframe`, below 128 (56 in 3.11 and 3.12).
  ///   - currentFrame: Offset of `_PyCFrame.current_frame` (8 in 3.11, 0 in 3.12).
  public static func hole(in code: [UInt8], threadCFrame: UInt32, currentFrame: UInt32) -> Range<Int>? {
    guard threadCFrame < 128 else { return nil }
    let scan = Scan(code: code)
    var publication: (end: Int, slot: Int)?
    for at in code.indices {
      guard let store = scan.storeOfRegister(at: at, displacement: UInt8(threadCFrame)) else { continue }
      guard let slot = scan.stackAddress(loadedInto: store.register, before: at) else { continue }
      publication = (store.end, slot)
      break
    }
    guard let publication else { return nil }
    let wanted = publication.slot + Int(currentFrame)
    var at = publication.end
    while at < code.count {
      if let end = scan.storeToStack(at: at, displacement: wanted) { return publication.end..<end }
      at += 1
    }
    return nil
  }

  /// The addresses at which an interrupted thread's chain is not to be believed, and whether they were found by
  /// the instructions (else the fallback). nil where the release has no hole (3.13) or no symbol for the function.
  public static func hole(
    of layout: InterpreterLayout, memory: any ByteSource
  ) -> (addresses: Range<UInt64>, isProven: Bool)? {
    let start = layout.interpreter.evaluationLoop
    guard layout.raw.minor < 13, start != 0, start < UInt64.max - 512 else { return nil }
    let found = memory.bytes(start, count: 512).flatMap {
      hole(in: $0, threadCFrame: layout.raw.thread_frame, currentFrame: layout.raw.cframe_current_frame)
    }
    let offsets = found ?? fallback
    return (start + UInt64(offsets.lowerBound)..<start + UInt64(offsets.upperBound), found != nil)
  }

  private struct Scan {
    let code: [UInt8]

    private func byte(_ at: Int) -> UInt8? { at >= 0 && at < code.count ? code[at] : nil }

    /// `mov %register, displacement(%base)`, 64 bits, base not the stack pointer.
    func storeOfRegister(at: Int, displacement: UInt8) -> (register: UInt8, end: Int)? {
      guard let rex = byte(at), rex & 0xf8 == 0x48, rex & 2 == 0, byte(at + 1) == 0x89,
        let modrm = byte(at + 2)
      else { return nil }
      guard modrm >> 6 == 1 else { return nil }
      var end = at + 3
      if modrm & 7 == 4 {
        // A base register of number 12 needs a second byte; number 4 is the stack pointer.
        guard byte(end) == 0x24, rex & 1 == 1 else { return nil }
        end += 1
      }
      guard byte(end) == displacement else { return nil }
      return (modrm >> 3 & 7 | (rex & 4) << 1, end + 1)
    }

    /// The displacement of the nearest `lea displacement(%rsp), %register` before `limit`.
    func stackAddress(loadedInto register: UInt8, before limit: Int) -> Int? {
      for at in stride(from: limit - 1, through: 0, by: -1) {
        guard let rex = byte(at), rex & 0xf8 == 0x48, byte(at + 1) == 0x8d, let modrm = byte(at + 2),
          let target = stackOperand(at: at + 2, rex: rex), target.end <= limit
        else { continue }
        if modrm >> 3 & 7 | (rex & 4) << 1 == register { return target.displacement }
      }
      return nil
    }

    /// The end of the store at `at` where it writes 8 or 16 bytes to `displacement(%rsp)`.
    ///
    /// movups/movupd 0F 11, movaps/movapd 0F 29, movdqa/movdqu 0F 7F, movq 66 0F D6, mov REX.W 89.
    func storeToStack(at: Int, displacement: Int) -> Int? {
      var position = at
      var prefix: UInt8 = 0
      if let first = byte(position), first == 0x66 || first == 0xf3 {
        prefix = first
        position += 1
      }
      var rex: UInt8 = 0
      if let first = byte(position), first & 0xf0 == 0x40 {
        rex = first
        position += 1
      }
      guard let opcode = byte(position) else { return nil }
      if opcode == 0x0f, let second = byte(position + 1) {
        let isStore =
          switch second {
          case 0x11, 0x29: prefix != 0xf3
          case 0x7f: prefix != 0
          case 0xd6: prefix == 0x66
          default: false
          }
        guard isStore else { return nil }
        position += 2
      } else if opcode == 0x89, prefix == 0, rex & 8 == 8 {
        position += 1
      } else {
        return nil
      }
      guard let target = stackOperand(at: position, rex: rex), target.displacement == displacement else {
        return nil
      }
      return target.end
    }

    /// The operand `displacement(%rsp)` whose ModRM byte is at `at`: SIB 0x24 without index.
    private func stackOperand(at: Int, rex: UInt8) -> (displacement: Int, end: Int)? {
      guard rex & 3 == 0, let modrm = byte(at), modrm & 7 == 4, byte(at + 1) == 0x24 else { return nil }
      switch modrm >> 6 {
      case 0: return (0, at + 2)
      case 1:
        guard let low = byte(at + 2) else { return nil }
        return (Int(Int8(bitPattern: low)), at + 3)
      case 2:
        guard at + 5 < code.count else { return nil }
        var value: UInt32 = 0
        for index in 0..<4 { value |= UInt32(code[at + 2 + index]) << UInt32(8 * index) }
        return (Int(Int32(bitPattern: value)), at + 6)
      default: return nil
      }
    }
  }
}
