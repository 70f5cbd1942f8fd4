// Ways out of code without unwind information. Every result is a guess, and counted as one.

import ProcessImages
import Snapshots

/// Looks for the caller of a frame whose code has no unwind information. The order of the attempts is by how
/// often they were right on real programs.
struct GuessedCaller {
  let code: CodeMap
  /// Bytes of stack that are searched for a return address.
  private static let scan: UInt64 = 512
  /// CPython's perf trampoline (Python/asm_trampoline.S, 3.12): sub $8,%rsp; call *%rcx; add $8,%rsp; ret.
  private static let trampoline: [UInt8] = [0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3]

  func find(_ snapshot: borrowing StackSnapshot, _ registers: Registers, isLeaf: Bool) -> Registers? {
    let sp = registers[Registers.rsp]
    let address = registers[Registers.rip]
    if isTrampoline(address), let word = snapshot.stackWord(sp &+ 8) {
      return caller(registers, returnAddress: word, sp: sp &+ 16)
    }
    if isLeaf, let word = snapshot.stackWord(sp), let target = directCallTarget(before: word),
      target <= address,
      address &- target < 1 << 20
    {
      return caller(registers, returnAddress: word, sp: sp &+ 8)
    }
    let rbp = registers[Registers.rbp]
    if rbp >= sp, rbp % 8 == 0, let word = snapshot.stackWord(rbp &+ 8), let saved = snapshot.stackWord(rbp),
      isCallPreceded(word)
    {
      var result = caller(registers, returnAddress: word, sp: rbp &+ 16)
      result[Registers.rbp] = saved
      return result
    }
    if isLeaf, let word = snapshot.stackWord(sp), isCallPreceded(word) {
      return caller(registers, returnAddress: word, sp: sp &+ 8)
    }
    if let caller = scan(snapshot, registers, from: (sp &+ 7) & ~7) { return caller }
    guard isLeaf else { return nil }
    // Hand-written kernels move the stack pointer by more than can be searched and keep its old value in a register
    // (OpenBLAS, kernel/x86_64/dgemm_kernel_4x8_haswell.S: rbx).
    for index in 0..<6 {
      let register = UnwindRow.saved[index]
      let kept = registers[register]
      guard kept > sp, kept % 8 == 0, snapshot.stackWord(kept) != nil else { continue }
      if let caller = scan(snapshot, registers, from: kept) { return caller }
    }
    return nil
  }

  /// The first word in reach that may be a return address.
  private func scan(_ snapshot: borrowing StackSnapshot, _ registers: Registers, from start: UInt64)
    -> Registers?
  {
    var at = start
    while at &- start < Self.scan {
      guard let word = snapshot.stackWord(at) else { return nil }
      if isCallPreceded(word) { return caller(registers, returnAddress: word, sp: at &+ 8) }
      at &+= 8
    }
    return nil
  }

  private func caller(_ registers: Registers, returnAddress: UInt64, sp: UInt64) -> Registers {
    var result = registers
    result[Registers.rip] = returnAddress
    result[Registers.rsp] = sp
    return result
  }

  /// The bytes around a return address into the stub, which is 6 bytes into it.
  private func isTrampoline(_ address: UInt64) -> Bool {
    guard let location = code.addressSpace.location(of: address), location.image == nil else { return false }
    return code.code(at: address &- 6, count: Self.trampoline.count) == Self.trampoline
  }

  /// The target of the `call rel32` that ends at a return address.
  private func directCallTarget(before address: UInt64) -> UInt64? {
    guard code.addressSpace.module(containing: address &- 5) != nil,
      let bytes = code.code(at: address &- 5, count: 5), bytes[0] == 0xe8
    else { return nil }
    let distance = UInt32(bytes[1]) | UInt32(bytes[2]) << 8 | UInt32(bytes[3]) << 16 | UInt32(bytes[4]) << 24
    return address &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
  }

  /// Whether a call instruction ends at `address`: call rel32 (e8), or call r/m64 (ff /2) of any length.
  private func isCallPreceded(_ address: UInt64) -> Bool {
    guard code.addressSpace.module(containing: address &- 1) != nil,
      let bytes = code.code(at: address &- 7, count: 7)
    else { return false }
    if bytes[2] == 0xe8 { return true }
    // ff /2 with its ModRM byte at distance 2 (register), 3 (SIB or disp8), 4 (SIB and disp8), 6 and 7 (disp32).
    func isIndirect(_ at: Int, _ expected: (UInt8) -> Bool) -> Bool {
      bytes[at] == 0xff && bytes[at + 1] & 0x38 == 0x10 && expected(bytes[at + 1])
    }
    return isIndirect(5) { $0 >> 6 == 3 || ($0 >> 6 == 0 && $0 & 7 != 4 && $0 & 7 != 5) }
      || isIndirect(4) { ($0 >> 6 == 1 && $0 & 7 != 4) || ($0 >> 6 == 0 && $0 & 7 == 4) }
      || isIndirect(3) { $0 >> 6 == 1 && $0 & 7 == 4 }
      || isIndirect(1) { ($0 >> 6 == 2 && $0 & 7 != 4) || ($0 >> 6 == 0 && $0 & 7 == 5) }
      || isIndirect(0) { ($0 >> 6 == 2 && $0 & 7 == 4) || ($0 >> 6 == 0 && $0 & 7 == 4 && bytes[2] & 7 == 5) }
  }
}
