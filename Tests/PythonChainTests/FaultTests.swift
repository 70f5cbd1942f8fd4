// Each single read fails once: what is emitted is right, or says what is missing.

import Accounting
import HostPythonChain
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Faults {
    /// A process at an instant; the same one whenever it is made.
    enum Scene: String, CaseIterable {
      /// First sample of everything.
      case fresh
      /// The sample before saw the same.
      case known
      /// The same, but the counter moved.
      case moved
      /// One thread, states in two interpreters; both run something.
      case twoStates
      /// The thread's state does not run anything.
      case idle
      /// As it was at the sample before.
      case idleKnown
      /// A thread without Python.
      case foreign
      /// As it was at the sample before.
      case foreignKnown
      /// Frames across page ends, names of all kinds, tables of several sizes.
      case spread
      /// 300 frames.
      case deep
      /// More than a record holds.
      case tooDeep
      /// A generator without a link.
      case unlinked
      /// Frames and C frames contradict each other.
      case contradiction
      /// A frame without a code object.
      case badCode
    }

    private static func make(_ scene: Scene, minor: UInt32) throws -> Machine {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      python.addInterpreter()
      for number in 1...3 { _ = python.addThread(Machine.tgid + UInt32(number), interpreter: number % 2) }
      let thread = python.addThread(Machine.tgid)
      _ = python.addThread(Machine.tgid + 10)
      python.takeGIL(thread)
      machine.write(python.interpreters[0] + UInt64(python.layout.interpreter_gc_collecting), 1 as UInt32)
      let codes = (0..<3).map { python.code("f\($0)", file: $0 == 1 ? "/other.py" : "/srv/app/module.py") }
      let loops = [
        [MadeFrame(code: codes[0], owner: 1), MadeFrame(code: codes[1])], [MadeFrame(code: codes[2])],
        [MadeFrame(code: codes[0]), MadeFrame(code: codes[1])],
      ]
      let previous = UInt64(python.layout.frame_previous)
      switch scene {
      case .fresh: python.setChain(thread, loops)
      case .known, .moved:
        python.setChain(thread, loops)
        try machine.run()
        if scene == .moved { python.setCounter(1001) }
      case .twoStates:
        python.setChain(thread, [loops[0]])
        python.setChain(python.addThread(Machine.tgid, interpreter: 1), loops)
      case .idle: break
      case .idleKnown: try machine.run()
      case .foreign, .foreignKnown:
        python.setChain(thread, loops)
        machine.thread.pid = Machine.tgid + 77
        if scene == .foreignKnown { try machine.run() }
      case .spread:
        let page = python.allocate(16 * 4096, alignment: 4096)
        let frames = (0..<7).map { number in
          let kind = [1, 2, 4][number % 3]
          let text = (0..<(100 + number * 60) * kind).map { $0 % kind == 0 ? UInt8(65 + number) : 0 }
          let code = python.code(
            named: python.string(text, kind: UInt32(kind), isASCII: kind == 1),
            file: python.string(text, kind: UInt32(kind), isASCII: kind == 1),
            table: [UInt8](repeating: UInt8(number), count: number * 500))
          return MadeFrame(code: code, address: page + UInt64(4096 * (2 * number + 1) - 40))
        }
        python.setChain(thread, [frames])
      case .deep:
        python.setChain(thread, Array(repeating: (0..<100).map { MadeFrame(code: codes[$0 % 3]) }, count: 3))
      case .tooDeep: python.setChain(thread, [(0..<1100).map { MadeFrame(code: codes[$0 % 3]) }])
      case .unlinked:
        let chain = python.setChain(thread, loops)
        machine.write(chain.frames[0][0] + previous, 0 as UInt64)
      case .contradiction:
        let chain = python.setChain(thread, loops)
        if minor == 13 {
          machine.write(chain.frames[2][1] + previous, 0 as UInt64)
        } else {
          machine.write(chain.cFrames[1] + UInt64(python.layout.cframe_current_frame), chain.frames[0][0])
        }
      case .badCode:
        python.setChain(thread, loops)
        machine.write(codes[2].address + UInt64(python.layout.object_type), 0x1000 as UInt64)
      }
      return machine
    }

    @Test(arguments: [11, 12, 13] as [UInt32], Scene.allCases)
    func everyRead(minor: UInt32, scene: Scene) throws {
      let machine = try Self.make(scene, minor: minor)
      let clean = try machine.run()
      let cleanSample = try clean.sample
      let reads = machine.reads.count
      try #require(reads > 0)
      var statuses: Set<UInt32> = []
      for failing in 0..<reads {
        let machine = try Self.make(scene, minor: minor)
        let output = try machine.run(failingRead: failing)
        #expect(machine.reads.count > failing)
        let sample = try output.sample
        statuses.insert(sample.header.status)
        try check(sample, against: cleanSample, "\(scene) 3.\(minor) read \(failing)")
        let noted = "\(scene) 3.\(minor) read \(failing)"
        checkNames(output.names, against: clean.names, noted)
        if sample.status == cleanSample.status,
          !sample.entries.contains(where: {
            !$0.isLoopEnd && $0.note == 0 && $0.fingerprint == CodeFingerprint.none
          })
        {
          #expect(
            output.names.count + Int(sample.header.names_pending)
              == clean.names.count + Int(cleanSample.header.names_pending), "\(noted)")
        }
        machine.checkLaw()
        // The sample after it is as if nothing had been.
        let next = try machine.run()
        #expect(try next.sample.entries == cleanSample.entries, "\(noted)")
        #expect(try next.sample.status == cleanSample.status, "\(noted)")
        #expect(try next.sample.flags == cleanSample.flags, "\(noted)")
        #expect(try next.sample.header.thread_state == cleanSample.header.thread_state, "\(noted)")
        checkNames(next.names, against: nil, noted)
      }
      let known: Set<UInt32> = [cleanSample.header.status, PYTHON_CHAIN_READ_FAULT.rawValue]
      #expect(statuses.isSubset(of: known))
      // Some reads matter.
      if scene != .foreignKnown { #expect(statuses.contains(PYTHON_CHAIN_READ_FAULT.rawValue)) }
    }

    private func check(_ sample: ChainRecord, against clean: ChainRecord, _ noted: String) throws {
      let comment = Comment(rawValue: noted)
      #expect(sample.slot == clean.slot, comment)
      #expect(sample.header.tid == clean.header.tid && sample.header.layout == clean.header.layout, comment)
      // Facts beside the chain are there or not.
      #expect(sample.flags & ~clean.flags == 0, comment)
      if sample.header.interpreter == clean.header.interpreter {
        #expect([0, clean.header.generation].contains(sample.header.generation), comment)
      }
      if sample.status == clean.status {
        #expect(sample.entries.count == clean.entries.count, comment)
        #expect(sample.header.thread_state == clean.header.thread_state, comment)
        #expect(sample.header.interpreter == clean.header.interpreter, comment)
        #expect(sample.header.stack_end == clean.header.stack_end, comment)
      } else {
        #expect(sample.status == PYTHON_CHAIN_READ_FAULT, comment)
        #expect(sample.chain.damage == .pythonReadFault && sample.chain.remark == nil, comment)
        #expect(sample.entries.count <= clean.entries.count, comment)
      }
      // Each chain as far as it goes; a state that could not be read has none.
      let cleanChains = clean.chainsByState
      for (state, entries) in sample.chainsByState {
        let expected = cleanChains[state] ?? []
        #expect(entries.count <= expected.count, comment)
        for (entry, expected) in zip(entries, expected) { #expect(entry.isSame(asClean: expected), comment) }
      }
    }

    /// Each record is one of the clean ones, perhaps without its file name or its line table.
    private func checkNames(_ names: [NamesRecord], against clean: [NamesRecord]?, _ noted: String) {
      #expect(Set(names.map(\.key)).count == names.count, "\(noted)")
      guard let clean else { return }
      for record in names {
        guard let expected = clean.first(where: { $0.key == record.key }) else {
          // Another's turn came because one could not be read.
          #expect(names.count <= 4, "\(noted)")
          continue
        }
        var copy = record
        if copy.fileName.bytes.isEmpty { copy.fileName = expected.fileName }
        if copy.lineTable.isEmpty {
          copy.lineTable = expected.lineTable
          copy.lineTableLength = expected.lineTableLength
        }
        #expect(copy == expected, "\(noted)")
      }
    }
  }
}
