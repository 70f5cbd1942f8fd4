// The joiner on hand-made halves: how boundaries, loops and Python frames fit together, and whatever the halves are.

import Accounting
import PythonChain
import Testing

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

@Suite struct JoinerTests {
  @Test func aWholeStack() throws {
    var joining = Joining()
    var halves = Halves("nLnnLnn")
    halves.python(10, 11)
    halves.loopEnd(in: 1)
    halves.python(12)
    halves.loopEnd(in: 4)
    #expect(try joining.join(halves) == "n0 p10 p11 L1 n2 n3 p12 L4 n5 n6")
    #expect(joining.mixed.damage == nil && joining.mixed.outermostLoop == 4)
    // These code objects' names were never handed over.
    #expect(Remark.allCases.filter(joining.mixed.remarks.contains) == [.namelessPythonFrame])
  }

  /// Read from outside and not proven: the native half is the interrupt's, and each loop's frames are marked.
  @Test func unverifiedFrames() throws {
    var joining = Joining()
    var halves = Halves("nLnnLnn")
    halves.status = PYTHON_CHAIN_UNVERIFIED
    #expect(try joining.join(halves) == "n0 [unverified] L1 n2 n3 [unverified] L4 n5 n6")
    #expect(joining.mixed.damage == .pythonUnverified && joining.mixed.outermostLoop == 4)
    halves = Halves("nnn")
    halves.status = PYTHON_CHAIN_UNVERIFIED
    #expect(try joining.join(halves) == "n0 n1 n2 [unverified]")
    #expect(joining.mixed.damage == .pythonUnverified && joining.mixed.outermostLoop == nil)
  }

  @Test func theBoundaryMayBeTheFirstOrTheLastByteOfItsFrame() throws {
    var joining = Joining()
    for offset: UInt64 in [0, 0xff] {
      var halves = Halves("nLn")
      halves.python(10)
      halves.loopEnd(at: Halves.base + 0x100 + offset)
      #expect(try joining.join(halves) == "n0 p10 L1 n2")
    }
  }

  @Test func aCFrameInTheSameNativeFrame() throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.python(10)
    halves.loopEnd(in: 1, cFrame: 1)
    halves.python(11)
    halves.loopEnd(in: 3, cFrame: 3)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 p11 L3 n4")
    #expect(joining.mixed.damage == nil)
  }

  @Test func aCFrameInAnotherNativeFrame() throws {
    var joining = Joining()
    var halves = Halves("nLnLn")
    halves.python(10)
    halves.loopEnd(in: 1, cFrame: 2)
    halves.python(11)
    halves.loopEnd(in: 3, cFrame: 3)
    #expect(try joining.join(halves) == "n0 [unproven frames] L1 n2 p11 L3 n4")
    #expect(joining.mixed.damage == .joinMismatch)
  }

  @Test func aBoundaryOutside() throws {
    var joining = Joining()
    // Below the stack pointer is nothing that lives: another stack.
    var halves = Halves("nLnLn")
    halves.python(10)
    halves.loopEnd(at: 8)
    halves.python(11)
    halves.loopEnd(in: 3)
    #expect(try joining.join(halves) == "n0 [unproven frames] L1 n2 p11 L3 n4")
    #expect(joining.mixed.damage == .joinMismatch)
    // Boundaries that do not lie further and further out say nothing.
    for address in [Halves.base + 0x4000, UInt64.max] {
      var halves = Halves("nLnLn")
      halves.python(10)
      halves.loopEnd(at: address)
      halves.python(11)
      halves.loopEnd(in: 3)
      #expect(try joining.join(halves) == "n0 [unproven frames] L1 n2 [unproven frames] L3 n4")
      #expect(joining.mixed.damage == .joinMismatch)
    }
  }

  @Test func aStrayLoopIsMarked() throws {
    var joining = Joining()
    // Three loops on the stack; the chain knows nothing of the middle one.
    var halves = Halves("nLnLnLn")
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(12)
    halves.loopEnd(in: 5)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [unproven frames] L3 n4 p12 L5 n6")
    #expect(joining.mixed.damage == .joinMismatch && joining.mixed.outermostLoop == 5)
  }

  @Test func aLoopBeingEntered() throws {
    var joining = Joining()
    var halves = Halves("LnLn")
    halves.python(11)
    halves.loopEnd(in: 2)
    #expect(try joining.join(halves) == "L0 n1 p11 L2 n3")
    #expect(joining.mixed.damage == nil)
    #expect(joining.mixed.remarks.contains(.enteringEvaluationLoop))
    // Two cannot be entered at once.
    halves = Halves("LnLnLn")
    halves.python(11)
    halves.loopEnd(in: 4)
    #expect(try joining.join(halves) == "L0 n1 [unproven frames] L2 n3 p11 L4 n5")
    #expect(joining.mixed.damage == .joinMismatch)
  }

  @Test func aThreadWithoutPython() throws {
    var joining = Joining()
    for status in [PYTHON_CHAIN_NO_THREAD, PYTHON_CHAIN_NO_FRAMES] {
      var halves = Halves("nnn")
      halves.status = status
      #expect(try joining.join(halves) == "n0 n1 n2")
      #expect(joining.mixed.damage == nil && joining.mixed.remarks.contains(.nonPythonThread))
      #expect(joining.mixed.outermostLoop == nil)
      // The first loop of a thread is just being entered; a second one cannot be without frames.
      halves = Halves("Lnn")
      halves.status = status
      #expect(try joining.join(halves) == "L0 n1 n2")
      #expect(joining.mixed.damage == nil && joining.mixed.remarks.contains(.enteringEvaluationLoop))
      halves = Halves("LnLn")
      halves.status = status
      #expect(try joining.join(halves) == "L0 n1 [unproven frames] L2 n3")
      #expect(joining.mixed.damage == .noThreadState)
      halves = Halves("nn", end: .snapshotExhausted)
      halves.status = status
      #expect(try joining.join(halves) == "n0 n1 [truncated native stack]")
      #expect(joining.mixed.damage == .nativeStackTruncated)
    }
  }

  @Test func guessesAreRemarked() throws {
    var joining = Joining()
    var halves = Halves("nLn")
    halves.native.guesses = 1
    halves.native.frames[2].isGuessed = true
    halves.native.frames[2].isConfirmed = true
    halves.python(10)
    halves.loopEnd(in: 1)
    try joining.join(halves)
    #expect(joining.mixed.remarks.contains(.guessedNativeFrame) && joining.mixed.damage == nil)
    // One that is not shown does not count.
    halves.native.frames[2].isGuessed = false
    try joining.join(halves)
    #expect(!joining.mixed.remarks.contains(.guessedNativeFrame))
  }

  /// From a guess that nothing confirms outwards to the next proven frame nothing is shown, and the sample is not whole.
  @Test func unconfirmedGuessesAreLeftOut() throws {
    var joining = Joining()
    var halves = Halves("nnnLnnn")
    halves.native.guesses = 1
    halves.native.frames[1].isGuessed = true
    halves.python(10)
    halves.loopEnd(in: 3)
    #expect(try joining.join(halves) == "n0 [unconfirmed callers] p10 L3 n4 n5 n6")
    #expect(joining.mixed.damage == .unconfirmedCaller)
    #expect(!joining.mixed.remarks.contains(.guessedNativeFrame))
    // Outside of the last loop, and without any.
    halves.native.frames[1].isGuessed = false
    halves.native.frames[5].isGuessed = true
    halves.native.end = .noUnwindInformation
    #expect(try joining.join(halves) == "n0 n1 n2 p10 L3 n4 [unconfirmed callers]")
    for status in [PYTHON_CHAIN_NO_THREAD, PYTHON_CHAIN_NO_LAYOUT, PYTHON_CHAIN_UNVERIFIED] {
      halves = Halves("nnn")
      halves.status = status
      halves.native.guesses = 1
      halves.native.frames[1].isGuessed = true
      #expect(try joining.join(halves) == "n0 [unconfirmed callers]")
      #expect(joining.mixed.damage != nil)
    }
  }

  /// Whatever the halves are: no crash, native frames in their order and none twice, Python frames in theirs, and a
  /// stack without damage has all of both.
  @Test func anyHalves() throws {
    var state: UInt64 = 7
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    let statuses = [
      PYTHON_CHAIN_WHOLE, PYTHON_CHAIN_READ_FAULT, PYTHON_CHAIN_BAD_CODE, PYTHON_CHAIN_DEPTH_LIMIT,
      PYTHON_CHAIN_UNLINKED, PYTHON_CHAIN_BOUNDARY, PYTHON_CHAIN_NO_FRAMES, PYTHON_CHAIN_NO_LAYOUT,
    ]
    let ends: [UnwindEnd] = [.outermost, .outermost, .snapshotExhausted, .noUnwindInformation]
    for _ in 0..<2000 {
      var joining = Joining()
      if random(8) == 0 { joining.joiner.prologueHole = 0x1000..<0x1020 }
      let count = random(9)
      var halves = Halves(
        String((0..<count).map { _ in random(3) == 0 ? "L" : "n" }), end: ends[random(ends.count)])
      halves.status = random(2) == 0 ? PYTHON_CHAIN_WHOLE : statuses[random(statuses.count)]
      var place = 0
      for group in 0..<random(5) {
        for frame in 0..<random(3) { halves.python(UInt64(1000 + group * 10 + frame)) }
        if random(10) == 0 { break }
        place = random(6) == 0 ? random(12) : place + random(3)
        halves.loopEnd(
          in: place, cFrame: random(3) == 0 ? place + random(2) : nil, broken: random(12) == 0)
        place += 1
      }
      let text = try joining.join(halves)
      let words = text.split(separator: " ").filter { "nLp".contains($0.first ?? " ") }
      let natives = words.filter { $0.first != "p" }.compactMap { Int($0.dropFirst()) }
      let pythons = words.filter { $0.first == "p" }.compactMap { Int($0.dropFirst()) }
      #expect(zip(natives, natives.dropFirst()).allSatisfy { $0 < $1 }, "\(text)")
      #expect(zip(pythons, pythons.dropFirst()).allSatisfy { $0 < $1 }, "\(text)")
      guard joining.mixed.damage == nil else { continue }
      #expect(natives == Array(0..<count), "\(text)")
      // All groups whose boundary lies on this stack are there, each with all of its frames; others are another's.
      var expected = 0
      for group in try halves.chain.groups {
        let isHere = group.boundary >= Halves.base && group.boundary < Halves.base + UInt64(count) * 0x100
        if isHere { expected += group.frames.count }
      }
      #expect(pythons.count == expected, "\(text)")
      #expect(!text.contains("["), "\(text)")
    }
  }

  /// A function that is still there is still a loop; after an exec all are others.
  @Test func whatWasLearntLivesAsLongAsItsFunction() throws {
    var joining = Joining()
    #expect(joining.joiner.loopFunctions == [0x1000])
    joining.joiner.mappingsChanged()
    #expect(joining.joiner.loopFunctions == [0x1000])
    joining.joiner.forget()
    #expect(joining.joiner.loopFunctions.isEmpty)
    var halves = Halves("LnLn")
    halves.status = PYTHON_CHAIN_NO_LAYOUT
    #expect(try joining.join(halves) == "n0 n1 n2 n3 [interpreter not yet known]")
  }
}
