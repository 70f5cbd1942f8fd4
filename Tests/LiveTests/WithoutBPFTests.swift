// Sampling without an eBPF program: programs that know their own paths, from start and from a running process.

import Foundation
import Testing

extension Live {
  @Suite struct WithoutBPFTests {
    private static let unverified =
      "Python frames unverified: the thread may have run on before they were read"

    /// One thread: the same demands as with the program, but for the few samples that cannot be proven.
    @Test(arguments: Interpreter.perRelease, ["accuracy_calls.py", "accuracy_python.py"])
    func provenStacksAreTrue(_ interpreter: Interpreter, _ script: String) throws {
      let run = try Profiled(script, ["2"], with: interpreter, ["--no-bpf"], as: Truth.self)
      let context: Comment = "\(interpreter), \(script):\n\(run.errorText)"
      #expect(
        run.errorText.contains("Sampling without eBPF (--no-bpf): readers of the real-time class"), context)
      let found = Comparison(run, top: "main")
      #expect(found.illegal == [], context)
      let expected = run.pace.samples(of: Double(run.report.mainCPU))
      #expect(expected.contains(Double(found.samples + found.marked)), "\(expected); \(context)")
      #expect(run.pace.contradictions(threads: 2) == [], context)
      #expect(Double(found.onPath) >= 0.9995 * Double(found.withPath), context)
      #expect(found.wrongShares(run.report) == [], context)
      #expect(Bounds.isAtMost(0.01, run.ledger.count(Self.unverified), of: run.ledger.targetRuns), context)
      #expect(run.ledger.addsUp && run.ledger.dropped == 0, context)
      Self.expectFewLost(run.ledger)
    }

    /// Threads with and without the GIL: what is proven is true, and the rest is marked; the shares are printed.
    @Test(arguments: Interpreter.perRelease) func threads(_ interpreter: Interpreter) throws {
      let run = try Profiled("accuracy_threads.py", ["0.6"], with: interpreter, ["--no-bpf"], as: Truth.self)
      let context: Comment = "\(interpreter):\n\(run.errorText)"
      let found = Comparison(run, top: "thread")
      #expect(found.illegal == [], context)
      let expected = run.pace.interrupts(of: Double(run.report.mainCPU), stretches: 4)
      #expect(expected.contains(Double(found.samples + found.marked)), "\(expected); \(context)")
      #expect(run.pace.contradictions(threads: 5) == [], context)
      #expect(run.ledger.addsUp, context)
      Self.expectFewLost(run.ledger)
      let unverified = run.ledger.count(Self.unverified)
      // Measured: 1 to 5 of 2,400. On a machine whose CPUs are all wanted by others it is some percent.
      #expect(Bounds.isAtMost(0.1, unverified, of: run.ledger.targetRuns), context)
    }

    /// Where other programs want the CPUs, too, readers come late now and then, and the rings overrun for that moment. What is
    /// lost is counted.
    private static func expectFewLost(_ ledger: LedgerReport) {
      #expect(Bounds.isAtMost(0.02, ledger.ringFull, of: ledger.targetRuns), "\(ledger.text)")
    }

    /// Readers that have to wait for their CPU: what they cannot prove is marked, and of such a stack at least nothing
    /// is wrong.
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can drop capabilities"))
    func withoutTheRealTimeClass() throws {
      let folder = try Folder()
      let program = try Program("accuracy_calls.py", ["2"], with: .any)
      let child = try Child(
        ["setpriv", "--bounding-set", "-sys_nice", Caduceus.path, "attach", "--no-bpf", "--ledger"]
          + ["--collapsed", "-o", folder.file("out"), "\(program.pid)"])
      _ = try child.errorLines(2)
      program.go()
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      #expect(
        finished.errorText.contains(
          "readers of the normal class with a short slice, because the real-time class is refused"),
        "\(finished.description)")
      let truth = try program.result(Truth.self)
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp && ledger.dropped == 0, "\(finished.description)")
      let marked = try CollapsedFile(path: folder.file("out")).lines.filter {
        $0.text.contains("[unverified]")
      }
      let markedSamples = marked.reduce(0) { $0 + $1.count }
      #expect(markedSamples == ledger.count(Self.unverified), "\(finished.description)")
      // The program's functions in an unverified stack call each other in that order, with others between.
      let edges = truth.legalEdges
      let known = Set(edges.joined())
      for line in marked {
        var reachable: Set<String>?
        for name in line.frames.compactMap({ $0.pythonName(in: "accuracy_calls.py") })
        where known.contains(name) {
          #expect(reachable?.contains(name) ?? true, "\(line.text)")
          reachable = Self.reachable(from: name, edges)
        }
      }
      print("without the real-time class: \(markedSamples) of \(ledger.targetRuns) unverified")
    }

    /// All functions that a function calls, and that those call.
    private static func reachable(from name: String, _ edges: Set<[String]>) -> Set<String> {
      var found: Set<String> = []
      var waiting = [name]
      while let caller = waiting.popLast() {
        for edge in edges where edge[0] == caller && found.insert(edge[1]).inserted {
          waiting.append(edge[1])
        }
      }
      return found
    }

    /// Only what is proven.
    @Test func strict() throws {
      let run = try Profiled(
        "accuracy_threads.py", ["0.5"], with: .any, ["--no-bpf", "--strict"], as: Truth.self)
      #expect(run.stacks.lines.allSatisfy { !$0.text.contains("[unverified]") })
      let dropped = run.ledger.count("unverified Python frames (--strict)")
      #expect(dropped == run.ledger.dropped && run.ledger.addsUp, "\(run.errorText)")
      // What is proven is still there, and what is not was dropped for being so.
      #expect(run.ledger.count(Self.unverified) == 0, "\(run.errorText)")
      #expect(run.stacks.total == run.ledger.kept && run.ledger.kept > 500, "\(run.errorText)")
    }

    /// `run` from the first instruction: threads that are born later are sampled, too.
    @Test func aProgramThatIsStarted() throws {
      let folder = try Folder()
      let command = try Program.command("result.py", ["8"], with: .any)
      let finished = try Caduceus.run(
        ["run", "--no-bpf", "--ledger", "--collapsed", "-o", folder.file("out"), "--"] + command,
        input: Data("go\n".utf8))
      #expect(finished.status == 0, "\(finished.description)")
      #expect(try LedgerReport(finished.errorText).addsUp, "\(finished.description)")
      let stacks = try CollapsedFile(path: folder.file("out"))
      #expect(stacks.count(with: "one_round") > 100, "\(finished.description)")
    }

    /// The interpreter of the program that an exec starts is found, and its layout used for its own samples only.
    @Test func anExec() throws {
      let folder = try Folder()
      let inner =
        "import time; end = time.process_time() + 0.3\nwhile time.process_time() < end: sum(range(1000))"
      let outer =
        "import os, sys; sum(range(3000000)); os.execv(sys.argv[1], [sys.argv[1], '-c', sys.argv[2]])"
      for (first, second) in zip(Interpreter.perRelease, Interpreter.perRelease.reversed()) {
        let finished = try Caduceus.run(
          ["run", "--no-bpf", "--ledger", "--collapsed", "-o", folder.file("out"), "--"]
            + [first.path, "-c", outer, second.path, inner])
        #expect(finished.status == 0, "\(first), \(second): \(finished.description)")
        let ledger = try LedgerReport(finished.errorText)
        #expect(ledger.addsUp && ledger.count("Python frames: a code object could not be read") == 0)
        let stacks = try CollapsedFile(path: folder.file("out"))
        #expect(stacks.count(with: "<module>") > 100, "\(first), \(second): \(finished.description)")
      }
    }

    @Test func perCPUIsRefused() throws {
      let finished = try Caduceus.run(["attach", "--no-bpf", "--per-cpu", "1"])
      #expect(finished.status == 2)
      #expect(finished.errorText.contains("--no-bpf and --per-cpu exclude each other"))
    }
  }
}
