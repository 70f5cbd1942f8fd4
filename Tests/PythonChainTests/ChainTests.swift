// Chains as the interpreter builds them, and where they end.

import Accounting
import HostPythonChain
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Chains {
    @Test(arguments: [11, 12, 13] as [UInt32])
    func plain(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let chain = python.setChain(
        thread, [[MadeFrame(code: python.code("a")), MadeFrame(code: python.code("b"), position: 0)]])
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_WHOLE)
      #expect(sample.entries == chain.entries)
      #expect(sample.entries.count == 3)
      #expect(sample.header.thread_state == thread)
      #expect(sample.header.interpreter == python.interpreters[0])
      #expect(sample.header.stack_end == Machine.stackEnd && sample.chain.stackEnd == Machine.stackEnd)
      #expect(sample.header.generation == (minor == 11 ? 0 : 1000))
      #expect(sample.header.tid == Machine.tgid)
      #expect(sample.header.layout == 1)
      #expect(sample.chain.damage == nil && sample.chain.remark == nil)
      #expect(sample.chain.frames.map(\.offset) == [14, 0])
      #expect(sample.chain.groups.map(\.isClosed) == [true])
      machine.checkLaw()
    }

    /// C calls Python calls C: each evaluation loop is a group with its own boundary.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func severalLoops(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let codes = (0..<6).map { python.code("f\($0)") }
      let chain = python.setChain(
        thread,
        [
          [MadeFrame(code: codes[0])],
          [MadeFrame(code: codes[1], owner: 1), MadeFrame(code: codes[2]), MadeFrame(code: codes[3])],
          [MadeFrame(code: codes[4]), MadeFrame(code: codes[5], owner: 2)],
        ])
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_WHOLE)
      #expect(sample.entries == chain.entries)
      #expect(
        sample.entries.map(\.isLoopEnd) == [false, true, false, false, false, true, false, false, true])
      #expect(sample.chain.groups.map(\.frames) == [0..<1, 1..<4, 4..<6])
      #expect(sample.chain.groups.map(\.cFrame) == (minor == 13 ? [0, 0, 0] : chain.cFrames))
      #expect(sample.chain.groups.map(\.boundary) == (minor == 11 ? chain.cFrames : chain.boundaries))
      #expect(sample.chain.frames.map(\.owner) == [0, 1, 0, 0, 0, 2])
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func recursion(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let code = python.code("again")
      let chain = python.setChain(thread, [(0..<300).map { MadeFrame(code: code, position: UInt64($0 % 9)) }])
      let output = try machine.run()
      #expect(try output.sample.entries == chain.entries)
      #expect(try output.sample.status == PYTHON_CHAIN_WHOLE)
      // One code object: its names are handed over once.
      #expect(output.names.count == 1)
      #expect(try output.sample.header.names_pending == 0)
    }

    /// The record holds 1,024 entries, the ends of the loops among them.
    @Test(
      arguments: [11, 12, 13] as [UInt32],
      [
        (1, 1022), (1, 1023), (1, 1024), (1, 1025), (1, 1500), (512, 1), (513, 1), (2, 511), (2, 512),
        (600, 2), (3, 500), (200, 40), (1, 5000),
      ])
    func depth(minor: UInt32, shape: (loops: Int, frames: Int)) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let code = python.code("deep")
      let loop = (0..<shape.frames).map { _ in MadeFrame(code: code) }
      let chain = python.setChain(thread, Array(repeating: loop, count: shape.loops))
      let sample = try machine.run().sample
      guard chain.entries.count > 1024 else {
        #expect(sample.entries == chain.entries)
        #expect(sample.status == PYTHON_CHAIN_WHOLE && sample.chain.damage == nil)
        return
      }
      // Both ends are kept, and what is missing between them is counted.
      let skipped = chain.entries.dropFirst(960).dropLast(63)
      let ends = skipped.count { $0.isLoopEnd }
      let gap = Entry(
        address: 0, code: UInt64(skipped.count - ends), instruction: UInt64(ends),
        note: PYTHON_CHAIN_GAP.rawValue)
      #expect(sample.entries == chain.entries.prefix(960) + [gap] + chain.entries.suffix(63))
      #expect(sample.status == PYTHON_CHAIN_DEPTH_LIMIT && sample.chain.damage == .pythonDepthLimit)
      #expect(sample.chain.reachesRoot && !sample.chain.isCut)
      let open = sample.chain.groups.filter { !$0.isClosed }
      #expect(open.count <= 1 && (ends > 0 || open.isEmpty))
      #expect(sample.chain.groups.filter { $0.gap != nil }.map(\.gapHidesLoops) == [ends > 0])
    }

    /// A chain that never ends is cut like one that is too long.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func cycle(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let code = python.code()
      let chain = python.setChain(thread, [(0..<3).map { _ in MadeFrame(code: code) }])
      machine.write(chain.frames[0][1] + UInt64(python.layout.frame_previous), chain.frames[0][0])
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_DEPTH_LIMIT)
      #expect(sample.entries.count == 960 && sample.chain.isCut)
    }

    @Test func cycleOfBoundaries() throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: 13)
      let thread = python.addThread(Machine.tgid)
      let chain = python.setChain(thread, [[MadeFrame(code: python.code())]])
      machine.write(chain.boundaries[0] + UInt64(python.layout.frame_previous), chain.boundaries[0])
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_DEPTH_LIMIT)
      #expect(sample.entries.count == 960 && sample.chain.isCut)
    }

    /// Frames at each place around the end of a page, called from and calling frames on that page.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func pageEnds(minor: UInt32) throws {
      for offset in stride(from: 4096 - 96, through: 4096, by: 8) {
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: minor)
        let thread = python.addThread(Machine.tgid)
        let page = python.allocate(8 * 4096, alignment: 4096)
        // The first and third share a page with the second, which is read over the start of that page's copy; the
        // fourth's page has the same place in the cache.
        let addresses = [page + 1024, page + UInt64(offset), page + 8, page + 4 * 4096 + 512, page + 3072]
        let chain = python.setChain(
          thread,
          [addresses.enumerated().map { MadeFrame(code: python.code("f\($0)"), address: $1) }])
        #expect(try machine.run().sample.entries == chain.entries)
        #expect(try machine.run().sample.status == PYTHON_CHAIN_WHOLE)
        // Without the next page only a frame that needs it is lost, and those further out.
        machine.remove(page + 4096)
        let sample = try machine.run().sample
        if offset <= 4096 - 80 {
          #expect(sample.status == PYTHON_CHAIN_WHOLE)
          #expect(sample.entries == chain.entries)
        } else {
          #expect(sample.status == PYTHON_CHAIN_READ_FAULT)
          #expect(sample.entries == Array(chain.entries.prefix(1)))
          #expect(sample.chain.damage == .pythonReadFault)
        }
      }
    }

    /// 3.12 clears a generator's link to its caller before it stops being the current frame.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func unlinkedGenerator(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let codes = (0..<4).map { python.code("g\($0)") }
      let chain = python.setChain(
        thread,
        [
          [MadeFrame(code: codes[0], owner: 1), MadeFrame(code: codes[1])],
          [MadeFrame(code: codes[2]), MadeFrame(code: codes[3])],
        ])
      machine.write(chain.frames[0][0] + UInt64(python.layout.frame_previous), 0 as UInt64)
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_UNLINKED)
      #expect(sample.chain.damage == .pythonTransient)
      if minor == 13 {
        #expect(sample.entries == Array(chain.entries.prefix(1)))
        return
      }
      // Its own loop ends there, broken; the outer loops are whole.
      let broken = Entry(address: chain.cFrames[0], code: chain.cFrames[0], isLoopEnd: true, owner: 0xff)
      #expect(sample.entries == [chain.entries[0], broken] + chain.entries.suffix(3))
      #expect(sample.chain.groups.map(\.isBroken) == [true, false])
      #expect(sample.chain.groups.map(\.isClosed) == [true, true])
      #expect(sample.chain.frames.map(\.code) == [codes[0], codes[2], codes[3]].map(\.address))
    }

    @Test(arguments: [11, 12, 13] as [UInt32], [0, 1, 3])
    func noCodeObject(minor: UInt32, position: Int) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      var codes = (0..<4).map { python.code("f\($0)") }
      let other = python.allocate(256)
      machine.write(other + 8, FakeInterpreter.codeType + 0x1a0)
      codes[position].address = other
      let chain = python.setChain(
        thread, [codes.prefix(2), codes.suffix(2)].map { $0.map { MadeFrame(code: $0) } })
      let frames = chain.entries.prefix { $0.code != other }
      for _ in 0..<2 {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_BAD_CODE)
        #expect(sample.entries == Array(frames))
        #expect(sample.chain.damage == .pythonBadCode)
      }
    }

    /// Each loop's C frame names the frame that was current when it was entered.
    @Test(arguments: [11, 12] as [UInt32])
    func framesAgainstCFrames(minor: UInt32) throws {
      func made() throws -> (Machine, FakeInterpreter, UInt64, MadeChain) {
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: minor)
        let thread = python.addThread(Machine.tgid)
        let code = python.code()
        let loop = [MadeFrame(code: code), MadeFrame(code: code)]
        return (machine, python, thread, python.setChain(thread, [loop, loop, loop]))
      }
      func expectBoundary(_ machine: Machine, _ entries: [Entry]) throws {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_BOUNDARY)
        #expect(sample.entries == entries)
        #expect(sample.chain.damage == .joinMismatch)
      }
      // The outer C frame has another frame.
      var (machine, python, thread, chain) = try made()
      machine.write(chain.cFrames[1] + UInt64(python.layout.cframe_current_frame), chain.frames[1][1])
      try expectBoundary(machine, Array(chain.entries.prefix(3)))
      // The outer C frame is missing.
      (machine, python, thread, chain) = try made()
      machine.write(chain.cFrames[0] + UInt64(python.layout.cframe_previous), chain.cFrames[2])
      try expectBoundary(machine, Array(chain.entries.prefix(3)))
      // The C frames end too early, in the thread state and in nothing.
      for end in [thread + UInt64(python.layout.thread_root_cframe), 0] {
        (machine, python, thread, chain) = try made()
        machine.write(chain.cFrames[1] + UInt64(python.layout.cframe_previous), end)
        try expectBoundary(machine, Array(chain.entries.prefix(6)))
      }
      // The frames end too early.
      (machine, python, thread, chain) = try made()
      let last = minor == 11 ? chain.frames[1][1] : chain.boundaries[1]
      machine.write(last + UInt64(python.layout.frame_previous), 0 as UInt64)
      try expectBoundary(machine, Array(chain.entries.prefix(6)))
    }

    /// greenlet's own C frame, at the start of each of its stacks, has no frame: there the chain ends.
    @Test(arguments: [11, 12] as [UInt32])
    func cFrameOfAGreenlet(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let loop = [MadeFrame(code: python.code()), MadeFrame(code: python.code())]
      let chain = python.setChain(thread, [loop, loop, loop])
      let start = python.allocate(24)
      machine.write(chain.cFrames[1] + UInt64(python.layout.cframe_previous), start)
      let last = minor == 11 ? chain.frames[1][1] : chain.boundaries[1]
      machine.write(last + UInt64(python.layout.frame_previous), 0 as UInt64)
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_WHOLE && sample.chain.reachesRoot)
      #expect(sample.entries == Array(chain.entries.prefix(6)))
      // Before its first frame and after its last one it runs no Python.
      machine.write(thread + UInt64(python.layout.thread_frame), start)
      let empty = try machine.run().sample
      #expect(empty.status == PYTHON_CHAIN_NO_FRAMES && empty.entries.isEmpty)
      #expect(empty.chain.remark == .nonPythonThread)
    }

    /// The unlinked frame's loop cannot be checked; the next one is.
    @Test(arguments: [11, 12] as [UInt32])
    func contradictionBehindAnUnlinkedFrame(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let loop = [MadeFrame(code: python.code()), MadeFrame(code: python.code())]
      let chain = python.setChain(thread, [loop, loop, loop])
      machine.write(chain.frames[0][0] + UInt64(python.layout.frame_previous), 0 as UInt64)
      machine.write(chain.cFrames[2] + UInt64(python.layout.cframe_current_frame), chain.frames[2][1])
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_BOUNDARY)
      #expect(sample.entries.dropFirst(2) == chain.entries[3..<6])
    }

    @Test func layouts() throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: 13)
      let thread = python.addThread(Machine.tgid)
      let chain = python.setChain(thread, [[MadeFrame(code: python.code())]])
      // None is known yet, and a slot that does not exist.
      for slot in [0, UInt32(PYTHON_CHAIN_LAYOUT_SLOTS), .max] {
        host_set_target(slot)
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_NO_LAYOUT)
        #expect(sample.header.layout == slot)
        #expect(sample.entries.isEmpty && machine.reads.isEmpty)
        #expect(sample.chain.damage == .interpreterNotYetKnown)
      }
      for slot: UInt32 in [1, 2, 63] {
        machine.use(python.layout, slot: slot)
        let sample = try machine.run().sample
        #expect(sample.header.layout == slot)
        #expect(sample.entries == chain.entries)
      }
    }
  }
}
