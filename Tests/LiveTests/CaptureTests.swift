// Stacks that are deep, cut, or not made by plain calls, and processes that become others.

import Foundation
import Testing

extension Live {
  @Suite struct CaptureTests {
    private struct Deep: Decodable {
      let frames: [String]
      let callbacks: Set<String>
      let spun: Double
      enum CodingKeys: String, CodingKey {
        case frames
        case spun = "cpu_ns"
        case callbacks = "callbacks_after"
      }

      /// With the C function that calls back.
      var stack: [String] { frames.flatMap { callbacks.contains($0) ? [$0, "sit_hop"] : [$0] } }
    }

    @Test(arguments: Interpreter.supported)
    func everyFrameOfDeepCallbacks(_ interpreter: Interpreter) throws {
      let run = try Profiled("deep_callbacks.py", ["0.5"], with: interpreter, as: Deep.self)
      let expected = run.report.stack
      var good = 0
      var wrong: [Int] = []
      for line in run.stacks.lines where line.names.contains("sit_spin") {
        let shown = line.names.filter {
          $0.hasPrefix("rec_") || ["<module>", "main", "sit_hop"].contains($0)
        }
        if shown == expected { good += line.count } else { wrong.append(shown.count) }
      }
      #expect(wrong == [], "\(interpreter): frames shown instead of \(expected.count)")
      #expect(run.pace.samples(of: run.report.spun).contains(Double(good)), "\(run.ledger.text)")
    }

    @Test(arguments: Interpreter.perRelease) func aSmallCopyIsMarked(_ interpreter: Interpreter) throws {
      let run = try Profiled(
        "deep_callbacks.py", ["0.5"], with: interpreter, ["--stack-size", "4096"], as: Deep.self)
      let cut = run.stacks.count { $0.names.contains("[truncated native stack]") }
      // Damaged is each of them: the loss of stack is what is looked for.
      #expect(run.pace.interrupts(of: run.report.spun).lowerBound <= Double(cut), "\(run.errorText)")
      #expect(run.ledger.count("copy of the native stack too short") == cut, "\(run.ledger.text)")
      // The Python half is whole all the same.
      let names = Set(run.report.frames)
      for line in run.stacks.lines where line.names.contains("sit_spin") {
        #expect(Set(line.names).isSuperset(of: names))
      }
    }

    @Test(arguments: Interpreter.supported) func otherWaysThanCalls(_ interpreter: Interpreter) throws {
      let run = try Profiled("legal_stacks.py", ["0.8"], with: interpreter, ["-i", "200"], as: Truth.self)
      let found = Comparison(run, top: "main")
      #expect(found.illegal == [])
      let least = run.pace.samples(of: Double(run.report.mainCPU)).lowerBound
      #expect(Double(found.samples) >= least && 2 * found.withPath > found.samples, "\(run.ledger.text)")
      #expect(found.onPath == found.withPath)
      let deep = run.stacks.count { $0.names.last == "acc_deep" }
      let whole = run.stacks.count {
        $0.names.last == "acc_deep" && $0.names.filter { $0 == "acc_deep" }.count == 20
      }
      #expect(Double(whole) >= 0.9 * Double(deep) && deep > 100)
      for leaf in (run.report.paths ?? [:]).keys { #expect(run.stacks.count(with: leaf) > 100, "\(leaf)") }
      // The alternate signal stack is not the thread's own: what it interrupted is read from there.
      let onAlternate = run.stacks.lines.filter { $0.names.contains("acc_fault_handler") }
      let all = onAlternate.reduce(0) { $0 + $1.count }
      let unmarked = onAlternate.filter { !$0.isMarked }.reduce(0) { $0 + $1.count }
      #expect(all > 100 && unmarked * 10 >= all * 9, "\(unmarked) of \(all)")
      #expect(
        onAlternate.allSatisfy { $0.names.contains("fault_in_c") && $0.names.contains("acc_interrupted") })
      #expect(run.ledger.addsUp)
    }

    private struct Sandwich: Decodable { let paths: [[String]] }

    @Test(arguments: Interpreter.supported) func pythonAndCInTurns(_ interpreter: Interpreter) throws {
      let run = try Profiled("sandwich.py", ["0.8"], with: interpreter, ["-i", "200"], as: Sandwich.self)
      let unmarked = run.stacks.lines.filter { !$0.isMarked }
      let wrong = unmarked.filter { line in
        let own = run.own(line)
        return !run.report.paths.contains { $0.starts(with: own) }
      }
      #expect(wrong.map(\.text) == [], "\(interpreter)")
      for path in run.report.paths {
        #expect(unmarked.contains { run.own($0) == path }, "\(interpreter): \(path) is never seen")
      }
    }

    /// The same process id, another program: no stack has names of both.
    @Test(
      .enabled(if: Interpreter.perRelease.count == 3 || Machine.isCI, "needs CPython 3.11, 3.12 and 3.13"),
      arguments: [(11, 13), (13, 12), (12, 11), (12, 12)])
    func noNamesFromBeforeAnExec(_ minors: (Int, Int)) throws {
      let before = try Interpreter.newest(minors.0)
      let after = try Interpreter.newest(minors.1)
      let folder = try Folder()
      let program = try Program(
        "exec_chain.py", ["0.5", after.path, try after.extensionFolder()], with: before)
      let caduceus = try Caduceus.start(
        ["attach", "-d", "100", "--collapsed", "--ledger", "-o", folder.file("stacks.txt"), "\(program.pid)"])
      try caduceus.errorLines(1)
      program.go()
      _ = try program.child.line()
      #expect(try program.child.line().hasPrefix("ready"))
      program.go()
      _ = try program.child.finish()
      let finished = try caduceus.finish()
      #expect(finished.status == 0)
      let stacks = try CollapsedFile(path: folder.file("stacks.txt"))
      func has(_ line: CollapsedFile.Line, _ prefix: String) -> Bool {
        line.frames.contains { $0.isPython && $0.name.hasPrefix(prefix) }
      }
      #expect(stacks.count { has($0, "before_") } > 200)
      #expect(stacks.count { has($0, "after_") } > 200)
      let wrong = stacks.lines.filter {
        has($0, "before_") && (has($0, "after_") || $0.names.contains("sit_lane_7"))
          || has($0, "after_") && $0.names.contains("sit_spin")
      }
      #expect(wrong.map(\.text) == [])
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp)
    }

    private struct Forked: Decodable {
      let parentCPU: UInt64
      let childStatus: Int
      enum CodingKeys: String, CodingKey {
        case parentCPU = "parent_cpu_ns"
        case childStatus = "child_status"
      }
    }

    @Test(arguments: Interpreter.perRelease) func forkedChildrenAreNotSampled(_ interpreter: Interpreter)
      throws
    {
      let run = try Profiled("fork_child.py", ["0.5"], with: interpreter, as: Forked.self)
      #expect(run.report.childStatus == 0)
      #expect(run.stacks.count { $0.names.contains("child_work") || $0.names.contains("sit_lane_4") } == 0)
      let expected = run.pace.samples(of: Double(run.report.parentCPU))
      let found = Double(run.stacks.count(with: "burn"))
      // The kernel's account of the process that has ended has its child in it: the events' own count is no measure.
      #expect(expected.lowerBound <= found, "\(found), not in \(expected)")
      let most = (Double(run.report.parentCPU) + run.pace.elsewhere) / run.pace.period + 2
      #expect(found <= most, "\(found), at most \(most)")
    }

    /// OpenBLAS's own threads: native stacks from their start routine on. CADUCEUS_NUMPY_PYTHON names an interpreter
    /// with numpy.
    @Test(.enabled(if: Machine.numpyPython != nil || Machine.isCI, "CADUCEUS_NUMPY_PYTHON is not set"))
    func threadsOfOpenBLASAreWhole() throws {
      let python = try #require(Machine.numpyPython, "CADUCEUS_NUMPY_PYTHON must be set where CI is")
      let folder = try Folder()
      let code =
        "import numpy, time\na = numpy.ones((900, 900))\nend = time.monotonic() + 2\n"
        + "while time.monotonic() < end: a @ a\n"
      let finished = try Caduceus.run(
        ["run", "--collapsed", "--ledger", "-o", folder.file("stacks.txt"), "--", python, "-c", code],
        environment: ["OPENBLAS_NUM_THREADS": "2"])
      #expect(finished.status == 0, "\(finished.description)")
      let stacks = try CollapsedFile(path: folder.file("stacks.txt"))
      let native = stacks.lines.filter { line in
        !line.frames.contains(where: \.isPython)
          && line.frames.contains {
            if case .native(_, let module) = $0 { module.contains("openblas") } else { false }
          }
      }
      let samples = native.reduce(0) { $0 + $1.count }
      let rooted = native.filter {
        ["clone", "clone3", "__clone3", "__clone"].contains($0.names.first ?? "") && !$0.isMarked
      }
      .reduce(0) { $0 + $1.count }
      #expect(samples > 200)
      #expect(Double(rooted) >= 0.98 * Double(samples), "\(rooted) of \(samples)")
    }
  }
}
