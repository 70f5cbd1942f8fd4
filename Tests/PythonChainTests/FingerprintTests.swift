// What tells code objects at one address apart, and when it is read.

import HostPythonChain
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Fingerprints {
    /// Whether the last run read the code object itself, not only a page of frames around it.
    private func wasRead(_ code: MadeCode, _ machine: Machine) -> Bool {
      machine.reads.contains { $0.address == code.address }
    }

    private func interpreter(minor: UInt32) throws -> (Machine, FakeInterpreter, MadeCode) {
      let machine = Machine()
      let (python, codes, _) = try Names.run(machine, minor: minor) { [$0.code()] }
      return (machine, python, codes[0])
    }

    /// 3.11 in the interrupt and in the reader; lengths around what is looked at.
    @Test(arguments: [0, 1, 63, 64, 65, 500], [0, 1, 15, 16, 17, 31, 33, 63, 64, 65, 300])
    func of311(table: Int, file: Int) throws {
      for kind in [1, 2, 4] {
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: 11)
        let bytes = (0..<file * kind).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ 1) }
        let lines = (0..<table).map { UInt8(truncatingIfNeeded: $0 &* 5 &+ 1) }
        let name = python.string("name")
        let code = python.code(
          named: name, file: python.string(bytes, kind: UInt32(kind), isASCII: kind == 1), line: 77,
          table: lines)
        python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: code)]])
        let fingerprint = try machine.run().sample.entries.first?.fingerprint
        #expect(fingerprint == code.fingerprint)
        #expect(
          fingerprint
            == CodeFingerprint.mix(
              firstLine: 77, codeUnits: 32, nameHash: try #require(machine.load(name + 24)),
              tableLength: UInt64(table), table: Array(lines.prefix(64)), fileLength: UInt64(file),
              fileTail: Array(bytes.suffix(64))))
        #expect(fingerprint != CodeFingerprint.none)
      }
    }

    /// Frames whose files alternate: the file name last read is kept, by address.
    @Test func filesOf311() throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: 11)
      let files = [python.string("/a/one.py"), python.string("/a/two.py")]
      let codes = (0..<8).map { python.code(named: python.string("f\($0)"), file: files[($0 / 3) % 2]) }
      python.setChain(python.addThread(Machine.tgid), [codes.map { MadeFrame(code: $0) }])
      #expect(try machine.run().sample.entries.dropLast().map(\.fingerprint) == codes.map(\.fingerprint))
      #expect(Set(codes.map(\.fingerprint)).count == 8)
      // Another string in the place of the file name: not the one of the sample before.
      machine.write(files[0] + UInt64(python.layout.unicode_ascii_data), Array("/b".utf8))
      machine.write(files[1] + UInt64(python.layout.unicode_ascii_data), Array("/b".utf8))
      let reader = ObjectReader(layout: python.layout, codeAdaptive: python.codeAdaptive, memory: machine)
      let changed = codes.map { CodeFingerprint.read($0.address, with: reader) }
      #expect(try machine.run().sample.entries.dropLast().map(\.fingerprint) == changed)
      #expect(Set(changed).isDisjoint(with: codes.map(\.fingerprint)))
    }

    @Test(arguments: [12, 13] as [UInt32])
    func counterStandsStill(minor: UInt32) throws {
      let (machine, python, code) = try interpreter(minor: minor)
      _ = try machine.run()
      #expect(wasRead(code, machine))
      for _ in 0..<3 {
        let sample = try machine.run().sample
        #expect(!wasRead(code, machine))
        #expect(sample.entries.first?.fingerprint == code.fingerprint)
        #expect(sample.header.generation == 1000)
      }
      python.setCounter(1001)
      #expect(try machine.run().sample.header.generation == 1001)
      #expect(wasRead(code, machine))
      _ = try machine.run()
      #expect(!wasRead(code, machine))
    }

    /// 0: the counter ran over, or cannot be read.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func withoutCounter(minor: UInt32) throws {
      let (machine, python, code) = try interpreter(minor: minor)
      python.setCounter(0)
      for _ in 0..<3 {
        #expect(try machine.run().sample.header.generation == 0)
        #expect(wasRead(code, machine))
      }
      guard minor == 12 else { return }
      python.setCounter(1000)
      _ = try machine.run()
      machine.remove(FakeInterpreter.counter312)
      for _ in 0..<2 {
        #expect(try machine.run().sample.entries.first?.fingerprint == code.fingerprint)
        #expect(wasRead(code, machine))
      }
    }

    /// Within one sample an entry is good without a counter: recursion reads the code once.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func recursionReadsOnce(minor: UInt32) throws {
      let machine = Machine()
      let (python, codes, _) = try Names.run(machine, minor: minor) {
        let code = $0.code()
        return [code, code, code, code]
      }
      python.setCounter(0)
      _ = try machine.run()
      _ = try machine.run()
      #expect(machine.reads.filter { $0.address == codes[0].address }.count == 1)
    }

    /// 3.13 counts in each interpreter.
    @Test func perInterpreter() throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: 13)
      python.addInterpreter()
      python.setCounter(1000, interpreter: 1)
      let shared = python.code("shared")
      let own = [python.code("own0"), python.code("own1")]
      for index in 0..<2 {
        let thread = python.addThread(Machine.tgid + UInt32(index), interpreter: index)
        python.setChain(thread, [[MadeFrame(code: own[index]), MadeFrame(code: shared)]])
      }
      func run(_ index: Int) throws -> Output {
        machine.thread.pid = Machine.tgid + UInt32(index)
        return try machine.run()
      }
      #expect(try run(0).names.map(\.key.interpreter) == [python.interpreters[0], python.interpreters[0]])
      // The same address, the same count, another interpreter.
      #expect(try run(1).names.map(\.key.interpreter) == [python.interpreters[1], python.interpreters[1]])
      #expect(wasRead(shared, machine))
      _ = try run(0)
      #expect(wasRead(shared, machine) && !wasRead(own[0], machine))
      python.setCounter(1001, interpreter: 1)
      _ = try run(0)
      #expect(!wasRead(own[0], machine) && !wasRead(shared, machine))
      _ = try run(1)
      #expect(wasRead(own[1], machine))
    }

    /// After an exec the same addresses and the same count mean other things.
    @Test(arguments: [12, 13] as [UInt32])
    func perLayout(minor: UInt32) throws {
      let (machine, python, code) = try interpreter(minor: minor)
      _ = try machine.run()
      let other = python.code("other", at: code.address)
      machine.use(python.layout, slot: 2)
      #expect(try machine.run().sample.entries.first?.fingerprint == other.fingerprint)
      #expect(wasRead(code, machine))
    }

    /// Each CPU knows what it saw itself.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func perCPU(minor: UInt32) throws {
      let (machine, _, code) = try interpreter(minor: minor)
      for cpu in 0..<UInt32(HOST_CPUS) {
        machine.thread.cpu = cpu
        let output = try machine.run()
        #expect(wasRead(code, machine))
        #expect(try output.sample.entries.first?.fingerprint == code.fingerprint)
        #expect(output.names.count == 1)
        #expect(machine.counters(cpu: cpu).emitted == 1)
      }
    }
  }
}
