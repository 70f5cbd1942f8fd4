// caduceus killed at any moment: the target runs on, and nothing is left in the kernel.

import Foundation
import TestSupport
import Testing

extension Live {
  @Suite struct KillTests {
    private struct Report: Decodable { let right: Bool }

    /// Each command is killed this often: 50 moments in all.
    private static let rounds = 25

    /// The kernel frees programs after a grace period; what belonged to others before is not ours.
    private func expectNothingLeft(since before: Set<String>, _ processes: [Int32]) throws {
      let limit = Date.now.addingTimeInterval(60)
      while true {
        let now = try KernelObjects.now(processes)
        let left = now.orphans.subtracting(before)
        if left.isEmpty && now.events.values.allSatisfy({ $0 == 0 }) { return }
        if Date.now > limit {
          Issue.record("left in the kernel: \(left.sorted()), events \(now.events)")
          return
        }
      }
    }

    /// The test of the test: while caduceus samples, its program and its events are seen.
    @Test func whatSamplingHoldsIsSeen() throws {
      let program = try Program("sandwich.py", ["30"], with: Interpreter.any)
      let child = try Caduceus.start(["attach", "-d", "1000", "\(program.pid)"])
      try child.errorLines(1)
      let during = try KernelObjects.now([child.pid, program.pid])
      #expect(during.programs.contains { $0.holders.contains(child.pid) }, "\(during)")
      #expect(during.maps.contains { $0.holders.contains(child.pid) }, "\(during)")
      #expect((during.events["\(child.pid)"] ?? 0) > 0)
      #expect(during.events["\(program.pid)"] == 0)
      child.signal(SIGTERM)
      #expect(try child.finish().status == 0)
      try expectNothingLeft(since: [], [program.pid])
    }

    /// Nanoseconds until caduceus begins to sample, once it is in the page cache.
    private func timeToFirstLine(_ arguments: [String]) throws -> Double {
      var shortest = Double.infinity
      for _ in 0..<2 {
        let begin = Date.now
        let child = try Caduceus.start(arguments)
        try child.errorLines(1)
        shortest = min(shortest, Date.now.timeIntervalSince(begin))
        child.signal(SIGKILL)
        _ = try child.finish(toEnd: arguments[0] == "run")
      }
      return shortest
    }

    /// A moment to kill at, in microseconds.
    private struct Moment {
      /// Counted from the first line that caduceus prints, else from its start.
      let isAfterFirstLine: Bool
      let microseconds: UInt32

      /// Lets the moment come.
      func wait(for caduceus: Child) throws {
        if isAfterFirstLine { try caduceus.errorLines(1) }
        // The moment is what is tried out, nothing depends on it.
        usleep(microseconds)
      }
    }

    /// The moments: half of them in the set-up, half of them while sampling.
    private func moments(_ setUp: Double, seed: UInt64) -> [Moment] {
      var generator = SeededGenerator(seed: seed)
      return (0..<Self.rounds).map { round in
        let isAfter = round % 2 == 1
        let seconds = Double.random(in: 0...(isAfter ? 0.3 : setUp), using: &generator)
        return Moment(isAfterFirstLine: isAfter, microseconds: UInt32(seconds * 1e6))
      }
    }

    @Test(.timeLimit(.minutes(5))) func duringAttach() throws {
      let before = try KernelObjects.now().orphans
      let interpreters = Interpreter.perRelease
      try #require(!interpreters.isEmpty)
      let sleeper = try Program("result.py", with: Interpreter.any)
      let setUp = try timeToFirstLine(["attach", "-d", "1000", "\(sleeper.pid)"])
      var sampling = 0
      var pids: [Int32] = []
      for (round, moment) in moments(setUp, seed: 2).enumerated() {
        // Longer than the latest moment, whatever the machine.
        let program = try Program("result.py", ["12"], with: interpreters[round % interpreters.count])
        let child = try Caduceus.start(["attach", "-i", "200", "-d", "1000", "\(program.pid)"])
        program.go()
        try moment.wait(for: child)
        child.signal(SIGKILL)
        let finished = try child.finish()
        #expect(finished.status == 137, "after \(moment): \(finished.description)")
        if finished.errorText.contains("PID ") { sampling += 1 }
        #expect(try program.result(Report.self).right, "killed after \(moment)")
        pids.append(program.pid)
      }
      // The moments fell on both sides of the beginning.
      #expect((Self.rounds / 2...Self.rounds - 3).contains(sampling), "\(sampling)")
      try expectNothingLeft(since: before, [sleeper.pid])
    }

    @Test(.timeLimit(.minutes(5))) func duringRun() throws {
      let before = try KernelObjects.now().orphans
      let interpreters = Interpreter.perRelease
      try #require(!interpreters.isEmpty)
      func command(_ interpreter: Interpreter) -> [String] {
        ["run", "-i", "200", "--", interpreter.path, Program.path("result.py"), "--no-gate", "8"]
      }
      let setUp = try timeToFirstLine(command(interpreters[0]))
      var beforeRelease = 0
      for (round, moment) in moments(setUp, seed: 3).enumerated() {
        let child = try Caduceus.start(command(interpreters[round % interpreters.count]))
        try moment.wait(for: child)
        // Whether there is a program to outlive us yet.
        child.signal(SIGSTOP)
        let children =
          (try? String(contentsOfFile: "/proc/\(child.pid)/task/\(child.pid)/children", encoding: .utf8))
          ?? ""
        child.signal(SIGKILL)
        // The program holds the pipes: they end with it.
        let finished = try child.finish(toEnd: true)
        #expect(finished.status == 137, "after \(moment): \(finished.description)")
        if !finished.errorText.contains("PID ") { beforeRelease += 1 }
        if children.isEmpty {
          #expect(finished.outputText.isEmpty || finished.outputText.contains("\"right\": true"))
        } else {
          #expect(
            finished.outputText.contains("\"right\": true"), "after \(moment): \(finished.description)")
        }
      }
      #expect((3...Self.rounds - Self.rounds / 2).contains(beforeRelease), "\(beforeRelease)")
      try expectNothingLeft(since: before, [])
    }
  }
}
