// Which interrupts make a record, in which stack class, and what is counted.

import HostPythonChain
import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct Outputs {
    private static let full: Int64 = -28
    private static let noEntry: Int64 = -2

    private func machine() throws -> Machine {
      let machine = Machine()
      _ = try Names.run(machine, minor: 13) { [$0.code()] }
      // Names are out of the way after the first sample.
      _ = try machine.run()
      return machine
    }

    /// From the stack pointer to the stack's end, and a bit.
    @Test(arguments: [
      (0, 0), (1, 0), (3840, 0), (3841, 1), (16128, 1), (16129, 2), (32512, 2), (32513, 3), (65272, 3),
      (65273, 3),
      (1 << 40, 3), (-300, 3),
    ])
    func stackClass(used: Int64, expected: Int) throws {
      let machine = try machine()
      for isMain in [true, false] {
        for inKernel: UInt32 in [0, 1] {
          let end: UInt64 = isMain ? Machine.stackEnd : 0x7f55_0000_2000
          machine.thread.pid = Machine.tgid + (isMain ? 0 : 1)
          machine.thread.fsbase = isMain ? 0x7f11_0000_0000 : end
          machine.thread.start_stack = isMain ? end : Machine.stackEnd
          machine.thread.in_kernel = inKernel
          machine.thread.sp = end &- UInt64(bitPattern: used)
          let sample = try machine.run().sample
          #expect(sample.slot == expected, "main \(isMain) kernel \(inKernel)")
          #expect(sample.flags & PYTHON_CHAIN_STACK_REDUCED.rawValue == 0)
        }
      }
    }

    @Test func stackClassOfAnUnknownEnd() throws {
      let machine = try machine()
      machine.thread.start_stack = 0
      #expect(try machine.run().sample.slot == 3)
      machine.thread.pid += 1
      machine.thread.fsbase = 0
      #expect(try machine.run().sample.slot == 3)
    }

    @Test func fewerStackClasses() throws {
      let machine = try machine()
      for (sizes, used, expected): ((UInt32, UInt32, UInt32, UInt32), UInt64, Int) in [
        ((32768, 0, 0, 0), 100, 0), ((32768, 0, 0, 0), 60000, 0), ((4096, 65528, 0, 0), 100, 0),
        ((4096, 65528, 0, 0), 5000, 1), ((4096, 65528, 0, 0), 1 << 30, 1),
      ] {
        machine.config.stack_bytes = sizes
        machine.thread.sp = Machine.stackEnd - used
        #expect(try machine.run().sample.slot == expected)
      }
    }

    @Test func ringFull() throws {
      let machine = try machine()
      machine.thread.sp = Machine.stackEnd - 20000
      #expect(try machine.run().sample.slot == 2)
      // There is room for the smallest class.
      host_fail_slot(2, Self.full)
      let reduced = try machine.run().sample
      #expect(reduced.slot == 0)
      #expect(reduced.flags & PYTHON_CHAIN_STACK_REDUCED.rawValue != 0)
      #expect(reduced.status == PYTHON_CHAIN_WHOLE && reduced.entries.count == 2)
      var counters = machine.counters()
      #expect(counters.reduced == 1 && counters.ring_full_attempts == 1 && counters.ring_full == 0)
      #expect(counters.emitted == 3)
      // There is none.
      host_fail_slot(0, Self.full)
      #expect(try machine.run().samples.isEmpty)
      counters = machine.counters()
      #expect(counters.reduced == 1 && counters.ring_full_attempts == 3 && counters.ring_full == 1)
      // The smallest class is not tried twice.
      machine.thread.sp = Machine.stackEnd - 200
      #expect(try machine.run().samples.isEmpty)
      counters = machine.counters()
      #expect(counters.ring_full_attempts == 4 && counters.ring_full == 2 && counters.reduced == 1)
      // Room again: as if nothing had been.
      host_fail_slot(0, 0)
      host_fail_slot(2, 0)
      let whole = try machine.run().sample
      #expect(whole.flags == 0 && whole.slot == 0)
      machine.checkLaw()
      #expect(machine.counters().output_errors == 0)
    }

    @Test func otherErrors() throws {
      let machine = try machine()
      machine.thread.sp = Machine.stackEnd - 20000
      host_fail_slot(2, Self.noEntry)
      #expect(try machine.run().samples.isEmpty)
      var counters = machine.counters()
      #expect(counters.output_errors == 1 && counters.last_output_error == UInt64(bitPattern: Self.noEntry))
      #expect(counters.ring_full_attempts == 0)
      // Full at first, then broken.
      host_fail_slot(2, Self.full)
      host_fail_slot(0, Self.noEntry)
      #expect(try machine.run().samples.isEmpty)
      counters = machine.counters()
      #expect(counters.output_errors == 2 && counters.ring_full_attempts == 1 && counters.ring_full == 0)
      #expect(counters.reduced == 0)
      machine.checkLaw()
    }

    @Test func filter() throws {
      let machine = try machine()
      func isFiltered() throws -> Bool {
        let before = machine.counters()
        let isEmpty = try machine.run().order.isEmpty
        let after = machine.counters()
        #expect(after.filtered - before.filtered == (isEmpty ? 1 : 0))
        #expect(after.runs == before.runs + 1 && after.duplicates == 0)
        #expect(!isEmpty || machine.reads.isEmpty)
        return isEmpty
      }
      #expect(try !isFiltered())
      machine.thread.pid += 1
      #expect(try !isFiltered())
      machine.config.main_thread_only = 1
      #expect(try isFiltered())
      machine.thread.pid -= 1
      #expect(try !isFiltered())
      machine.thread.tgid += 1
      #expect(try isFiltered())
      machine.thread.tgid -= 1
      machine.thread.inode += 1
      #expect(try isFiltered())
      machine.thread.inode -= 1
      machine.thread.device += 1
      #expect(try isFiltered())
      machine.checkLaw()
    }

    /// Lists of a thread's events: ours (o) or others' (x), capitals: active; behind the colon which one fired.
    @Test(arguments: [
      ("O:0", false), ("OO:0", false), ("OO:1", true), ("oO:1", false), ("XO:1", false), ("XOXO:1", false),
      ("XOXO:3", true), ("xoxO:3", false), ("OXXXX:0", false), ("XXXXO:4", false), ("OOO:2", true),
      // The search ends after 64 events.
      ("O" + String(repeating: "X", count: 62) + "O:63", true),
      (String(repeating: "X", count: 63) + "OO:64", true),
      (String(repeating: "X", count: 64) + "OO:65", false),
    ])
    func duplicates(list: String, isDuplicate: Bool) throws {
      let machine = try machine()
      let parts = list.split(separator: ":")
      let fired = try #require(Int(parts[1]))
      machine.events(
        parts[0].enumerated().map { index, letter in
          (isOurs: letter.lowercased() == "o", isActive: letter.isUppercase, fired: index == fired)
        })
      machine.thread.pid = Machine.tgid + 3
      let output = try machine.run()
      #expect(output.samples.count == (isDuplicate ? 0 : 1))
      let counters = machine.counters()
      #expect(counters.duplicates == (isDuplicate ? 1 : 0) && counters.filtered == counters.duplicates)
      #expect(counters.duplicate_tid == (isDuplicate ? UInt64(Machine.tgid + 3) : 0))
      machine.checkLaw()
    }
  }
}
