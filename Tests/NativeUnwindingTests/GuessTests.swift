// Callers guessed without unwind information, from hand-made bytes of code and stack.

import ProcessImages
import Snapshots
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct GuessTests {
  private static let code: UInt64 = 0x7f00_0000_0000
  private static let top: UInt64 = 0x7ffc_0000_1000
  private static let returnAddress = code + 0x800

  /// Anonymous code: zeros, and `bytes` that end at `returnAddress` (or begin there, with `behind`).
  private func guess(
    _ bytes: [UInt8], stack words: [UInt64], at address: UInt64 = code + 0x100, rbp: UInt64 = 0,
    isLeaf: Bool = true,
    behind: Int = 0, isMadeAtRunTime: Bool = false
  ) -> Registers? {
    var contents = [UInt8](repeating: 0, count: 0x1000)
    let start = 0x800 - bytes.count + behind
    contents.replaceSubrange(start..<start + bytes.count, with: bytes)
    // Of a file that cannot be read, or of none.
    let mapping = Mapping(
      start: Self.code, end: Self.code + 0x1000, isExecutable: true, inode: isMadeAtRunTime ? 0 : 1,
      path: isMadeAtRunTime ? "" : "/file")
    let space = AddressSpace(mappings: [mapping], provider: NoImages())
    let map = CodeMap(addressSpace: space, memory: BytesAt(Self.code, contents))
    var registers = Registers()
    registers[Registers.rip] = address
    registers[Registers.rsp] = Self.top
    registers[Registers.rbp] = rbp
    let stack = stackBytes(words)
    let result = unsafe GuessedCaller(code: map).find(
      StackSnapshot(registers: registers, stack: stack.span.bytes), registers,
      lookup: isLeaf ? address : address - 1, isLeaf: isLeaf, isFree: true)
    guard case .caller(let caller, _) = result else { return nil }
    return caller
  }

  /// The call instructions of x86-64 that end at a return address, by their encodings.
  @Test(
    arguments: [
      ("call rel32", [0xe8, 1, 2, 3, 4]), ("call *%rax", [0xff, 0xd0]), ("call *%r11", [0x41, 0xff, 0xd3]),
      ("call *(%rax)", [0xff, 0x10]), ("call *(%r13)", [0x41, 0xff, 0x55, 0]),
      ("call *8(%rax)", [0xff, 0x50, 8]),
      ("call *(%rax,%rbx,8)", [0xff, 0x14, 0xd8]), ("call *(%rsp)", [0xff, 0x14, 0x24]),
      ("call *8(%rsp)", [0xff, 0x54, 0x24, 8]),
      ("call *0x12345678(%rip)", [0xff, 0x15, 0x78, 0x56, 0x34, 0x12]),
      ("call *0x12345678(%rbx)", [0xff, 0x93, 0x78, 0x56, 0x34, 0x12]),
      ("call *0x12345678(%rsp)", [0xff, 0x94, 0x24, 0x78, 0x56, 0x34, 0x12]),
      ("call *0x12345678(,%rax,8)", [0xff, 0x14, 0xc5, 0x78, 0x56, 0x34, 0x12]),
    ] as [(String, [UInt8])]) func callsAreKnown(_ name: String, _ bytes: [UInt8])
  {
    let caller = guess(bytes, stack: [Self.returnAddress])
    #expect(caller?[Registers.rip] == Self.returnAddress, "\(name)")
    #expect(caller?[Registers.rsp] == Self.top + 8)
  }

  @Test(
    arguments: [
      ("nothing", []), ("jmp *%rax", [0xff, 0xe0]), ("push %rax", [0xff, 0xf0]), ("inc %eax", [0xff, 0xc0]),
      ("lcall *(%rax)", [0xff, 0x18]), ("jmp rel32", [0xe9, 1, 2, 3, 4]), ("ret", [0xc3]),
      ("call one byte early", [0xe8, 1, 2, 3, 4, 0]),
    ] as [(String, [UInt8])]) func othersAreNot(_ name: String, _ bytes: [UInt8])
  {
    #expect(guess(bytes, stack: [Self.returnAddress]) == nil, "\(name)")
  }

  @Test func whatLiesInNoCodeIsNoReturnAddress() {
    #expect(
      guess([0xe8, 1, 2, 3, 4], stack: [0, 1, Self.top, 0xffff_ffff_8100_0000, .max, Self.code]) == nil)
    #expect(guess([0xe8, 1, 2, 3, 4], stack: []) == nil)
  }

  /// The leaf's own return address, when its call goes to this very function, is believed before rbp.
  @Test func aDirectCallOfTheLeafComesFirst() {
    // From 0x800 back to 0x0f0.
    let distance = UInt32(bitPattern: Int32(0x0f0 - 0x800))
    let call = [0xe8] + (0..<4).map { UInt8(truncatingIfNeeded: distance >> UInt32(8 * $0)) }
    let words = [Self.returnAddress, 0, Self.top + 32, Self.returnAddress, 0, 0]
    #expect(guess(call, stack: words, rbp: Self.top + 16)?[Registers.rsp] == Self.top + 8)
    // Not when it is no leaf, or when the call goes elsewhere: behind this address, or far before it.
    #expect(guess(call, stack: words, rbp: Self.top + 16, isLeaf: false)?[Registers.rsp] == Self.top + 32)
    #expect(
      guess(call, stack: words, at: Self.code + 0x80, rbp: Self.top + 16)?[Registers.rsp] == Self.top + 32)
  }

  @Test func framePointers() {
    let call: [UInt8] = [0xff, 0xd0]
    let words = [5, 5, Self.top + 64, Self.returnAddress, 5]
    let caller = guess(call, stack: words, rbp: Self.top + 16, isLeaf: false)
    #expect(caller?[Registers.rip] == Self.returnAddress)
    #expect(caller?[Registers.rsp] == Self.top + 32 && caller?[Registers.rbp] == Self.top + 64)
    // Below the stack pointer, not aligned, outside of the copy: the stack is searched, and rbp left alone.
    for rbp in [Self.top - 8, Self.top + 17, Self.top + 4096, .max] {
      let caller = guess(call, stack: words, rbp: rbp, isLeaf: false)
      #expect(caller?[Registers.rsp] == Self.top + 32 && caller?[Registers.rbp] == rbp)
    }
  }

  @Test func theSearchHasAnEnd() {
    let call: [UInt8] = [0xff, 0xd0]
    func words(_ distance: Int) -> [UInt64] {
      [UInt64](repeating: 5, count: distance) + [Self.returnAddress, 0]
    }
    #expect(guess(call, stack: words(63))?[Registers.rsp] == Self.top + 64 * 8)
    #expect(guess(call, stack: words(64)) == nil)
  }

  /// CPython's perf trampoline (Python/asm_trampoline.S): its frame is 16 bytes, whatever stands in them.
  @Test func trampoline() {
    let stub: [UInt8] = [0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3]
    let caller = guess(stub, stack: [Self.returnAddress, 0x4711, 0], at: Self.returnAddress, behind: 5)
    #expect(caller?[Registers.rip] == 0x4711 && caller?[Registers.rsp] == Self.top + 16)
  }
}
