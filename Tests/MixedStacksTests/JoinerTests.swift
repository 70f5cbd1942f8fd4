// The joiner on hand-made halves: one case for each way in which they do or do not fit together.

import Accounting
import PythonChain
import Testing

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

/// Both halves of one instant, made by hand. Functions are 0x1000 bytes long; the evaluation loop begins at 0x1000.
struct Halves {
  static let loop: UInt64 = 0x1000
  static let other: UInt64 = 0x2000
  static let base: UInt64 = 0x7ffc_0000_0000

  var native = AddressStack()
  var entries: [python_chain_frame] = []
  var status = PYTHON_CHAIN_WHOLE

  /// Native frames leaf first: `L` an evaluation loop, `n` any other function; each frame has 0x100 bytes.
  init(_ functions: String, end: UnwindEnd = .outermost) {
    for (index, function) in functions.enumerated() {
      native.frames.append(
        NativeFrame(
          address: (function == "L" ? Self.loop : Self.other) + 0x10,
          canonicalFrameAddress: Self.base + UInt64(index + 1) * 0x100, isInstructionPointer: index == 0,
          isGuessed: false))
    }
    native.end = end
  }

  /// An address inside of a native frame.
  static func inside(_ frame: Int) -> UInt64 { base + UInt64(frame) * 0x100 + 0x40 }

  /// Python frames by code object, innermost first.
  mutating func python(_ codes: UInt64...) {
    for code in codes {
      var entry = python_chain_frame()
      entry.address = 0x5000
      entry.code = code
      entry.instruction = code + 20
      entry.fingerprint = 1
      entries.append(entry)
    }
  }

  /// The end of a loop whose boundary lies in a native frame.
  mutating func loopEnd(in frame: Int, cFrame: Int? = nil, broken: Bool = false) {
    loopEnd(at: Self.inside(frame), cFrame: cFrame.map { Self.inside($0) + 8 } ?? 0, broken: broken)
  }

  mutating func loopEnd(at address: UInt64, cFrame: UInt64 = 0, broken: Bool = false) {
    var entry = python_chain_frame()
    entry.entry = UInt8(PYTHON_CHAIN_LOOP_END.rawValue)
    entry.address = address
    entry.code = cFrame
    entry.owner = broken ? 0xff : 3
    entries.append(entry)
  }

  var chain: DecodedChain {
    get throws {
      var header = python_chain_sample()
      header.kind = PYTHON_CHAIN_SAMPLE.rawValue
      header.size = UInt32(
        MemoryLayout<python_chain_sample>.size + entries.count * MemoryLayout<python_chain_frame>.size)
      header.status = status.rawValue
      header.frame_count = UInt32(entries.count)
      header.interpreter = 1
      var bytes = unsafe withUnsafeBytes(of: &header) { unsafe [UInt8]($0) }
      for var entry in entries { bytes += unsafe withUnsafeBytes(of: &entry) { unsafe [UInt8]($0) } }
      var chain = DecodedChain()
      try unsafe chain.decode(bytes.span.bytes, codeAdaptive: 0)
      return chain
    }
  }
}

/// Joins, and writes the result as text: `n1` native, `L1` loop, `p` with the code object for Python, `[...]`.
struct Joining {
  let joiner = StackJoiner { $0 & ~0xfff }
  let table = PythonFrameTable(codes: CodeTable())
  var mixed = MixedStack()

  init() {
    // What an evaluation loop is was learnt from an earlier sample.
    var halves = Halves("nLn")
    halves.python(1)
    halves.loopEnd(in: 1)
    _ = try? join(halves)
  }

  @discardableResult
  mutating func join(_ halves: Halves) throws -> String {
    let chain = try halves.chain
    joiner.join(halves.native, chain, table, memory: nil, into: &mixed)
    // The table numbers frames in the order of first sight: by code object for these.
    var codes: [PythonFrameID: UInt64] = [:]
    for frame in chain.frames {
      if case .frame(let id) = table.answer(frame, interpreter: 1, memory: nil) { codes[id] = frame.code }
    }
    return mixed.frames.map { frame in
      switch frame {
      case .native(let index): "n\(index)"
      case .evaluationLoop(let index): "L\(index)"
      case .python(let id): "p\(codes[id] ?? 0)"
      case .marker(let marker): marker.text
      }
    }.joined(separator: " ")
  }
}

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
    #expect(try joining.join(halves) == "[unproven frames] p11 L3 n4")
    #expect(joining.mixed.damage == .joinMismatch)
  }

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

  @Test func aBoundaryOutside() throws {
    var joining = Joining()
    for address in [Halves.base + 0x4000, UInt64.max, 8] {
      var halves = Halves("nLnLn")
      halves.python(10)
      halves.loopEnd(at: address)
      halves.python(11)
      halves.loopEnd(in: 3)
      // The lowest address is taken for the leaf's, which has no lower end; it is no loop that was seen before.
      let text = try joining.join(halves)
      if address == 8 {
        #expect(joining.mixed.damage == .joinMismatch, "\(text)")
      } else {
        #expect(text == "[unproven frames] p11 L3 n4")
        #expect(joining.mixed.damage == .joinMismatch)
      }
    }
  }

  @Test func aStrayLoopHidesWhatIsInside() throws {
    var joining = Joining()
    // Three loops on the stack; the chain knows nothing of the middle one.
    var halves = Halves("nLnLnLn")
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(12)
    halves.loopEnd(in: 5)
    #expect(try joining.join(halves) == "[unproven frames] p12 L5 n6")
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
    #expect(try joining.join(halves) == "[unproven frames] p11 L4 n5")
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
      try joining.join(halves)
      #expect(joining.mixed.damage == .joinMismatch)
      halves = Halves("nn", end: .snapshotExhausted)
      halves.status = status
      #expect(try joining.join(halves) == "n0 n1 [truncated native stack]")
      #expect(joining.mixed.damage == .nativeStackTruncated)
    }
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

  @Test func guessesAreRemarked() throws {
    var joining = Joining()
    var halves = Halves("nLn")
    halves.native.guesses = 1
    halves.python(10)
    halves.loopEnd(in: 1)
    try joining.join(halves)
    #expect(joining.mixed.remarks.contains(.guessedNativeFrame) && joining.mixed.damage == nil)
    halves.native.guesses = 0
    try joining.join(halves)
    #expect(!joining.mixed.remarks.contains(.guessedNativeFrame))
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
      #expect(pythons.count == (try halves.chain.frames.count), "\(text)")
      #expect(!text.contains("["), "\(text)")
    }
  }

  /// After a change of the mappings the functions that were loops may be others.
  @Test func whatWasLearntIsForgottenWithTheMappings() throws {
    var joining = Joining()
    #expect(joining.joiner.loopFunctions == [0x1000])
    joining.joiner.mappingsChanged()
    #expect(joining.joiner.loopFunctions.isEmpty)
    var halves = Halves("LnLn")
    halves.status = PYTHON_CHAIN_NO_LAYOUT
    #expect(try joining.join(halves) == "n0 n1 n2 n3")
  }
}
