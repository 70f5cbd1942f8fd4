// What is printed, where, and what is written.

import Foundation
import Testing

extension Live {
  @Suite struct OutputTests {
    private func sandwich(_ options: [String], _ interpreter: Interpreter? = nil, seconds: String = "0.5")
      throws -> Finished
    {
      let program = try Program("sandwich.py", [seconds], with: interpreter ?? Interpreter.any)
      let finished = try Caduceus.attach(program, options)
      #expect(finished.status == 0, "\(finished.description)")
      return finished
    }

    @Test func attachPrintsTheTableOnStandardOutput() throws {
      let finished = try sandwich([])
      #expect(finished.outputText.hasPrefix("Profile Stats:\n"), "\(finished.outputText)")
      #expect(finished.outputText.contains("sandwich.py:"))
      #expect(finished.outputText.contains("(sit_spin)"))
      #expect(!finished.errorText.contains("Profile Stats"))
      #expect(!finished.outputText.contains("Captured "))
      let summary = try Summary(finished.errorText)
      #expect(summary.samples > 200)
      #expect(summary.errorRate == 0)
      for word in ["Kept: ", "Lost: ", "Estimates: "] {
        #expect(finished.errorLines.filter { $0.hasPrefix(word) }.count == 1, "\(finished.errorText)")
      }
    }

    @Test func runLeavesStandardOutputToTheProgram() throws {
      let finished = try Caduceus.run([
        "run", "--", Interpreter.any.path, Program.path("result.py"), "--no-gate", "1",
      ])
      #expect(finished.outputText.split(separator: "\n").count == 1, "\(finished.outputText)")
      #expect(finished.outputText.contains("\"right\": true"))
      #expect(finished.errorText.contains("\nProfile Stats:\n"))
      #expect(finished.errorText.contains("(sieve)"))
    }

    @Test(arguments: [("-l", 1), ("-l", 4), ("--limit", 40)]) func rowsOfTheTable(
      _ option: String, _ rows: Int
    ) throws {
      let finished = try sandwich([option, "\(rows)", "--native", "all"], seconds: "1")
      let lines = finished.outputText.split(separator: "\n", omittingEmptySubsequences: false)
      let head = try #require(lines.firstIndex { $0.contains("filename:lineno(function)") })
      let table = lines[(head + 1)...].prefix { !$0.isEmpty }
      #expect(rows < 40 ? table.count == rows : (15...40).contains(table.count), "\(finished.outputText)")
    }

    @Test func aFileOfStatisticsInsteadOfTheTable() throws {
      let folder = try Folder()
      let finished = try sandwich(["-o", folder.file("out.pstats")])
      #expect(finished.output.isEmpty)
      #expect(finished.errorText.contains("Stats written to \(folder.file("out.pstats"))\n"))
      #expect(folder.contents == ["out.pstats"])
      let load = """
        import pstats, sys
        stats = pstats.Stats(sys.argv[1])
        print(sorted({name for _, _, name in stats.stats}))
        """
      for interpreter in Interpreter.installed {
        let loaded = try Child.run([interpreter.path, "-c", load, folder.file("out.pstats")])
        #expect(loaded.outputText.contains("'sort_key'"), "\(interpreter): \(loaded.description)")
        #expect(loaded.outputText.contains("'sit_spin'"))
      }
    }

    @Test(arguments: ["attach", "run"]) func theDefaultNameOfCollapsedStacks(_ command: String) throws {
      let folder = try Folder()
      let pid: Int32
      let finished: Finished
      if command == "attach" {
        let program = try Program("sandwich.py", ["0.3"], with: Interpreter.any)
        let child = try Caduceus.start(["attach", "--collapsed", "\(program.pid)"], folder: folder.path)
        try child.errorLines(1)
        program.go()
        (pid, finished) = (program.pid, try child.finish())
      } else {
        let child = try Caduceus.start(
          ["run", "--collapsed", "--"] + Program.command("sandwich.py", ["0.3"], with: Interpreter.any),
          folder: folder.path)
        let words = try child.line().split(separator: " ")
        child.send("go\n")
        (pid, finished) = (try #require(Int32(words[1])), try child.finish())
      }
      #expect(finished.status == 0, "\(finished.description)")
      #expect(folder.contents == ["collapsed.\(pid).txt"])
      #expect(finished.errorText.contains("Collapsed stack output written to collapsed.\(pid).txt\n"))
      let file = try CollapsedFile(path: folder.file("collapsed.\(pid).txt"))
      #expect(try file.total == Summary(finished.errorText).samples)
    }

    @Test func aFileThatIsThereIsReplaced() throws {
      let folder = try Folder()
      try Data(repeating: 65, count: 1 << 20).write(to: URL(fileURLWithPath: folder.file("out")))
      _ = try sandwich(["--collapsed", "-o", folder.file("out")])
      #expect(try CollapsedFile(path: folder.file("out")).count(with: "sit_spin") > 0)
      #expect(folder.contents == ["out"])
    }

    @Test func aPipeAndADeviceAreWrittenInPlace() throws {
      let finished = try sandwich(["--collapsed", "-o", "/dev/stdout"])
      #expect(try CollapsedFile(finished.outputText).count(with: "sit_spin") > 0, "\(finished.description)")
      _ = try sandwich(["--collapsed", "-o", "/dev/null"], seconds: "0.1")
    }

    /// Nobody reads what is printed: that is no reason to crash, nor to change the program's status.
    @Test func aReaderThatGoesAway() throws {
      let finished = try Child.run([
        "/bin/bash", "-c", "\"$@\" 2> >(head -n 1 >/dev/null); echo $?", "bash", Caduceus.path, "run", "--",
        "/bin/sh",
        "-c", "exit 8",
      ])
      #expect(finished.outputText == "8\n", "\(finished.description)")
    }

    @Test(arguments: Interpreter.supported) func whichNativeFramesAreShown(_ interpreter: Interpreter) throws
    {
      let folder = try Folder()
      var files: [String: CollapsedFile] = [:]
      for kind in ["all", "extensions", "none"] {
        _ = try sandwich(["--collapsed", "--native", kind, "-o", folder.file(kind)], interpreter)
        files[kind] = try CollapsedFile(path: folder.file(kind))
      }
      let all = try #require(files["all"])
      let extensions = try #require(files["extensions"])
      let none = try #require(files["none"])
      func share(_ file: CollapsedFile, _ name: String) -> Double {
        Double(file.count(with: name)) / Double(file.total)
      }
      #expect(none.count { $0.frames.contains(where: \.isNative) } == 0)
      #expect(share(none, "under_key") > 0.3)
      for name in ["_PyEval_EvalFrameDefault", "Py_RunMain", "_start"] {
        // The interpreter's end has no Python frames: there it is shown.
        let shown = extensions.count { $0.frames.contains(where: \.isPython) && $0.names.contains(name) }
        #expect(shown == 0, "\(name) is shown")
      }
      #expect(share(extensions, "sit_spin") > 0.3)
      #expect(share(extensions, "sit_hop") > 0.3)
      #expect(share(all, "sit_spin") > 0.3)
      // A stripped interpreter's evaluation loop has no name.
      let isStripped = all.count(with: "_PyEval_EvalFrameDefault") == 0
      if !isStripped {
        #expect(share(all, "_PyEval_EvalFrameDefault") > 0.95)
        #expect(share(all, "_start") > 0.95)
      }
    }

    @Test(arguments: Interpreter.supported) func bothUnwindersAgree(_ interpreter: Interpreter) throws {
      let folder = try Folder()
      for unwinder in ["rows", "libunwind"] {
        let finished = try sandwich(
          ["--collapsed", "--unwinder", unwinder, "--ledger", "-o", folder.file(unwinder)], interpreter)
        let ledger = try LedgerReport(finished.errorText)
        #expect(ledger.addsUp, "\(ledger.text)")
        #expect(Bounds.isAtLeast(0.985, ledger.whole, of: ledger.kept), "\(unwinder): \(ledger.text)")
        let file = try CollapsedFile(path: folder.file(unwinder))
        let path = ["<module>", "main", "sort_them", "sort_key", "sit_hop", "under_key", "sit_spin"]
        let found = file.count { line in line.names.filter(path.contains) == path }
        #expect(Bounds.isAtLeast(0.3, found, of: file.total), "\(found) of \(file.total)")
      }
    }

    // MARK: The ledger

    @Test func theFullLedgerAddsUp() throws {
      struct Report: Decodable { let cpu_ns: Double }
      let program = try Program("sandwich.py", ["0.5"], with: Interpreter.any)
      let finished = try Caduceus.attach(program, ["--ledger"])
      #expect(finished.status == 0, "\(finished.description)")
      let report = try program.result(Report.self)
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp, "\(ledger.text)")
      #expect(!finished.errorText.contains("Kept: "))
      #expect(ledger.emitted == ledger.recordsRead)
      #expect(ledger.kept == ledger.whole + ledger.damaged)
      #expect(ledger.recordsRead == ledger.kept + ledger.dropped)
      #expect(ledger.ringFull == 0)
      // The kernel's CPU clock is the second source.
      let pace = try program.pace(ledger)
      #expect(pace.interrupts(of: report.cpu_ns).lowerBound <= Double(ledger.targetRuns), "\(ledger.text)")
      #expect(pace.interrupts(of: pace.own).upperBound >= Double(ledger.targetRuns), "\(ledger.text)")
      #expect(pace.contradictions() == [], "\(ledger.text)")
    }

    /// A ring that is too small on purpose: what is lost is counted, by us and by the kernel alike.
    @Test(arguments: Interpreter.perRelease) func aRingThatIsTooSmall(_ interpreter: Interpreter) throws {
      struct Report: Decodable { let cpu_ns: Double }
      let folder = try Folder()
      let program = try Program("deep_callbacks.py", ["1"], with: interpreter)
      let finished = try Caduceus.attach(
        program, ["-i", "50", "--ring-size", "64", "--collapsed", "--ledger", "-o", folder.file("out")])
      #expect(finished.status == 0, "\(finished.description)")
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.sumsAddUp, "\(ledger.text)")
      #expect(ledger.ringFull > 100, "\(ledger.text)")
      #expect(ledger.targetRuns == ledger.emitted + ledger.ringFull, "\(ledger.text)")
      #expect(try CollapsedFile(path: folder.file("out")).total == ledger.kept)
      #expect(try Summary(finished.errorText).errorRate > 0)
      _ = try program.result(Report.self)
    }

    @Test func theSmallRingIsSaidInTheShortLedger() throws {
      let program = try Program("deep_callbacks.py", ["0.5"], with: Interpreter.any)
      let finished = try Caduceus.attach(
        program, ["-i", "50", "--ring-size", "64", "--collapsed", "-o", "/dev/null"])
      let line = try #require(finished.errorLines.first { $0.hasPrefix("Lost: ") })
      #expect(line.contains("no room in the ring"), "\(line)")
      #expect(finished.errorText.contains("a larger --ring-size"), "no advice: \(finished.errorText)")
    }
  }
}
