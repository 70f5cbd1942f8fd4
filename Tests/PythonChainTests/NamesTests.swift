// The strings of code objects on their way to the ring.

import HostPythonChain
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Names {
    /// A thread that runs the codes, innermost first.
    static func run(
      _ machine: Machine, minor: UInt32, _ codes: (FakeInterpreter) -> [MadeCode]
    ) throws -> (python: FakeInterpreter, codes: [MadeCode], thread: UInt64) {
      let python = try FakeInterpreter(machine, minor: minor)
      let made = codes(python)
      let thread = python.addThread(Machine.tgid)
      python.setChain(thread, [made.map { MadeFrame(code: $0) }])
      return (python, made, thread)
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func firstSight(minor: UInt32) throws {
      let machine = Machine()
      let table = (0..<40).map { UInt8($0) }
      let (python, codes, _) = try Self.run(machine, minor: minor) {
        [
          $0.code("Kind.method", file: "/srv/a.py", line: 42, table: table),
          $0.code("main", file: "/srv/b.py"),
        ]
      }
      let output = try machine.run()
      // Names stand before the first stack that needs them.
      #expect(output.order == [false, false, true])
      let names = try #require(output.names.first)
      #expect(
        names.key
          == CodeKey(
            interpreter: python.interpreters[0], code: codes[0].address, fingerprint: codes[0].fingerprint))
      #expect(names.firstLine == 42 && names.codeUnits == 32 && names.firstTraceable == 3)
      #expect(names.qualifiedName == HandedText(bytes: Array("Kind.method".utf8), characters: 11, kind: 1))
      #expect(names.fileName == HandedText(bytes: Array("/srv/a.py".utf8), characters: 9, kind: 1))
      #expect(names.lineTable == table && names.lineTableLength == 40)
      #expect(output.names.map(\.key.code) == codes.map(\.address))
      #expect(try output.sample.header.names_pending == 0)
      #expect(try machine.run().order == [true])
      #expect(machine.counters().names_emitted == 2 && machine.counters().names_lost == 0)
      // What the program's reader makes of it.
      #expect(CodeObject(names).qualifiedName == "Kind.method" && CodeObject(names).isComplete)
    }

    /// Another code object in the same place; then the first again.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func addressUsedAgain(minor: UInt32) throws {
      let machine = Machine()
      let (python, codes, _) = try Self.run(machine, minor: minor) { [$0.code("first", version: 5)] }
      #expect(try machine.run().names.map(\.key.fingerprint) == [codes[0].fingerprint])
      let second = python.code("second", version: 6, at: codes[0].address)
      python.setCounter(1001)
      let output = try machine.run()
      #expect(output.names.map(\.key.fingerprint) == [second.fingerprint])
      #expect(output.names.map(\.qualifiedName.bytes) == [Array("second".utf8)])
      #expect(try output.sample.entries.first?.fingerprint == second.fingerprint)
      #expect(second.fingerprint != codes[0].fingerprint)
      _ = python.code("first", version: 5, at: codes[0].address)
      python.setCounter(1002)
      #expect(try machine.run().names.map(\.qualifiedName.bytes) == [Array("first".utf8)])
      python.setCounter(1003)
      #expect(try machine.run().names.isEmpty)
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func sixteenPerSample(minor: UInt32) throws {
      let machine = Machine()
      let (_, codes, _) = try Self.run(machine, minor: minor) { python in
        let codes = (0..<36).map { python.code("f\($0)") }
        // Each twice.
        return codes + codes
      }
      var handed: [UInt64] = []
      for expected: (Int, UInt32) in [(16, 20), (16, 4), (4, 0), (0, 0)] {
        let output = try machine.run()
        #expect(output.names.count == expected.0)
        #expect(try output.sample.header.names_pending == expected.1)
        handed += output.names.map(\.key.code)
      }
      #expect(handed == codes.prefix(36).map(\.address))
    }

    /// Only the innermost frames' names are handed over.
    @Test func deepFrames() throws {
      let machine = Machine()
      _ = try Self.run(machine, minor: 13) { python in
        let codes = (0..<100).map { python.code("f\($0)") }
        return codes
      }
      var names = 0
      for _ in 0..<40 { names += try machine.run().names.count }
      #expect(names == 96)
      #expect(try machine.run().sample.header.names_pending == 4)
    }

    @Test(
      arguments: [11, 12, 13] as [UInt32],
      [
        (1, 20), (2, 20), (4, 20), (1, 512), (1, 513), (2, 256), (2, 257), (4, 128), (4, 129), (1, 5000),
        (4, 5000),
      ])
    func kindsAndCuts(minor: UInt32, shape: (kind: Int, characters: Int)) throws {
      let machine = Machine()
      let bytes = (0..<shape.kind * shape.characters).map { index in
        index % shape.kind == 0 ? UInt8(97 + index % 26) : UInt8(index % shape.kind == 1 ? 4 : 0)
      }
      let (_, _, _) = try Self.run(machine, minor: minor) { python in
        [
          python.code(
            named: python.string(bytes, kind: UInt32(shape.kind), isASCII: false),
            file: python.string(bytes, kind: UInt32(shape.kind), isASCII: false))
        ]
      }
      let output = try machine.run()
      let names = try #require(output.names.first)
      let limit = Int(PYTHON_CHAIN_QUALNAME_BYTES)
      let expected = HandedText(
        bytes: Array(bytes.prefix(limit)), characters: UInt32(shape.characters), kind: UInt8(shape.kind))
      #expect(names.qualifiedName == expected)
      #expect(names.fileName == expected)
      #expect(names.qualifiedName.isCut == (bytes.count > limit))
      #expect(names.lineTable == [0x80, 1, 0x81, 2])
      let name = try #require(CodeObject(names).qualifiedName)
      #expect(
        name.unicodeScalars.count == min(shape.characters, limit / shape.kind) + (bytes.count > limit ? 1 : 0)
      )
      #expect(try machine.run().names.isEmpty)
    }

    @Test(arguments: [11, 12, 13] as [UInt32], [0, 1, 2047, 2048, 2049, 100_000])
    func lineTables(minor: UInt32, length: Int) throws {
      let machine = Machine()
      let table = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      let (_, _, _) = try Self.run(machine, minor: minor) { [$0.code(table: table)] }
      let names = try #require(try machine.run().names.first)
      #expect(names.lineTable == Array(table.prefix(Int(PYTHON_CHAIN_LINETABLE_BYTES))))
      #expect(names.lineTableLength == UInt32(length))
      #expect((CodeObject(names).lineTable != nil) == (1...2048).contains(length))
      #expect(names.fileName.bytes == Array("/srv/app/module.py".utf8))
    }

    /// Lengths that no string has still make a record that its reader accepts.
    @Test(
      arguments: [12, 13] as [UInt32],
      [
        0x1_0000_0000, 0x1_0000_0005, 0x4000_0000_0000_0000, 0x4000_0000_0000_0003, 0xffff_ffff_ffff_ffff,
        0x8000_0001,
      ]
        as [UInt64])
    func impossibleLengths(minor: UInt32, length: UInt64) throws {
      for field in 0..<3 {
        let machine = Machine()
        let (python, codes, _) = try Self.run(machine, minor: minor) {
          [
            $0.code(
              named: $0.string([UInt8](repeating: 97, count: 600)),
              file: $0.string([UInt8](repeating: 98, count: 600)),
              table: [UInt8](repeating: 7, count: 3000))
          ]
        }
        let address = [
          codes[0].qualifiedName + UInt64(python.layout.unicode_length),
          codes[0].fileName + UInt64(python.layout.unicode_length),
          codes[0].lineTable + UInt64(python.layout.bytes_size),
        ][field]
        machine.write(address, length)
        let names = try #require(try machine.run().names.first)
        #expect(names.qualifiedName.isCut && names.fileName.isCut)
        #expect(names.lineTable.count < Int(names.lineTableLength))
        #expect(CodeObject(names).lineTable == nil)
      }
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func emptyNames(minor: UInt32) throws {
      let machine = Machine()
      _ = try Self.run(machine, minor: minor) { [$0.code("", file: "")] }
      let names = try #require(try machine.run().names.first)
      #expect(names.qualifiedName == HandedText(bytes: [], characters: 0, kind: 1))
      #expect(names.fileName == HandedText(bytes: [], characters: 0, kind: 1))
      #expect(names.lineTable.count == 4)
      #expect(CodeObject(names).qualifiedName == "")
      #expect(try machine.run().names.isEmpty)
    }

    /// A name on a page that is not there: counted as pending, and tried again.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func nameThatCannotBeRead(minor: UInt32) throws {
      let machine = Machine()
      var name: UInt64 = 0
      let text = [UInt8](repeating: 97, count: 100)
      let (_, _, _) = try Self.run(machine, minor: minor) { python in
        _ = python.allocate(64, alignment: 4096)
        // The header on one page, characters on the next.
        _ = python.allocate(4096 - 64 - 80, alignment: 16)
        name = python.string(text)
        _ = python.allocate(4096, alignment: 4096)
        return [python.code(named: name, file: python.string("x.py")), python.code("other")]
      }
      let page = (name / 4096 + 1) * 4096
      let saved = try #require(machine.bytes(page, count: 4096))
      machine.remove(page)
      for round in 0..<3 {
        let output = try machine.run()
        #expect(output.names.count == (round == 0 ? 1 : 0))
        #expect(try output.sample.header.names_pending == 1)
        #expect(try output.sample.status == PYTHON_CHAIN_WHOLE)
      }
      machine.write(page, saved)
      let output = try machine.run()
      #expect(output.names.map(\.qualifiedName.bytes) == [text])
      #expect(try output.sample.header.names_pending == 0)
    }

    /// A subclass of `str` keeps its characters elsewhere.
    @Test(arguments: [12, 13] as [UInt32])
    func fileNameOfAnotherForm(minor: UInt32) throws {
      let machine = Machine()
      let (python, codes, _) = try Self.run(machine, minor: minor) { [$0.code()] }
      machine.write(codes[0].fileName + UInt64(python.layout.unicode_state), UInt32(1 << 2))
      let names = try #require(try machine.run().names.first)
      #expect(names.fileName == HandedText(bytes: [], characters: 0, kind: 0))
      #expect(names.qualifiedName.bytes == Array("f".utf8) && names.lineTable.count == 4)
      #expect(CodeObject(names).fileName == nil)
      #expect(try machine.run().names.isEmpty)
    }

    /// What did not reach the ring is written again later.
    @Test(arguments: [11, 12, 13] as [UInt32], [-28, -2] as [Int64])
    func ringFull(minor: UInt32, error: Int64) throws {
      let machine = Machine()
      let (_, codes, _) = try Self.run(machine, minor: minor) { [$0.code("a"), $0.code("b")] }
      let slot = UInt32(PYTHON_CHAIN_STACK_CLASSES)
      host_fail_slot(slot, error)
      for round in 1...2 {
        let output = try machine.run()
        #expect(output.order == [true])
        #expect(try output.sample.status == PYTHON_CHAIN_WHOLE)
        #expect(try output.sample.header.names_pending == 2)
        #expect(machine.counters().names_lost == UInt64(2 * round))
      }
      host_fail_slot(slot, 0)
      // Only the first does not fit.
      host_fail_output(0, error)
      #expect(try machine.run().names.map(\.key.code) == [codes[1].address])
      host_fail_output(-1, 0)
      #expect(try machine.run().names.map(\.key.code) == [codes[0].address])
      #expect(machine.counters().names_emitted == 2 && machine.counters().names_lost == 5)
      #expect(try machine.run().names.isEmpty)
      machine.checkLaw()
    }

    /// A code object without a version (the interpreter's own, or after the versions ran out) is told apart by a
    /// hash, which can never be taken for a version.
    @Test(arguments: [12, 13] as [UInt32])
    func withoutVersion(minor: UInt32) throws {
      let machine = Machine()
      _ = try Self.run(machine, minor: minor) { [$0.code(version: 0)] }
      let output = try machine.run()
      #expect(try output.sample.status == PYTHON_CHAIN_WHOLE)
      let fingerprint = try output.sample.entries.first?.fingerprint ?? 0
      #expect(fingerprint >> 63 == 1)
      #expect(output.names.map(\.key.fingerprint) == [fingerprint])
      // Without a counter to watch it is read again at each sample, and known again.
      #expect(try machine.run().names.isEmpty)
    }
  }
}
