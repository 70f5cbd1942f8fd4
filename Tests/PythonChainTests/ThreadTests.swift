// Which thread state belongs to the interrupted thread.

import Accounting
import HostPythonChain
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Threads {
    @Test(arguments: [11, 12, 13] as [UInt32])
    func manyThreadsOfSeveralInterpreters(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      python.addInterpreter()
      python.addInterpreter()  // stays without threads
      python.addInterpreter()
      let code = python.code()
      var chains: [(tid: UInt32, interpreter: Int, chain: MadeChain)] = []
      for number in 0..<600 {
        let interpreter = [0, 1, 3][number % 3]
        let tid = Machine.tgid + UInt32(number)
        let thread = python.addThread(tid, interpreter: interpreter)
        chains.append((tid, interpreter, python.setChain(thread, [[MadeFrame(code: code)]])))
      }
      for round in 0..<2 {
        for made in chains {
          machine.thread.pid = made.tid
          let sample = try machine.run().sample
          #expect(sample.status == PYTHON_CHAIN_WHOLE)
          #expect(sample.entries == made.chain.entries)
          #expect(sample.header.tid == made.tid)
          #expect(sample.header.interpreter == python.interpreters[made.interpreter])
        }
        // The lists are searched at a thread's first sample only.
        #expect(machine.counters().thread_walks == 600, "round \(round)")
      }
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func threadWithoutPython(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let code = python.code()
      python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: code)]])
      machine.thread.pid = Machine.tgid + 1
      for _ in 0..<10 {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_NO_THREAD)
        #expect(sample.header.thread_state == 0 && sample.entries.isEmpty)
        #expect(sample.chain.damage == nil && sample.chain.remark == .nonPythonThread)
      }
      #expect(machine.counters().thread_walks == 1)
      // A new thread state: the search is repeated at once.
      let other = python.addThread(Machine.tgid + 2)
      #expect(try machine.run().sample.status == PYTHON_CHAIN_NO_THREAD)
      #expect(machine.counters().thread_walks == 2)
      let mine = python.addThread(Machine.tgid + 1)
      let chain = python.setChain(mine, [[MadeFrame(code: code)]])
      #expect(try machine.run().sample.entries == chain.entries)
      #expect(machine.counters().thread_walks == 3)
      #expect(other != mine)
    }

    /// A thread state that joins an interpreter other than the newest is seen at once, too.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func threadOfAnOlderInterpreter(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      python.addInterpreter()
      _ = python.addThread(Machine.tgid + 9, interpreter: 1)
      #expect(try machine.run().sample.status == PYTHON_CHAIN_NO_THREAD)
      let chain = python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: python.code())]])
      #expect(try machine.run().sample.entries == chain.entries)
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func cachedStateBelongsToAnother(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let code = python.code()
      let old = python.addThread(Machine.tgid)
      python.setChain(old, [[MadeFrame(code: code)]])
      #expect(try machine.run().sample.header.thread_state == old)
      // The thread state went to another thread; ours has a new one.
      machine.write(old + UInt64(python.layout.thread_native_id), UInt64(Machine.tgid + 5))
      let new = python.addThread(Machine.tgid)
      let chain = python.setChain(new, [[MadeFrame(code: code), MadeFrame(code: code)]])
      #expect(try machine.run().sample.header.thread_state == new)
      #expect(try machine.run().sample.entries == chain.entries)
      // It is gone, page and all.
      let page = python.allocate(4096, alignment: 4096)
      let gone = machine.bytes(new, count: 512) ?? []
      machine.write(page, gone)
      if minor < 13 {
        machine.write(
          page + UInt64(python.layout.thread_frame), page + UInt64(python.layout.thread_root_cframe))
      }
      let head = python.interpreters[0] + UInt64(python.layout.interpreter_threads_head)
      machine.write(head, page)
      machine.write(new + UInt64(python.layout.thread_native_id), 1 as UInt64)
      _ = try machine.run()
      machine.write(head, old)
      machine.remove(page)
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_NO_THREAD)
      #expect(sample.header.thread_state == 0)
    }

    /// One thread may have a state in each interpreter; the one that runs something counts.
    @Test(arguments: [11, 12, 13] as [UInt32], [0, 1])
    func twoStatesOfOneThread(minor: UInt32, running: Int) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      python.addInterpreter()
      let states = [0, 1].map { python.addThread(Machine.tgid, interpreter: $0) }
      let code = python.code()
      let chain = python.setChain(states[running], [[MadeFrame(code: code)]])
      for _ in 0..<2 {
        let sample = try machine.run().sample
        #expect(sample.header.thread_state == states[running])
        #expect(sample.entries == chain.entries)
      }
      // It returns; the other one runs.
      python.setInnermost(
        states[running], frame: 0, cFrame: states[running] + UInt64(python.layout.thread_root_cframe))
      let other = python.setChain(states[1 - running], [[MadeFrame(code: code), MadeFrame(code: code)]])
      let sample = try machine.run().sample
      #expect(sample.header.interpreter == python.interpreters[1 - running])
      #expect(sample.entries == other.entries)
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func threadThatRunsNothing(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      for _ in 0..<3 {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_NO_FRAMES)
        #expect(sample.header.thread_state == thread)
        #expect(sample.chain.remark == .nonPythonThread)
      }
      let chain = python.setChain(thread, [[MadeFrame(code: python.code())]])
      #expect(try machine.run().sample.entries == chain.entries)
    }

    /// Its state left the list, but is still remembered.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func threadThatEnds(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      python.setChain(thread, [[MadeFrame(code: python.code())]])
      _ = try machine.run()
      python.setInnermost(thread, frame: 0, cFrame: thread + UInt64(python.layout.thread_root_cframe))
      machine.write(python.interpreters[0] + UInt64(python.layout.interpreter_threads_head), 0 as UInt64)
      let sample = try machine.run().sample
      #expect(sample.status == PYTHON_CHAIN_NO_THREAD)
      #expect(sample.header.thread_state == 0)
    }

    /// 4,096 steps are made: one per interpreter and one per thread state; in 3.13 one more per frame of ours up to the
    /// first boundary.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func tooManyThreads(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let chain = python.setChain(python.addThread(Machine.tgid), [[MadeFrame(code: python.code())]])
      for number in 1...(minor == 13 ? 4092 : 4094) { _ = python.addThread(Machine.tgid + UInt32(number)) }
      #expect(try machine.run().sample.entries == chain.entries)
      // Known threads need no search.
      for number in 0..<3 { _ = python.addThread(Machine.tgid + 5000 + UInt32(number)) }
      #expect(try machine.run().sample.entries == chain.entries)
      machine.thread.pid = Machine.tgid + 6000
      for _ in 0..<3 {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_THREAD_LIMIT)
        #expect(sample.chain.damage == .threadListLimit)
      }
      #expect(machine.counters().thread_walks == 2)
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func cycleOfThreads(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid + 1)
      machine.write(thread + UInt64(python.layout.thread_next), thread)
      #expect(try machine.run().sample.status == PYTHON_CHAIN_THREAD_LIMIT)
    }

    /// What another program image left behind is not used.
    @Test func cacheOfAnotherLayout() throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: 13)
      let old = python.addThread(Machine.tgid)
      let code = python.code()
      python.setChain(old, [[MadeFrame(code: code)]])
      _ = try machine.run()
      let new = python.addThread(Machine.tgid)
      let chain = python.setChain(new, [[MadeFrame(code: code)]])
      machine.use(python.layout, slot: 2)
      #expect(try machine.run().sample.chainsByState[new] == chain.entries)
    }

    /// A page of the lists that is not there: not "no Python thread", and looked for again.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func listThatCannotBeRead(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let mine = python.addThread(Machine.tgid)
      let chain = python.setChain(mine, [[MadeFrame(code: python.code())]])
      let page = python.allocate(4096, alignment: 4096)
      let head = python.interpreters[0] + UInt64(python.layout.interpreter_threads_head)
      machine.write(page, machine.bytes(mine, count: 512) ?? [])
      machine.write(page + UInt64(python.layout.thread_native_id), 1 as UInt64)
      machine.write(page + UInt64(python.layout.thread_next), mine)
      machine.write(head, page)
      let saved = machine.bytes(page, count: 512) ?? []
      machine.remove(page)
      for _ in 0..<2 {
        let sample = try machine.run().sample
        #expect(sample.status == PYTHON_CHAIN_READ_FAULT)
        #expect(sample.chain.damage == .pythonReadFault)
      }
      machine.write(page, saved)
      #expect(try machine.run().sample.entries == chain.entries)
    }

    @Test(arguments: [11, 12, 13] as [UInt32])
    func flags(minor: UInt32) throws {
      let machine = Machine()
      let python = try FakeInterpreter(machine, minor: minor)
      let thread = python.addThread(Machine.tgid)
      let other = python.addThread(Machine.tgid + 1)
      python.setChain(thread, [[MadeFrame(code: python.code())]])
      #expect(try machine.run().sample.flags == 0)
      python.takeGIL(other)
      #expect(try machine.run().sample.flags == 0)
      python.takeGIL(thread)
      #expect(try machine.run().sample.flags == PYTHON_CHAIN_HOLDS_GIL.rawValue)
      let collecting = python.interpreters[0] + UInt64(python.layout.interpreter_gc_collecting)
      machine.write(collecting, 1 as UInt32)
      #expect(
        try machine.run().sample.flags == PYTHON_CHAIN_HOLDS_GIL.rawValue | PYTHON_CHAIN_GC_RUNNING.rawValue)
      // 3.12's GIL remembers its last holder.
      if minor == 12 {
        let gil: UInt64 =
          machine.load(python.interpreters[0] + UInt64(python.layout.interpreter_ceval_gil)) ?? 0
        for locked in [0, -1] as [Int32] {
          machine.write(gil + UInt64(python.layout.gil_locked), locked)
          #expect(try machine.run().sample.flags == PYTHON_CHAIN_GC_RUNNING.rawValue)
        }
      }
    }
  }
}
