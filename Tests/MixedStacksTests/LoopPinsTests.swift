// What a stack copy alone proves about Python: on recorded stacks against their own chains, and on made ones.

import CaptureReplay
import PythonChain
import Snapshots
import Testing

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

@Suite struct LoopPinsTests {
  // MARK: Recorded stacks

  /// Each function that a copy names is the one at the top of its loop, and at the same instruction. The thresholds
  /// are lower than they are in use: what is believed sooner errs sooner.
  @Test(arguments: Capture.whole) func namesTheFunctionAtTheTop(_ name: String) throws {
    let capture = try Capture(named: name)
    let interpreter = try #require(capture.interpreter)
    let addressSpace = capture.addressSpace()
    let unwinder = try #require(NativeUnwinder(addressSpace: addressSpace, memory: capture.memory))
    var check = PinsCheck(
      unwinder, interpreter.layout, memory: nil, pins: LoopPins(leastStacks: 6, leastChanges: 2))
    capture.replay(to: &check)
    #expect(check.report.wrong == 0 && check.report.otherInstruction == 0, "\(check.report)")
    print("pins, \(name): \(check.report)")
    if name.hasPrefix("sandwich") { #expect(check.report.found > 20, "\(check.report)") }
  }

  // MARK: Made stacks

  /// A loop in frame 1 that keeps its instruction pointer in r15 and, when `slot` says so, in a word of its frame.
  private struct Scene {
    static let codes: [UInt64] = [0x10_0000, 0x20_0000, 0x30_0000]
    let table = PythonFrameTable(codes: CodeTable())
    let pins: LoopPins

    init(_ pins: LoopPins = LoopPins()) throws {
      self.pins = pins
      for code in Self.codes { try addNames(code) }
    }

    private func addNames(_ code: UInt64) throws {
      var header = python_chain_names()
      header.kind = PYTHON_CHAIN_NAMES.rawValue
      header.size = UInt32(MemoryLayout<python_chain_names>.size)
      header.code = code
      header.fingerprint = 1
      header.interpreter = 1
      header.code_units = 100
      let bytes = unsafe withUnsafeBytes(of: &header) { unsafe [UInt8]($0) }
      try unsafe table.codes.add(names: bytes.span.bytes)
    }

    private func halves(_ register: UInt64) -> Halves {
      var halves = Halves("nLn")
      halves.native.keepsRegisters = true
      for index in 0..<3 {
        var registers = Registers()
        registers[Registers.rsp] = Halves.base + UInt64(index) * 0x100
        if index == 1 { registers[15] = register }
        halves.native.registers.append(registers)
      }
      return halves
    }

    /// The stack copy; `slot`: the word 16 bytes below the loop frame's canonical frame address.
    private func with<T>(_ register: UInt64, _ slot: UInt64, _ body: (borrowing StackSnapshot) -> T) -> T {
      var words = [UInt64](repeating: 0, count: 0x300 / 8)
      words[(0x200 - 16) / 8] = slot
      var registers = Registers()
      registers[Registers.rsp] = Halves.base
      registers[15] = register
      return unsafe words.withUnsafeBytes { bytes in
        body(StackSnapshot(registers: registers, stack: unsafe RawSpan(_unsafeBytes: bytes)))
      }
    }

    /// A proven stack in which the loop runs a code object; r15 stands `distance` bytes behind the frame's instruction.
    func learn(_ code: UInt64, distance: UInt64 = 2, slot: UInt64 = 0) throws {
      var halves = halves(code + 20 + distance)
      halves.python(code)
      halves.loopEnd(in: 1)
      let chain = try halves.chain
      with(code + 20 + distance, slot) { snapshot in
        pins.learn(halves.native, snapshot, chain, places: [1], table, codeAdaptive: 0)
      }
    }

    /// Code object and offset that a copy without a proven chain names.
    func found(_ register: UInt64, slot: UInt64 = 0, isAlive: Bool = true, guessed: Int? = nil) -> [String] {
      var native = halves(register).native
      if let guessed { native.frames[guessed].isGuessed = true }
      return with(register, slot) { snapshot in
        pins.functions(native, snapshot, isAlive: { _ in isAlive })
          .map { "\($0.loop): \(String($0.code.key.code, radix: 16))+\($0.offset)" }
      }
    }

    func learnAll(_ rounds: Int) throws {
      for round in 0..<rounds { try learn(Self.codes[round % 3]) }
    }
  }

  @Test func aRegisterIsLearned() throws {
    let scene = try Scene()
    try scene.learnAll(31)
    #expect(scene.found(0x20_0000 + 42) == [])
    try scene.learnAll(1)
    #expect(scene.found(0x20_0000 + 42) == ["1: 200000+40"])
    #expect(scene.found(0x30_0000 + 4) == ["1: 300000+2"])
  }

  @Test func anAddressInNoKnownCode() throws {
    let scene = try Scene()
    try scene.learnAll(40)
    #expect(scene.found(0x40_0000) == [])
    #expect(scene.found(0x20_0000 + 202) == [], "behind the last instruction")
    #expect(scene.found(0) == [])
  }

  @Test func aCodeObjectThatIsGone() throws {
    let scene = try Scene()
    try scene.learnAll(40)
    #expect(scene.found(0x20_0000 + 42, isAlive: false) == [])
  }

  /// One function only: any address in it would have been right.
  @Test func withoutAChangeNothingIsBelieved() throws {
    let scene = try Scene()
    for _ in 0..<100 { try scene.learn(0x10_0000) }
    #expect(scene.found(0x10_0000 + 22) == [])
  }

  /// A single stack that contradicts ends the belief, for good.
  @Test func oneContradictionIsEnough() throws {
    let scene = try Scene()
    try scene.learnAll(40)
    try scene.learn(0x10_0000, distance: 8)
    #expect(scene.found(0x10_0000 + 22) == [])
    try scene.learnAll(100)
    #expect(scene.found(0x10_0000 + 22) == [])
  }

  /// A word of the frame that said the same all the while must go on doing so.
  @Test func placesThatDisagreeSayNothing() throws {
    let scene = try Scene()
    for round in 0..<40 {
      let code = Scene.codes[round % 3]
      try scene.learn(code, slot: code + 22)
    }
    #expect(scene.found(0x20_0000 + 42, slot: 0x20_0000 + 42) == ["1: 200000+40"])
    #expect(scene.found(0x20_0000 + 42, slot: 0x30_0000 + 42) == [])
    #expect(scene.found(0x20_0000 + 42, slot: 0) == [])
  }

  /// From the first guessed frame on, the registers are not known.
  @Test func registersOfAGuessSayNothing() throws {
    let scene = try Scene()
    try scene.learnAll(40)
    #expect(scene.found(0x20_0000 + 42, guessed: 2) == ["1: 200000+40"])
    #expect(scene.found(0x20_0000 + 42, guessed: 1) == [])
    #expect(scene.found(0x20_0000 + 42, guessed: 0) == [])
  }

  @Test func afterAnotherProgramNothingIsKnown() throws {
    let scene = try Scene()
    try scene.learnAll(40)
    scene.pins.forget()
    #expect(scene.found(0x20_0000 + 42) == [])
    // Nor is it when the new program's code objects become known: each call site has to be learnt anew.
    for code in Scene.codes { try scene.learn(code) }
    #expect(scene.found(0x20_0000 + 42) == [])
  }
}
