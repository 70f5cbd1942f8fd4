// The joiner where one half is cut off, broken or not to be believed: what is proven is shown, and the cause is named.

import Accounting
import PythonChain
import Testing

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

@Suite struct IncompleteHalvesTests {
  @Test(arguments: [
    (UnwindEnd.snapshotExhausted, DamageCause.nativeStackTruncated),
    (.noUnwindInformation, .noUnwindInformation),
    (.didNotAdvance, .unwindingFailed), (.depthLimit, .nativeDepthLimit),
  ]) func aTruncatedNativeStack(_ end: UnwindEnd, _ cause: DamageCause) throws {
    var joining = Joining()
    var halves = Halves("nLnn", end: end)
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.loopEnd(in: 9)
    halves.python(12)
    halves.loopEnd(in: 12)
    // The rest of the Python frames is known all the same.
    #expect(try joining.join(halves) == "n0 p10 L1 n2 n3 [truncated native stack] p11 p12")
    #expect(joining.mixed.damage == cause)
  }

  /// Nothing of the native stack but its leaf.
  @Test func aNativeStackCutBeforeTheFirstLoop() throws {
    var joining = Joining()
    var halves = Halves("n", end: .snapshotExhausted)
    halves.python(10)
    halves.loopEnd(in: 4)
    #expect(try joining.join(halves) == "n0 [truncated native stack] p10")
    #expect(joining.mixed.damage == .nativeStackTruncated)
  }

  /// The end was cut off beyond the outermost loop.
  @Test func aTruncatedNativeStackWithAllLoops() throws {
    var joining = Joining()
    var halves = Halves("nLn", end: .snapshotExhausted)
    halves.python(10)
    halves.loopEnd(in: 1)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [truncated native stack]")
    #expect(joining.mixed.damage == .nativeStackTruncated)
  }

  /// A boundary inside of what was copied that lies in no proper place is no matter of truncation.
  @Test func aBoundaryOutOfOrderInATruncatedStack() throws {
    var joining = Joining()
    var halves = Halves("nLnLnn", end: .snapshotExhausted)
    halves.python(10)
    halves.loopEnd(in: 3)
    halves.python(11)
    halves.loopEnd(in: 1)
    let text = try joining.join(halves)
    #expect(text.hasPrefix("[unproven frames]") && !text.contains("p10") && !text.contains("p11"))
    #expect(joining.mixed.damage == .joinMismatch)
  }

  @Test func inThePrologueHoleTheChainIsNotBelieved() throws {
    var joining = Joining()
    joining.joiner.prologueHole = 0x1000..<0x1020
    var halves = Halves("LnLn")
    halves.python(66)
    halves.loopEnd(in: 0)
    halves.python(11)
    halves.loopEnd(in: 2)
    #expect(try joining.join(halves) == "[unproven frames] n3")
    #expect(joining.mixed.damage == .pythonTransient)
    joining.joiner.prologueHole = 0x1011..<0x1020
    #expect(try joining.join(halves) == "p66 L0 n1 p11 L2 n3")
  }

  @Test func anUnlinkedGenerator() throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.status = PYTHON_CHAIN_UNLINKED
    halves.python(10)
    halves.loopEnd(in: 1, broken: true)
    halves.python(11)
    halves.loopEnd(in: 3)
    #expect(try joining.join(halves) == "[unproven frames] p11 L3 n4")
    #expect(joining.mixed.damage == .pythonTransient)
    // Without a boundary for the rest nothing is proven but the root.
    halves.entries.removeLast(3)
    #expect(try joining.join(halves) == "[unproven frames] n4")
    #expect(joining.mixed.damage == .pythonTransient)
  }

  @Test func theDepthLimit() throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.status = PYTHON_CHAIN_DEPTH_LIMIT
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11, 12)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 p11 p12 [deeper Python frames]")
    #expect(joining.mixed.damage == .pythonDepthLimit)
    // The record ended just behind a loop: the loops further out are no strays.
    halves.entries.removeLast(2)
    #expect(try joining.join(halves) == "n0 p10 L1 [deeper Python frames]")
    #expect(joining.mixed.damage == .pythonDepthLimit)
    // One in between is.
    halves = Halves("nLnLnLnLn")
    halves.status = PYTHON_CHAIN_DEPTH_LIMIT
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.loopEnd(in: 5)
    halves.python(12)
    #expect(try joining.join(halves) == "[unproven frames] p11 L5 n6 p12 [deeper Python frames]")
    #expect(joining.mixed.damage == .pythonDepthLimit)
  }

  /// Both halves end too early: each says so, and what both know is shown.
  @Test func theDepthLimitInATruncatedNativeStack() throws {
    var joining = Joining()
    var halves = Halves("nLnn", end: .snapshotExhausted)
    halves.status = PYTHON_CHAIN_DEPTH_LIMIT
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.loopEnd(in: 9)
    halves.python(12)
    #expect(
      try joining.join(halves)
        == "n0 p10 L1 n2 n3 [truncated native stack] p11 p12 [deeper Python frames]")
    #expect(joining.mixed.damage == .pythonDepthLimit)
  }

  @Test(arguments: [
    (PYTHON_CHAIN_NO_LAYOUT, DamageCause.interpreterNotYetKnown),
    (PYTHON_CHAIN_THREAD_LIMIT, .threadListLimit),
  ]) func nativeFramesOnly(_ status: python_chain_status, _ cause: DamageCause) throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.status = status
    #expect(try joining.join(halves) == "n0 L1 n2 L3 n4")
    #expect(joining.mixed.damage == cause)
  }

  @Test(arguments: [
    (PYTHON_CHAIN_READ_FAULT, DamageCause.pythonReadFault), (PYTHON_CHAIN_BAD_CODE, .pythonBadCode),
  ]) func aBrokenChainShowsTheRootOnly(_ status: python_chain_status, _ cause: DamageCause) throws {
    var joining = Joining()
    var halves = Halves("nLnLnn")
    halves.status = status
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    #expect(try joining.join(halves) == "[unproven frames] n4 n5")
    #expect(joining.mixed.damage == cause)
  }

  @Test func nothingAtAll() throws {
    var joining = Joining()
    var halves = Halves("", end: .noUnwindInformation)
    halves.status = PYTHON_CHAIN_NO_FRAMES
    #expect(try joining.join(halves) == "[truncated native stack]")
    #expect(joining.mixed.damage == .noUnwindInformation)
    halves = Halves("", end: .snapshotExhausted)
    halves.python(10)
    halves.loopEnd(in: 3)
    #expect(try joining.join(halves) == "[truncated native stack] p10")
  }
}
