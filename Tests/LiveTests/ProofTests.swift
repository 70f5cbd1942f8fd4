// Both ways of sampling in the very same interrupts: what is proven from outside against what the interrupt itself saw.

import Foundation
import ProofOracle
import Testing

extension Live {
  @Suite struct ProofTests {
    static let kinds = ["callers", "generators", "recursion", "chunks", "calls", "sleeper", "threads"]

    /// A program that breaks proofs which only look at addresses, at work.
    private final class Adversary {
      let child: Child

      init(_ interpreter: Interpreter, _ kind: String, behind command: [String] = []) throws {
        child = try Child(command + [interpreter.path, Program.path("adversary.py"), kind])
        _ = try child.line()
      }

      deinit { child.closeInput() }

      func compared(_ change: (inout OracleOptions) -> Void = { _ in }) throws -> OracleReport {
        var options = OracleOptions()
        options.period = 500_000
        options.samples = 1000
        options.seconds = 20
        change(&options)
        return try compareWithProgram(child.pid, options)
      }
    }

    /// Entry by entry the same, and the programs do change between two interrupts.
    @Test(arguments: Interpreter.perRelease, kinds)
    func whatIsProvenIsWhatTheInterruptSaw(_ interpreter: Interpreter, _ kind: String) throws {
      let report = try Adversary(interpreter, kind).compared { if kind == "sleeper" { $0.seconds = 5 } }
      #expect(report.wrong == 0, "\(interpreter), \(kind): \(report)")
      #expect(report.proven > 100 && report.changed > 50, "\(interpreter), \(kind): \(report)")
      print("proof, \(interpreter), \(kind): \(report)")
    }

    /// A program that is sent from CPU to CPU.
    @Test(arguments: Interpreter.perRelease) func aThreadThatMigrates(_ interpreter: Interpreter) throws {
      let adversary = try Adversary(interpreter, "generators")
      let mover = try Child(
        [
          "/bin/sh", "-c",
          """
          while taskset -a -p -c 0 \(adversary.child.pid) && taskset -a -p -c \(Self.lastCPU) \(adversary.child.pid)
          do :; done >/dev/null 2>&1
          """,
        ])
      let report = try adversary.compared()
      mover.signal(SIGKILL)
      #expect(report.wrong == 0, "\(interpreter): \(report)")
      #expect(report.proven > 100 && report.changed > 50, "\(interpreter): \(report)")
      print("proof, \(interpreter), migrating: \(report)")
    }

    private static let lastCPU = max(0, ProcessInfo.processInfo.processorCount - 1)

    /// A target that everything else gives way to, but for a real-time thread.
    @Test func aTargetOfHighPriority() throws {
      let report = try Adversary(.any, "callers", behind: ["nice", "-n", "-20"]).compared()
      #expect(report.wrong == 0 && report.proven > 100, "\(report)")
      print("proof, nice -20: \(report)")
    }

    /// A real-time target does not give way to a reader of the lowest priority, which reads elsewhere then: nothing
    /// false is proven, and few samples are lost.
    @Test func aRealTimeTarget() throws {
      let report = try Adversary(.any, "callers", behind: ["chrt", "--fifo", "10"]).compared {
        $0.seconds = 3
        $0.samples = 5000
      }
      #expect(report.wrong == 0 && report.paired > 1000, "\(report)")
      print("proof, real-time target: \(report)")
    }

    /// A real-time thread that keeps a CPU on which nothing is sampled: its reader has nothing to read, and must end all
    /// the same.
    @Test func aCPUThatIsTaken() throws {
      let adversary = try Adversary(.any, "callers", behind: ["taskset", "-c", "0"])
      let hog = try Child(
        [
          "taskset", "-c", "\(Self.lastCPU)", "chrt", "--fifo", "10", Interpreter.any.path, "-c",
          "while True: pass",
        ])
      let started = Date.now
      let report = try adversary.compared { $0.seconds = 2 }
      hog.signal(SIGKILL)
      #expect(report.wrong == 0 && report.paired > 100, "\(report)")
      print("proof, a taken CPU: ended after \(Date.now.timeIntervalSince(started)) s: \(report)")
    }

    /// Readers of the normal class prove less, and nothing false.
    @Test(arguments: Interpreter.perRelease) func readersOfTheNormalClass(_ interpreter: Interpreter) throws {
      let report = try Adversary(interpreter, "callers").compared { $0.realtime = false }
      #expect(report.wrong == 0, "\(interpreter): \(report)")
      #expect(report.proven > 100 && report.scheduling != "realtime", "\(interpreter): \(report)")
      print("proof, \(interpreter), normal class: \(report)")
    }

    /// At 10 kHz a thread that ran on comes, once in some ten thousand times, to its switch with the registers of the
    /// interrupt: then only its stack tells.
    @Test func theSameRegistersOnAnotherStack() throws {
      let report = try Adversary(.any, "callers").compared {
        $0.realtime = false
        $0.period = 100_000
        $0.samples = 30_000
      }
      #expect(report.wrong == 0 && report.proven > 10_000, "\(report)")
      print("proof, normal class, 10 kHz: \(report)")
    }

    /// What a stack copy alone says about a thread that was not proven to stand still.
    @Test(arguments: Interpreter.perRelease, ["callers", "generators"])
    func functionsThatTheCopyProves(_ interpreter: Interpreter, _ kind: String) throws {
      let adversary = try Adversary(interpreter, kind)
      var options = OracleOptions()
      options.period = 250_000
      options.samples = 3000
      let report = try comparePins(adversary.child.pid, options)
      #expect(report.wrong == 0 && report.otherInstruction == 0, "\(interpreter), \(kind): \(report)")
      #expect(report.found > 500, "\(interpreter), \(kind): \(report)")
      print("pins, \(interpreter), \(kind): \(report)")
    }

    // MARK: The machine stays usable

    /// Every CPU busy, ten thousand samples a second: the readers stay below what the kernel lets real-time threads
    /// have.
    @Test func tenThousandPerSecondOnABusyMachine() throws {
      let busy = try (0...Self.lastCPU).map { _ in
        try Child([Interpreter.any.path, "-c", "while True: pass"])
      }
      let report = try Adversary(.any, "threads").compared {
        $0.period = 100_000
        $0.samples = 10_000
      }
      for child in busy { child.signal(SIGKILL) }
      // sched_rt_runtime_us of sched_rt_period_us; -1: no limit.
      let runtime = Double(Machine.setting("kernel.sched_rt_runtime_us")) ?? 950_000
      let period = Double(Machine.setting("kernel.sched_rt_period_us")) ?? 1_000_000
      let limit = runtime < 0 ? 100 : runtime / period * 100
      #expect(report.wrong == 0 && report.paired > 1000, "\(report)")
      #expect(Double(report.largestShare) <= limit, "\(report)")
      print("busy machine, 10 kHz: \(report)")
    }

    /// A reader that takes more than it may leaves the real-time class, and sampling goes on.
    @Test func theWatchdog() throws {
      let report = try Adversary(.any, "callers").compared {
        $0.period = 100_000
        $0.samples = 5000
        $0.realtimeLimit = 0
      }
      #expect(report.watchdog >= 1 && report.scheduling != "realtime", "\(report)")
      #expect(report.wrong == 0 && report.paired >= 4000, "\(report)")
    }
  }
}
