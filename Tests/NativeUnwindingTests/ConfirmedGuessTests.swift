// Which guesses are confirmed, and what becomes of a stack where none is: hand-made code and stacks whose truth is
// known.

import Snapshots
import Testing

@testable import NativeUnwinding

@Suite struct ConfirmedGuessTests {
  private static let start = MadeCode.start
  private static let top = MadeCode.top

  /// A leaf without unwind information: sub $24,%rsp; nop; add $24,%rsp; ret. At offset 4 its return address is at
  /// sp + 24.
  private static let leaf: (at: Int, bytes: [UInt8]) = (
    0x100, [0x48, 0x83, 0xec, 24, 0x90, 0x48, 0x83, 0xc4, 24, 0xc3]
  )
  /// Its caller: sub $8,%rsp; call leaf; add $8,%rsp; ret.
  private static let caller: (at: Int, bytes: [UInt8]) = (
    0x200, [0x48, 0x83, 0xec, 8] + MadeCode.call(0x100, endingAt: 0x209).bytes + [0x48, 0x83, 0xc4, 8, 0xc3]
  )
  private static let symbols: [(start: UInt64, size: UInt32, name: String)] = [
    (0x100, 10, "leaf"), (0x200, 14, "caller"), (0x300, 16, "other"),
  ]

  private func offsets(_ stack: AddressStack) -> [UInt64] { stack.frames.map { $0.address &- Self.start } }

  @Test(arguments: [NativeUnwinder.Method.rows, .libunwind])
  func theCodeSaysWhereTheReturnAddressIs(_ method: NativeUnwinder.Method) throws {
    let code = try MadeCode([Self.leaf, Self.caller], functions: Self.symbols, method: method)
    // Stale in the leaf's locals: the very return address, from an earlier call further in.
    let stale = Self.start + 0x209
    let stack = code.unwind(at: 0x104, [stale, stale, stale, stale, 0, 0, 0])
    #expect(offsets(stack).prefix(2) == [0x104, 0x209])
    #expect(stack.frames[0].canonicalFrameAddress == Self.top + 32)
    #expect(stack.frames[1].isGuessed && stack.frames[1].isConfirmed)
  }

  /// A call that enters another function is no proof, although the word is where the return address must be: only
  /// a jump from there would explain it.
  @Test func aCallElsewhereDoesNotConfirm() throws {
    let code = try MadeCode(
      [Self.leaf, MadeCode.call(0x300, endingAt: 0x209)], functions: Self.symbols)
    let stack = code.unwind(at: 0x104, [1, 2, 3, Self.start + 0x209, 0, 0, 0])
    #expect(stack.frames[1].address == Self.start + 0x209)
    #expect(stack.frames[1].isGuessed && !stack.frames[1].isConfirmed && stack.unconfirmed >= 1)
  }

  /// Code that no symbol names: the target of the call before a word is its entry if the instructions from there
  /// lead here and have left the return address in that word.
  @Test func anEntryFoundByItsCall() throws {
    let code = try MadeCode([Self.leaf, Self.caller])
    let right = Self.start + 0x209
    let stack = code.unwind(at: 0x104, [1, 2, 3, right, 0, 0, 0])
    #expect(offsets(stack).prefix(2) == [0x104, 0x209] && stack.frames[1].isConfirmed)
    // The same word one place too far in or out is left behind by something else.
    for words in [[1, 2, right, 4, 5, 6], [1, 2, 3, 4, right, 6]] as [[UInt64]] {
      let stack = code.unwind(at: 0x104, words)
      #expect(stack.frames.count == 1 && stack.end == .noUnwindInformation)
    }
  }

  /// Words left on the stack are no callers of code that was made at run time; those of files may be, unconfirmed.
  @Test func staleWordsUnderCodeMadeAtRunTime() throws {
    let call: (at: Int, bytes: [UInt8]) = (0x7fe, [0xff, 0xd0])
    let words = [1, 2, Self.start + 0x800, 3, 4]
    #expect(try MadeCode([call]).unwind(at: 0x50, words).frames.count == 1)
    let stack = try MadeCode([call], functions: []).unwind(at: 0x50, words)
    #expect(stack.frames.count >= 2 && stack.frames[1].isGuessed && stack.unconfirmed >= 1)
  }

  /// Words of a frame of libc's `loopCall` with its return address on top: what the restart needs.
  private func loopFrame(_ code: MadeCode, returningTo address: UInt64) -> [UInt64] {
    var words = [UInt64](repeating: 0x77, count: Int(code.offset / 8))
    words[words.count - 1] = address
    return words
  }

  @Test(arguments: [NativeUnwinder.Method.rows, .libunwind])
  func goesOnAtTheNextBoundary(_ method: NativeUnwinder.Method) throws {
    let code = try MadeCode([], method: method)
    // Three words of a leaf nobody knows, then two loops, of which the outer one returns to nothing.
    let inner = loopFrame(code, returningTo: code.loopCall)
    let words = [1, 2, 3] + inner + loopFrame(code, returningTo: 0)
    let cfas = [Self.top + 24 + code.offset, Self.top + 24 + 2 * code.offset]
    let loop = KnownLoop(callAddress: code.loopCall, distance: 16)
    let stack = code.unwind(at: 0x50, words, boundaries: cfas.map { $0 - 16 }, loop: loop)
    #expect(stack.frames.map(\.address) == [Self.start + 0x50, code.loopCall, code.loopCall])
    #expect(stack.frames.map(\.canonicalFrameAddress) == [Self.top] + cfas)
    #expect(stack.frames.map(\.restartedAt) == [0, cfas[0] - 16, 0])
    #expect(stack.gaps == 1 && stack.gapCauses == [.noUnwindInformation] && stack.guesses == 0)
    #expect(stack.registers.count == 3 && stack.registers[1][Registers.rip] == code.loopCall)
    // What the loop had saved is its caller's again.
    #expect(stack.registers[2][Registers.rsp] == cfas[0])
    // Without a loop, or without the words that it needs, there is no way on.
    #expect(code.unwind(at: 0x50, words, boundaries: cfas.map { $0 - 16 }).frames.count == 1)
    #expect(code.unwind(at: 0x50, words, boundaries: [Self.top + 0x10000], loop: loop).frames.count == 1)
    // A word that lies in no code is no return address: the next boundary serves.
    var torn = words
    torn[2 + inner.count] = 0x1234
    let second = code.unwind(at: 0x50, torn, boundaries: cfas.map { $0 - 16 }, loop: loop)
    #expect(second.frames.count == 1)
  }

  /// A confirmed guess whose path does not meet the boundary where loops keep it is taken back.
  @Test func aPathThatMissesABoundaryIsTakenBack() throws {
    let code = try MadeCode([Self.leaf, Self.caller], functions: Self.symbols)
    let loop = KnownLoop(callAddress: code.loopCall, distance: 16)
    // leaf <- caller <- loop: the caller's frame is 16 bytes.
    let path: [UInt64] = [1, 2, 3, Self.start + 0x209, 5, code.loopCall]
    let words = path + loopFrame(code, returningTo: 0)
    let cfa = Self.top + 48 + code.offset
    let right = code.unwind(at: 0x104, words, boundaries: [cfa - 16], loop: loop)
    #expect(right.frames.map(\.address) == [Self.start + 0x104, Self.start + 0x209, code.loopCall])
    #expect(right.gaps == 0 && right.guesses == 2 && right.unconfirmed == 0)
    // One word more in between: the path leads eight bytes past where the loop must be.
    let longer = path + [9] + loopFrame(code, returningTo: code.loopCall) + loopFrame(code, returningTo: 0)
    let moved = cfa + 8
    let stack = code.unwind(
      at: 0x104, longer, boundaries: [moved - 16, moved + code.offset - 16], loop: loop)
    #expect(stack.frames.map(\.address) == [Self.start + 0x104, code.loopCall, code.loopCall])
    #expect(stack.frames[0].canonicalFrameAddress == Self.top && stack.frames[1].restartedAt == moved - 16)
    #expect(stack.guesses == 0 && stack.gaps == 1)
  }

  /// glibc's __start_context and Boost.Context's entry end a stack; their frames stand at an entry, not behind a
  /// call.
  @Test(
    arguments: [
      (0, [0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff, 0x74, 0x08, 0xe8, 0, 0, 0, 0]),
      (3, [0x55, 0xff, 0xe3, 0x48, 0x31, 0xff, 0xe8, 0, 0, 0, 0, 0xf4]),
    ] as [(Int, [UInt8])])
  func contextsEnd(_ entry: Int, _ bytes: [UInt8]) throws {
    for method in [NativeUnwinder.Method.rows, .libunwind] {
      // An indirect call: leaf is entered by the context's entry.
      let code = try MadeCode([Self.leaf, (0x400, bytes)], functions: Self.symbols, method: method)
      let entry = Self.start + 0x400 + UInt64(entry)
      var words: [UInt64] = [1, 2, 3, entry, 0, 0]
      let stack = code.unwind(at: 0x104, words)
      #expect(stack.frames.map(\.address) == [Self.start + 0x104, entry])
      #expect(stack.end == .outermost && stack.frames[1].isInstructionPointer)
      words[3] = entry + 1
      #expect(code.unwind(at: 0x104, words).end != .outermost)
    }
  }
}
