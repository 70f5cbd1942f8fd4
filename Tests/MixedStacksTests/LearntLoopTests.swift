// What is an evaluation loop is learnt: answers that were given before that are not kept.

import Testing

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

@Suite struct LearntLoopTests {
  /// A frame of the function that `Halves` has as its loop, at any address.
  private func frame(at offset: UInt64) -> NativeFrame {
    NativeFrame(
      address: Halves.loop + offset, canonicalFrameAddress: Halves.base, isInstructionPointer: true,
      isGuessed: false)
  }

  @Test func addressesThatWereAskedBeforeAreAskedAgain() throws {
    let joiner = StackJoiner { $0 & ~0xfff }
    let places: [UInt64] = [0, 0x10, 0x11, 0x80, 0xfff]
    for place in places { #expect(!joiner.isLoop(frame(at: place))) }
    var halves = Halves("nLn")
    halves.python(10)
    halves.loopEnd(in: 1)
    var mixed = MixedStack()
    let table = PythonFrameTable(codes: CodeTable())
    joiner.join(
      halves.native, try halves.chain, table, memory: nil, stack: StackExtent(start: Halves.base),
      into: &mixed)
    for place in places { #expect(joiner.isLoop(frame(at: place)), "\(place)") }
    #expect(!joiner.isLoop(frame(at: 0x1000)))
  }
}
