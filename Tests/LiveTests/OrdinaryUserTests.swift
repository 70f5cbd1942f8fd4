// An ordinary user, without root and without capabilities: own processes, as far as the kernel allows, and said so.

import Foundation
import Testing

extension Live {
  @Suite(.enabled(if: Machine.isRoot || Machine.isCI, "only root can become somebody else"))
  struct OrdinaryUserTests {
    /// Samples a program of the user's that spins for a second and a half.
    private func sample(_ options: [String] = [], limit: [String] = []) throws -> (Finished, CollapsedFile) {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let binary = try Caduceus.publicCopy(in: folder)
      try FileManager.default.createDirectory(
        atPath: folder.file("open"), withIntermediateDirectories: false)
      unsafe chmod(folder.file("open"), 0o777)
      let script = folder.file("spin.py")
      try """
      import sys, time
      def leaf():
          return sum(range(50))
      def middle():
          return leaf() + 1
      print("ready", flush=True)
      sys.stdin.readline()
      end = time.process_time() + 1.5
      while time.process_time() < end:
          middle()
      """.write(toFile: script, atomically: false, encoding: .utf8)
      let program = try Child(Restricted.nobody + [interpreter.path, "-S", script])
      _ = try program.line()
      let arguments = ["attach", "--ledger", "--collapsed", "-o", folder.file("open/out"), "\(program.pid)"]
      let child = try Child(limit + Restricted.nobody + [binary] + options + arguments)
      _ = try child.errorLines(2)
      program.send("go\n")
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      return (finished, try CollapsedFile(path: folder.file("open/out")))
    }

    @Test func anOwnProcess() throws {
      try withSetting("kernel.perf_event_paranoid", 2) {
        let (finished, stacks) = try sample()
        for words in [
          "Sampling without eBPF (not permitted: ", "CAP_BPF", "missing", "rest on evidence", "normal class",
          "(CAP_SYS_NICE)", "(CAP_PERFMON, kernel.perf_event_paranoid)",
        ] { #expect(finished.errorText.contains(words), "\(words) is not in: \(finished.description)") }
        let ledger = try LedgerReport(finished.errorText)
        #expect(ledger.addsUp && ledger.kept > 500, "\(finished.description)")
        let evidence = ledger.count("whose Python frames rest on evidence, not on proof")
        print("ordinary user: \(evidence) of \(ledger.kept) samples with evidence")
        #expect(evidence > 100, "\(finished.description)")
        #expect(stacks.count(with: "middle") > 100, "\(finished.description)")
        // `leaf` is called by `middle` only.
        for line in stacks.lines where !line.isMarked {
          let names = line.frames.compactMap { $0.pythonName(in: "spin.py") }
          if let leaf = names.firstIndex(of: "leaf") {
            #expect(leaf > 0 && names[leaf - 1] == "middle", "\(line.text)")
          }
        }
      }
    }

    /// Little memory may be locked: smaller rings, and said so.
    @Test func withLittleLockedMemory() throws {
      try withSetting("kernel.perf_event_paranoid", 2) {
        try withSetting("kernel.perf_event_mlock_kb", 128) {
          let (finished, stacks) = try sample(limit: ["prlimit", "--memlock=0:0"])
          #expect(
            finished.errorText.contains("KiB of ring for each CPU (kernel.perf_event_mlock_kb, ulimit -l)"),
            "\(finished.description)")
          #expect(stacks.count(with: "middle") > 100, "\(finished.description)")
        }
      }
    }

    /// `run`: the program is the user's own from its first instruction.
    @Test func aProgramThatIsStarted() throws {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      unsafe chmod(folder.path, 0o777)
      let spin = "def spin():\n  return sum(range(1000))\nfor _ in range(60000): spin()"
      try withSetting("kernel.perf_event_paranoid", 2) {
        let finished = try Child.run(
          Restricted.nobody + [Caduceus.publicCopy(in: folder), "run", "--ledger", "--collapsed", "-o"]
            + [folder.file("out"), "--", interpreter.path, "-S", "-c", spin])
        #expect(finished.status == 0, "\(finished.description)")
        #expect(try LedgerReport(finished.errorText).addsUp, "\(finished.description)")
        #expect(
          try CollapsedFile(path: folder.file("out")).count(with: "spin") > 50, "\(finished.description)")
      }
    }
  }
}
