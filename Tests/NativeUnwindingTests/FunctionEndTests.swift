// Addresses behind the last instruction of a function: where a system call that ends one returns to, and where a call that
// never returns would. The test writes the functions itself.

import ProcessImages
import Snapshots
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct FunctionEndTests {
  /// `work` ends in a system call and `last` in a call of `work`, with `next` behind it; nothing stands behind `work`.
  private static let source = """
    .text
    .type work, @function
    work:
      .cfi_startproc
      sub $16, %rsp
      .cfi_def_cfa_offset 24
      syscall
      .cfi_endproc
    .size work, .-work
    .fill 64, 1, 0xcc
    .type last, @function
    last:
      .cfi_startproc
      sub $32, %rsp
      .cfi_def_cfa_offset 40
      call work
      .cfi_endproc
    .size last, .-last
    .type next, @function
    next:
      .cfi_startproc
      sub $8, %rsp
      .cfi_def_cfa_offset 16
      call work
      add $8, %rsp
      .cfi_def_cfa_offset 8
      ret
      .cfi_endproc
    .size next, .-next
    .type root, @function
    root:
      .cfi_startproc
      .cfi_undefined rip
      call last
      nop
      .cfi_endproc
    .size root, .-root

    """

  private func library() throws -> ElfImage {
    let folder = try TemporaryFolder()
    let file = try folder.write([UInt8](Self.source.utf8), as: "ends.s")
    let path = folder.path + "/ends.so"
    try #require(output(["gcc", "-shared", "-nostdlib", "-o", path, file]) != nil, "gcc failed")
    let bytes = SystemFiles.bytes(path)
    return try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
  }

  @Test(arguments: [NativeUnwinder.Method.rows, .libunwind])
  func theFunctionBeforeIsMeant(_ method: NativeUnwinder.Method) throws {
    let image = try library()
    let space = OneFile.space(image)
    func address(_ name: String, _ offset: UInt64) throws -> UInt64 {
      try #require(image.symbol(named: name)).virtualAddress + offset + OneFile.bias
    }
    func end(_ name: String) throws -> UInt64 { try address(name, #require(image.symbol(named: name)).size) }
    let top: UInt64 = 0x7ffc_0000_1000
    var words = [UInt64](repeating: 0, count: 16)
    // What a guess would take for the caller: an address behind the call in `next`.
    words[0] = try address("next", 9)
    words[2] = try end("last")
    words[7] = try address("root", 5)
    var registers = Registers()
    registers[Registers.rip] = try end("work")
    registers[Registers.rsp] = top
    let unwinder = try #require(NativeUnwinder(addressSpace: space, memory: nil, method: method))
    var stack = AddressStack()
    let bytes = stackBytes(words)
    unsafe unwinder.unwind(StackSnapshot(registers: registers, stack: bytes.span.bytes), into: &stack)
    #expect(stack.end == .outermost)
    #expect(stack.frames.map(\.address) == [registers[Registers.rip], words[2], words[7]])
    #expect(stack.frames.prefix(2).map(\.canonicalFrameAddress) == [top + 24, top + 64])
    #expect(stack.frames.allSatisfy { !$0.isGuessed })
    // By name, callers are looked up at their call.
    let names = stack.frames.dropFirst().map { frame in
      space.location(of: frame.lookupAddress).flatMap { $0.module.symbols.name(at: $0.virtualAddress)?.name }
    }
    #expect(names == ["last", "root"])
  }
}
