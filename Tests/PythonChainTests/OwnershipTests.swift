// Whose frames they are: told by the stack that their boundaries lie on, whatever a thread state says of itself.

import HostPythonChain
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Ownership {
    /// The fake interpreter's boundaries lie in 0x40000 bytes below the stack's end.
    private func machine(used: UInt64 = 0x40000) -> Machine {
      let machine = Machine()
      machine.thread.sp = Machine.stackEnd - used
      return machine
    }

    /// fork() in C, PyThreadState_New for a pool, a state that is handed on: the state names another thread.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func stateThatNamesAnotherThread(minor: UInt32) throws {
      let machine = machine()
      let python = try FakeInterpreter(machine, minor: minor)
      for number in 1...20 { _ = python.addThread(Machine.tgid + 100 + UInt32(number)) }
      let lent = python.addThread(Machine.tgid + 5)
      let chain = python.setChain(lent, [[MadeFrame(code: python.code())], [MadeFrame(code: python.code())]])
      for _ in 0..<2 {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_WHOLE && sample.entries == chain.entries)
        #expect(sample.flags == PYTHON_CHAIN_LENT_STATE.rawValue)
        #expect(sample.header.thread_state == lent)
        #expect(sample.chain.groups.map(\.isLent) == [true, true])
      }
      #expect(machine.counters().thread_walks == 1)
      // Its frames lie on another thread's stack: further in than this one's, or further out.
      for sp in [Machine.stackEnd - 0x100, Machine.stackEnd - 0x2000] {
        let machine = Machine()
        machine.thread.sp = sp
        let python = try FakeInterpreter(machine, minor: minor)
        python.setChain(python.addThread(Machine.tgid + 5), [[MadeFrame(code: python.code())]])
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_NO_THREAD && sample.entries.isEmpty)
      }
    }

    /// A thread that had no state of its own gets one lent, and the list of states does not change: the lock on the
    /// interpreter tells.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func stateThatIsHandedOver(minor: UInt32) throws {
      let machine = machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let other = python.addThread(Machine.tgid + 5)
      #expect(try machine.run().sample.status == PYTHON_CHAIN_NO_THREAD)
      let chain = python.setChain(other, [[MadeFrame(code: python.code())]])
      python.takeGIL(other)
      #expect(try machine.run().sample.entries == chain.entries)
    }

    /// A second state on the same stack, made for a call into Python while the first one's frames wait.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func stateInsideOfAnother(minor: UInt32) throws {
      let machine = machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let lent = python.addThread(Machine.tgid + 5)
      let own = python.addThread(Machine.tgid)
      let code = python.code()
      let outer = python.setChain(own, [[MadeFrame(code: code)]])
      #expect(try machine.run().sample.entries == outer.entries)
      let more = python.setChain(lent, [[MadeFrame(code: code), MadeFrame(code: code)]])
      python.takeGIL(lent)
      let sample = try machine.run().sample
      #expect(sample.chain.groups.map(\.boundary).sorted() == sample.chain.groups.map(\.boundary))
      #expect(Set(sample.chain.groups.map(\.isLent)) == [true, false])
      #expect(sample.chain.frames.count == 3 && sample.status == PYTHON_CHAIN_WHOLE)
      #expect(Set(sample.entries.map(\.address)).isSuperset(of: Set(more.entries.map(\.address))))
    }

    /// Main, the interpreter it calls into, and back: the groups are in the order of the native stack.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func statesOfTwoInterpreters(minor: UInt32) throws {
      let machine = machine()
      let python = try FakeInterpreter(machine, minor: minor)
      python.addInterpreter()
      let states = [0, 1].map { python.addThread(Machine.tgid, interpreter: $0) }
      let codes = (0..<2).map { python.code("f\($0)") }
      let sub = python.setChain(states[1], [[MadeFrame(code: codes[1])]])
      // Made later, so they lie further out; the boundary between them is moved inside of the other state's.
      let main = python.setChain(states[0], [[MadeFrame(code: codes[0])], [MadeFrame(code: codes[0])]])
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_WHOLE)
      let ends = [(main, 0), (sub, 1)].flatMap { chain, interpreter in
        chain.entries.filter(\.isLoopEnd).map { ($0.address, python.interpreters[interpreter]) }
      }.sorted { $0.0 < $1.0 }
      #expect(sample.chain.groups.map(\.boundary) == ends.map(\.0))
      #expect(sample.chain.groups.map(\.interpreter) == ends.map(\.1))
      #expect(sample.entries.filter { $0.note == PYTHON_CHAIN_STATE.rawValue }.count == 1)
      // Names are told apart by the interpreter that the code object belongs to.
      let first = try machine.run()
      #expect(first.names.isEmpty)
    }

    /// The state of an interpreter that was made after the thread's first sample.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func interpreterThatIsNew(minor: UInt32) throws {
      let machine = machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let main = python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: python.code())]])
      #expect(try machine.run().sample.entries == main.entries)
      python.addInterpreter()
      let sub = python.addThread(Machine.tgid, interpreter: 1)
      let more = python.setChain(sub, [[MadeFrame(code: python.code())]])
      let sample = try machine.run().sample
      #expect(sample.chain.groups.count == 2)
      #expect(
        Set(sample.entries.map(\.address)).isSuperset(of: Set((main.entries + more.entries).map(\.address))))
      // A state that joins an older one of two interpreters is seen at once, too.
      let third = python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: python.code())]])
      let last = try machine.run().sample
      #expect(last.chain.groups.count == 3)
      #expect(Set(last.entries.map(\.address)).isSuperset(of: Set(third.entries.map(\.address))))
    }

    /// More states than a record takes: those on this thread's stack come first.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func manyStatesThatNameThisThread(minor: UInt32) throws {
      let machine = machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let code = python.code()
      // In use on other threads' stacks.
      var last: UInt64 = 0
      for _ in 0..<8 {
        let chain = python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: code)]])
        last = chain.entries.last?.address ?? 0
      }
      for _ in 0..<20 { _ = python.addThread(Machine.tgid) }
      machine.thread.sp = last + 8
      let mine = python.addThread(Machine.tgid + 9)
      let chain = python.setChain(mine, [[MadeFrame(code: code)]])
      for _ in 0..<2 {
        let sample = try machine.run().sample
        #expect(sample.header.thread_state == mine)
        #expect(sample.flags & PYTHON_CHAIN_LENT_STATE.rawValue != 0)
        #expect(sample.chainsByState[mine] == chain.entries)
        #expect(sample.chainsByState.count == Int(PYTHON_CHAIN_STATES))
      }
    }
  }

  @Suite struct StackPages {
    private func machine(_ used: UInt64) -> Machine {
      let machine = Machine()
      machine.thread.sp = Machine.stackEnd - used
      return machine
    }

    /// The kernel's copy ends at a page that was never touched; what lies behind it comes in pages of our own.
    @Test(arguments: [true, false]) func holes(isKnown: Bool) throws {
      let machine = machine(0x9000)
      if isKnown {
        let python = try FakeInterpreter(machine, minor: 13)
        python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: python.code())]])
      }
      let end = Machine.stackEnd
      // What is known of the pages near the end says nothing about those that a deeper stack reaches.
      machine.thread.sp = end - 0x1800
      #expect(try machine.run().sample.pages.isEmpty)
      #expect(try machine.run().sample.slot == 1)
      machine.thread.sp = end - 0x9000
      for page in [end - 0x6000, end - 0x5000, end - 0x3000] {
        machine.holes.insert(page)
        machine.remove(page, count: 4096)
      }
      for (index, page) in [end - 0x4000, end - 0x2000, end - 0x1000].enumerated() {
        machine.write(page + 8, UInt64(index + 77))
      }
      let sample = try machine.run().sample
      #expect(sample.flags == PYTHON_CHAIN_HAS_PAGES.rawValue)
      #expect(sample.pages.map(\.address) == [end - 0x4000, end - 0x2000, end - 0x1000])
      #expect(sample.pages.map { $0.bytes[8] } == [77, 78, 79])
      // What the kernel can copy are the three pages before the first hole.
      #expect(sample.slot == 1)
      #expect(sample.entries.count == (isKnown ? 2 : 0))
      // Without room for it the pages are left out, too.
      host_fail_slot(1, -28)
      let reduced = try machine.run().sample
      #expect(
        reduced.slot == 0 && reduced.flags == PYTHON_CHAIN_STACK_REDUCED.rawValue && reduced.pages.isEmpty)
      host_fail_slot(1, 0)
    }

    /// Pages that were there are not looked at with each sample; but one that was written out is found again, and of
    /// another thread nothing is known.
    @Test func pagesThatAreTakenAway() throws {
      let machine = machine(0x9000)
      let hole = Machine.stackEnd - 0x3000
      let sample = try machine.run().sample
      #expect(sample.pages.isEmpty && sample.slot == 3)
      machine.holes.insert(hole)
      machine.remove(hole, count: 4096)
      var samples = 1
      while try machine.run().sample.pages.isEmpty, samples < 1000 { samples += 1 }
      #expect(samples == 257)
      #expect(try !machine.run().sample.pages.isEmpty)
      // A hole is never taken for known.
      #expect(try !machine.run().sample.pages.isEmpty)
      machine.write(hole, UInt64(0))
      machine.holes.remove(hole)
      #expect(try machine.run().sample.pages.isEmpty)
      machine.holes.insert(hole)
      machine.remove(hole, count: 4096)
      machine.thread.fsbase = Machine.stackEnd
      machine.thread.pid += 1
      #expect(try !machine.run().sample.pages.isEmpty)
    }

    /// A stack deeper than any copy: the pages around the first boundary out of reach, and behind it.
    @Test(arguments: [11, 12, 13] as [UInt32]) func deepStack(minor: UInt32) throws {
      let machine = machine(0x60000)
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let chain = python.setChain(
        thread, [[MadeFrame(code: python.code())], [MadeFrame(code: python.code())]])
      let first = try #require(chain.entries.filter(\.isLoopEnd).map(\.address).min())
      let page = first & ~4095
      for number in 0..<3 { machine.write(page + UInt64(number * 4096) + 16, UInt8(number + 5)) }
      let sample = try machine.run().sample
      #expect(sample.slot == 3)
      // The page before it was never touched.
      #expect(sample.pages.map(\.address) == [page, page + 4096, page + 8192])
      #expect(sample.pages.map { $0.bytes[16] } == [5, 6, 7])
      // Within reach of the copy nothing is added.
      machine.thread.sp = first - 0x1000
      #expect(try machine.run().sample.pages.isEmpty)
    }

    /// Whether the stack pointer lies on the thread's own stack, which is as large as its limit of 8 MiB; the main
    /// thread's may grow into the gap below it.
    @Test(arguments: [
      (true, 0x1000, false), (true, 60 << 20, false), (true, 80 << 20, true), (true, 1 << 40, true),
      (true, -0x1000, true), (false, 0x1000, false), (false, 8 << 20, false), (false, 9 << 20, true),
      (false, -0x1000, true),
    ])
    func ownStack(isMain: Bool, used: Int64, isOther: Bool) throws {
      let machine = Machine()
      machine.thread.pid = Machine.tgid + (isMain ? 0 : 1)
      machine.thread.fsbase = Machine.stackEnd
      machine.thread.sp = Machine.stackEnd &- UInt64(bitPattern: used)
      #expect(try machine.run().sample.chain.isOnOtherStack == isOther)
    }

    /// A full record leaves no room for pages.
    @Test func fullRecord() throws {
      let machine = machine(0x9000)
      let python = try FakeInterpreter(machine, minor: 13)
      let code = python.code()
      python.setChain(python.addThread(Machine.tgid), [(0..<1000).map { _ in MadeFrame(code: code) }])
      for page in 4...7 { machine.holes.insert(Machine.stackEnd - UInt64(page * 4096)) }
      let sample = try machine.run().sample
      #expect(sample.entries.count == 1001)
      let size = Int(sample.header.size)
      #expect(size <= 65528 - 6144 && sample.pages.count == 3)
    }
  }
}
