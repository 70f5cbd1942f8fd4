// Memory that no interpreter would have: the program ends, and its records are records.

import HostPythonChain
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

/// A generator with a state that tests can state (splitmix64).
struct SeededRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}

extension PythonChainTests {
  /// A walk over damaged memory must end: its bound is that of the whole suite.
  @Suite(.timeLimit(.minutes(10))) struct Fuzz {
    private static let readLimit = 4096 * 2 + 1025 * 10 + 100

    private func expectLegal(_ machine: Machine, _ noted: Comment) throws {
      let before = machine.counters()
      // Decoding checks kinds and sizes.
      let output = try machine.run()
      #expect(machine.reads.count < Self.readLimit, noted)
      let after = machine.counters()
      #expect(UInt64(output.samples.count) == after.emitted - before.emitted, noted)
      #expect(UInt64(output.names.count) == after.names_emitted - before.names_emitted, noted)
      #expect(output.names.count <= 4, noted)
      machine.checkLaw()
      for sample in output.samples where sample.status == PYTHON_CHAIN_WHOLE {
        #expect(sample.entries.last?.isLoopEnd == true, noted)
      }
    }

    /// A good image, a few words of which are something else.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func spoiledWords(minor: UInt32) throws {
      for seed in 0..<400 as Range<UInt64> {
        var random = SeededRandom(state: seed << 8 | UInt64(minor))
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: minor)
        python.addInterpreter()
        var objects = python.interpreters
        for number in 0..<4 {
          objects.append(python.addThread(Machine.tgid + UInt32(number), interpreter: number % 2))
        }
        let codes = (0..<4).map { python.code("f\($0)", file: "/srv/\($0).py") }
        let chain = python.setChain(objects[2], (0..<3).map { _ in codes.map { MadeFrame(code: $0) } })
        objects += codes.flatMap { [$0.address, $0.qualifiedName, $0.fileName, $0.lineTable] }
        objects += chain.frames.flatMap { $0 } + chain.boundaries + chain.cFrames
        if Bool.random(using: &random) { try expectLegal(machine, "3.\(minor) seed \(seed)") }
        for _ in 0..<Int.random(in: 1...6, using: &random) {
          let object = objects.randomElement(using: &random) ?? 0
          let value: UInt64 =
            switch Int.random(in: 0..<5, using: &random) {
            case 0: 0
            case 1: random.next()
            case 2: random.next() & 0xffff
            default: objects.randomElement(using: &random) ?? 0
            }
          machine.write(object + UInt64.random(in: 0..<24, using: &random) * 8, value)
        }
        for _ in 0..<3 { try expectLegal(machine, "3.\(minor) seed \(seed)") }
      }
    }

    /// Pages full of pointers to one another, where everything may be anything.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func pointersEverywhere(minor: UInt32) throws {
      for seed in 0..<60 as Range<UInt64> {
        var random = SeededRandom(state: seed << 8 | UInt64(minor))
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: minor)
        let base: UInt64 = 0x7e00_0000_0000
        let pages: UInt64 = 12
        func pointer() -> UInt64 { base + UInt64.random(in: 0..<pages * 512, using: &random) * 8 }
        let codeTypes = Int.random(in: 1...12, using: &random)
        let words = (0..<pages * 512).map { _ -> UInt64 in
          switch Int.random(in: 0..<16, using: &random) {
          case 0..<codeTypes: FakeInterpreter.codeType
          case 13: UInt64(Machine.tgid)
          case 14: random.next()
          case 15: UInt64.random(in: 0..<128, using: &random)
          default: pointer()
          }
        }
        machine.write(base, words: words)
        let thread = python.addThread(Machine.tgid)
        python.setInnermost(thread, frame: pointer(), cFrame: pointer())
        if seed % 3 == 0 {
          machine.write(FakeInterpreter.runtime + UInt64(python.layout.runtime_interpreters_head), pointer())
        }
        if seed % 3 == 1 { machine.remove(base + UInt64.random(in: 0..<pages, using: &random) * 4096) }
        for _ in 0..<3 { try expectLegal(machine, "3.\(minor) seed \(seed)") }
      }
    }

    /// Offsets that no layout would pass validation with: nothing is written or read out of bounds.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func spoiledLayout(minor: UInt32) throws {
      for seed in 0..<400 as Range<UInt64> {
        var random = SeededRandom(state: seed << 8 | UInt64(minor))
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: minor)
        let thread = python.addThread(Machine.tgid)
        python.setChain(thread, [[MadeFrame(code: python.code()), MadeFrame(code: python.code("g"))]])
        var layout = python.layout
        for _ in 0..<Int.random(in: 1...4, using: &random) {
          guard let field = LayoutField.all.randomElement(using: &random) else { continue }
          layout[keyPath: field.path] = UInt32.random(
            in: 0...(Bool.random(using: &random) ? 256 : .max), using: &random)
        }
        machine.use(layout)
        for _ in 0..<2 { try expectLegal(machine, "3.\(minor) seed \(seed)") }
      }
    }

    /// Random errors of reads and outputs on the way.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func failuresInARow(minor: UInt32) throws {
      var random = SeededRandom(state: UInt64(minor))
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let codes = (0..<12).map { python.code("f\($0)", file: "/srv/\($0 % 3).py") }
      var chains: [MadeChain] = []
      for number in 0..<3 {
        let thread = python.addThread(Machine.tgid + UInt32(number))
        chains.append(
          python.setChain(
            thread,
            (0..<number + 1).map { _ in
              (0..<10).map { _ in MadeFrame(code: codes.randomElement(using: &random) ?? codes[0]) }
            }
          ))
      }
      var emitted = 0
      var handed: Set<CodeKey> = []
      for round in 0..<3000 {
        let number = Int.random(in: 0..<3, using: &random)
        machine.thread.cpu = UInt32.random(in: 0..<UInt32(HOST_CPUS), using: &random)
        machine.thread.pid = Machine.tgid + UInt32(number)
        machine.thread.sp = Machine.stackEnd - UInt64.random(in: 0..<40000, using: &random)
        if round % 50 == 0 { python.setCounter(UInt32(round)) }
        for slot in 0..<5 {
          host_fail_slot(UInt32(slot), [0, 0, 0, -28, -28, -2].randomElement(using: &random) ?? 0)
        }
        let output = try machine.run(failingRead: Int.random(in: -20..<60, using: &random))
        for sample in output.samples {
          emitted += 1
          let isPrefix = zip(sample.entries, chains[number].entries).allSatisfy { $0.isSame(asClean: $1) }
          #expect(isPrefix)
          #expect(
            sample.entries.count == chains[number].entries.count || sample.status == PYTHON_CHAIN_READ_FAULT)
          #expect(sample.status == PYTHON_CHAIN_WHOLE || sample.status == PYTHON_CHAIN_READ_FAULT)
        }
        for names in output.names { handed.insert(names.key) }
      }
      machine.checkLaw()
      #expect(emitted > 1000)
      // All names arrived in the end.
      let used = Set(chains.flatMap { $0.entries.filter { !$0.isLoopEnd }.map(\.code) })
      #expect(Set(handed.map(\.code)) == used)
    }
  }
}
