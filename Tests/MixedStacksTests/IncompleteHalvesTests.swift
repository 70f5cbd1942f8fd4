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
    #expect(
      try joining.join(halves)
        == "n0 [unproven frames] L1 n2 [unproven frames] L3 n4 n5 [truncated native stack]")
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
    #expect(try joining.join(halves) == "L0 n1 [unproven frames] L2 n3")
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
    #expect(try joining.join(halves) == "n0 p10 [unproven frames] L1 n2 p11 L3 n4")
    #expect(joining.mixed.damage == .pythonTransient)
    // Without a boundary for the rest nothing of Python is proven.
    halves.entries.removeLast(3)
    #expect(try joining.join(halves) == "n0 [unproven frames] L1 n2 [unproven frames] L3 n4")
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
    #expect(
      try joining.join(halves) == "n0 p10 L1 n2 [unproven frames] L3 n4 p11 L5 n6 p12 [deeper Python frames]")
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
    (PYTHON_CHAIN_NO_LAYOUT, DamageCause.interpreterNotYetKnown, "[interpreter not yet known]"),
    (PYTHON_CHAIN_THREAD_LIMIT, .threadListLimit, "[unproven frames]"),
  ]) func nativeFramesOnly(_ status: python_chain_status, _ cause: DamageCause, _ marker: String) throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.status = status
    #expect(try joining.join(halves) == "n0 \(marker) L1 n2 \(marker) L3 n4")
    #expect(joining.mixed.damage == cause)
    // Without a known loop any of them may be one.
    halves = Halves("nnn")
    halves.status = status
    #expect(try joining.join(halves) == "n0 n1 n2 \(marker)")
    #expect(joining.mixed.damage == cause)
  }

  @Test(arguments: [
    (PYTHON_CHAIN_READ_FAULT, DamageCause.pythonReadFault), (PYTHON_CHAIN_BAD_CODE, .pythonBadCode),
  ]) func aBrokenChainShowsWhatIsProvenFromTheLeaf(_ status: python_chain_status, _ cause: DamageCause) throws
  {
    var joining = Joining()
    var halves = Halves("nLnLnn")
    halves.status = status
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [unproven frames] L3 n4 n5")
    #expect(joining.mixed.damage == cause)
    // Where stacks are switched, what lies further out may be another's.
    joining.joiner.isStackSwitcher = { _ in false }
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [unproven frames]")
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

  /// The record keeps both ends of a chain that is longer than it.
  @Test func aGapInTheChain() throws {
    var joining = Joining()
    // In one loop.
    var halves = Halves("nLn")
    halves.status = PYTHON_CHAIN_DEPTH_LIMIT
    halves.python(10)
    halves.gap(frames: 5000, loops: 0)
    halves.python(11)
    halves.loopEnd(in: 1)
    #expect(try joining.join(halves) == "n0 p10 [deeper Python frames] p11 L1 n2")
    #expect(joining.mixed.damage == .pythonDepthLimit)
    // Over many loops: the native frames of those are left out with them.
    halves = Halves("nLnLnLnLn")
    halves.status = PYTHON_CHAIN_DEPTH_LIMIT
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.gap(frames: 5000, loops: 1)
    halves.python(12)
    halves.loopEnd(in: 7)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 p11 [deeper Python frames] p12 L7 n8")
    #expect(joining.mixed.damage == .pythonDepthLimit)
    // Where the native stack ends before.
    halves = Halves("nLn", end: .snapshotExhausted)
    halves.status = PYTHON_CHAIN_DEPTH_LIMIT
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.gap(frames: 5000, loops: 900)
    halves.python(12)
    halves.loopEnd(in: 7000)
    #expect(
      try joining.join(halves) == "n0 p10 L1 n2 [truncated native stack] p11 [deeper Python frames] p12")
    #expect(joining.mixed.damage == .pythonDepthLimit)
  }

  /// Native frames are missing between others: Python frames that lie there are known all the same.
  @Test func aGapInTheNativeStack() throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.native.frames[3].restartedAt = Halves.inside(3)
    for index in 3...4 { halves.native.frames[index].canonicalFrameAddress += 0x1000 }
    halves.native.frames[3].restartedAt += 0x1000
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.loopEnd(at: Halves.inside(8))
    halves.python(12)
    halves.loopEnd(at: Halves.inside(9))
    halves.python(13)
    halves.loopEnd(at: Halves.inside(3) + 0x1000)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [truncated native stack] p11 p12 p13 L3 n4")
    #expect(joining.mixed.damage == .nativeStackTruncated)
    // A C frame lies below the boundary in its native frame, where the gap is.
    halves.entries.removeLast()
    halves.loopEnd(at: Halves.inside(3) + 0x1000, cFrame: Halves.inside(3) + 0x1000 - 0x20)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [truncated native stack] p11 p12 p13 L3 n4")
  }
}
