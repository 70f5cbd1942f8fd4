// Every option of CPython's sampling profilers: those of the first version, those of 3.15, and what excludes what.

import Foundation
import Testing

extension Live {
  @Suite struct OptionTests {
    private func sandwich(_ begin: [String], _ options: [String], seconds: String = "0.4") throws -> Finished
    {
      let program = try Program("sandwich.py", [seconds], with: Interpreter.any)
      let child = try Caduceus.start(begin + options + ["\(program.pid)"])
      try child.errorLines(1)
      program.go()
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      return finished
    }

    /// The rows of a printed table.
    private struct Row {
      let direct, cumulative: Int
      let tottime, cumtime: Double
      let place: String
    }

    private func rows(_ text: String) throws -> [Row] {
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      let head = try #require(lines.firstIndex { $0.contains("filename:lineno(function)") }, "\(text)")
      return try lines[(head + 1)...].prefix { !$0.isEmpty }.map { line in
        let words = line.split(separator: " ", maxSplits: 5)
        let counts = words[0].split(separator: "/").compactMap { Int($0) }
        try #require(counts.count == 2 && words.count == 6, "\(line)")
        return Row(
          direct: counts[0], cumulative: counts[1], tottime: Double(words[2]) ?? -1,
          cumtime: Double(words[4]) ?? -1,
          place: words[5].trimmingCharacters(in: .whitespaces))
      }
    }

    // MARK: The first version's options

    /// Both spellings of each order, on both commands.
    @Test(
      arguments: [
        "nsamples", "tottime", "cumtime", "sample-pct", "cumul-pct", "nsamples-cumul", "name",
      ], [[], ["attach"]])
    func orders(_ name: String, _ begin: [String]) throws {
      for option in [["--sort-\(name)"], ["--sort", name]] {
        let rows = try rows(sandwich(begin, option + ["-l", "100", "-a"]).outputText)
        #expect(rows.count > 5)
        func isDescending(_ key: (Row) -> Double) -> Bool {
          zip(rows, rows.dropFirst()).allSatisfy { key($0) >= key($1) }
        }
        switch name {
        case "nsamples", "sample-pct": #expect(isDescending { Double($0.direct) })
        case "tottime": #expect(isDescending(\.tottime))
        case "cumtime": #expect(isDescending(\.cumtime))
        case "name":
          let files = rows.map { $0.place.split(separator: ":")[0] }
          #expect(files == files.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        default: #expect(isDescending { Double($0.cumulative) })
        }
      }
    }

    @Test(arguments: [[], ["attach"]]) func theTableWithoutItsSummary(_ begin: [String]) throws {
      let with = try sandwich(begin, []).outputText
      let without = try sandwich(begin, ["--no-summary", "-l", "3"]).outputText
      #expect(with.contains("Summary of Interesting Functions:"))
      #expect(without.contains("Legend:"))
      #expect(!without.contains("Interesting"))
      #expect(try rows(without).count == 3)
    }

    @Test(arguments: ["-o", "--output", "--outfile"]) func theFilesNameHasThreeSpellings(_ option: String)
      throws
    {
      let folder = try Folder()
      _ = try sandwich(["attach"], ["--collapsed", option, folder.file("x")])
      #expect(folder.contents == ["x"])
    }

    @Test(arguments: [[], ["attach"]]) func realtimeStatistics(_ begin: [String]) throws {
      let finished = try sandwich(begin, ["--realtime-stats", "-i", "500"], seconds: "2.5")
      let form =
        /Real-time sampling stats: Mean: ([0-9.]+)Hz \([0-9.]+µs\) Min: ([0-9.]+)Hz \([0-9.]+µs\) Max: ([0-9.]+)Hz \([0-9.]+µs\) Samples: ([0-9]+)/
      let lines = try finished.errorLines.filter { $0.hasPrefix("Real-time") }.map {
        try #require($0.wholeMatch(of: form), "\($0)")
      }
      #expect(lines.count >= 2, "\(finished.errorText)")
      for line in lines {
        let values = try [line.1, line.2, line.3].map { try #require(Double($0)) }
        #expect(values[1] <= values[0] && values[0] <= values[2])
        // One thread: half a millisecond of its CPU time takes at least as long on the clock, in the mean.
        #expect(values[1] < 2100)
      }
      let counts = lines.compactMap { Int($0.4) }
      #expect(counts == counts.sorted() && counts[0] > 100)
    }

    // MARK: What 3.15 has

    @Test(arguments: [
      ("2khz", "every 500 us"), ("2KHZ", "every 500 us"), ("2k", "every 500 us"), ("2000", "every 500 us"),
      ("2000hz", "every 500 us"), ("2000 Hz", "every 500 us"), ("0.5k", "every 2000 us"),
      ("3khz", "every 333.333 us"), ("100khz", "every 10 us"), ("0.1", "every 10000000 us"),
    ])
    func theRate(_ rate: String, _ words: String) throws {
      let finished = try Caduceus.run(["run", "-r", rate, "--", "/bin/true"])
      #expect(finished.status == 0, "\(finished.description)")
      #expect(finished.errorLines[0].contains(", \(words) of CPU time"), "\(finished.errorLines[0])")
    }

    /// 3 kHz is three samples per millisecond of the thread's own clock, not 333 microseconds rounded.
    @Test func aRateThatIsNoWholeNumberOfMicroseconds() throws {
      let folder = try Folder()
      let program = try Program("sandwich.py", ["1"], with: Interpreter.any)
      let finished = try Caduceus.attach(
        program, ["-r", "3khz", "--ledger", "--collapsed", "-o", folder.file("x")])
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp)
      let expected = ledger.count("samples expected from the CPU time of the sampled threads")
      #expect(abs(Double(expected) - ledger.targetCPU * 3000) < 31, "\(ledger.text)")
    }

    /// A script and a module are run by the Python in PATH; what follows `--` never is.
    @Test func scriptsAndModules() throws {
      let folder = try Folder()
      let interpreter = try Interpreter.any
      try FileManager.default.createDirectory(atPath: folder.file("bin"), withIntermediateDirectories: false)
      try FileManager.default.createSymbolicLink(
        atPath: folder.file("bin/python3"), withDestinationPath: interpreter.path)
      let text = "import sys; print(sys.argv[1:], sys.version.split()[0], __name__)\n"
      for name in ["script.py", "module_of_mine.py", "without_suffix"] {
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file(name)))
      }
      try FileManager.default.createDirectory(
        atPath: folder.file("package"), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder.file("package/__main__.py")))
      let environment = ["PATH": folder.file("bin") + ":/usr/bin:/bin"]
      let expected = "['-x', '--native', 'all'] \(interpreter.version) __main__\n"
      for target in [
        ["script.py"], ["./script.py"], ["-m", "module_of_mine"], ["--module", "module_of_mine"],
        ["./without_suffix"], ["package"],
      ] {
        let finished = try Caduceus.run(
          ["run"] + target + ["-x", "--native", "all"], environment: environment, folder: folder.path)
        #expect(finished.outputText == expected, "\(target): \(finished.description)")
      }
      let refused = try Caduceus.run(
        ["run", "--", "script.py"], environment: environment, folder: folder.path)
      #expect(refused.status == 127, "\(refused.description)")
    }

    /// A folder as the output: the file gets 3.15's default name there.
    @Test(arguments: [("--pstats", "pstats_", ".pstats"), ("--collapsed", "collapsed_", ".txt")])
    func aFolderAsTheOutput(_ format: String, _ prefix: String, _ suffix: String) throws {
      let folder = try Folder()
      let program = try Program("sandwich.py", ["0.1"], with: Interpreter.any)
      let finished = try Caduceus.attach(program, [format, "-o", folder.path])
      #expect(finished.status == 0, "\(finished.description)")
      #expect(folder.contents == ["\(prefix)\(program.pid)\(suffix)"])
      #expect(finished.errorText.contains("written to \(folder.path)/\(prefix)\(program.pid)\(suffix)\n"))
    }

    /// One row per function: the definition's line, and no function twice.
    @Test func rowsByFunction() throws {
      let table = try rows(sandwich(["attach"], ["--pstats-by", "function", "-l", "100"]).outputText)
      let places = table.map(\.place)
      #expect(Set(places).count == places.count)
      let source = try String(contentsOfFile: Program.path("sandwich.py"), encoding: .utf8)
      let lines = source.components(separatedBy: "\n")
      for name in ["sort_key", "sort_them", "main"] {
        let defined = try #require(lines.firstIndex { $0.hasPrefix("def \(name)(") }) + 1
        #expect(
          places.filter { $0.hasSuffix("(\(name))") } == ["sandwich.py:\(defined)(\(name))"], "\(places)")
      }
    }

    /// The marker and integer callers of CPython's own profiler, read without pstats.
    @Test func theSampledForm() throws {
      let folder = try Folder()
      _ = try sandwich(["attach"], ["--pstats-form", "sampled", "-o", folder.file("x")])
      let load = """
        import marshal, sys
        stats = marshal.load(open(sys.argv[1], "rb"))
        print(stats.pop(("__sampled__",)), {type(n) for e in stats.values() for n in e[4].values()} == {int})
        """
      let loaded = try Child.run([Interpreter.any.path, "-c", load, folder.file("x")])
      #expect(loaded.outputText == "True True\n", "\(loaded.description)")
    }

    @Test func threadsInCollapsedStacks() throws {
      let folder = try Folder()
      let program = try Program("many_threads.py", ["3", "0.2"], with: Interpreter.any)
      let finished = try Caduceus.attach(program, ["--collapsed", "--threads", "-o", folder.file("x")])
      #expect(finished.status == 0, "\(finished.description)")
      struct Report: Decodable {
        struct Worker: Decodable { let id: Int, name: String }
        let threads: [Worker]
      }
      let report = try program.result(Report.self)
      let text = try folder.text("x")
      for worker in report.threads {
        let lines = text.split(separator: "\n").filter { $0.contains(":\(worker.name):") }
        #expect(
          !lines.isEmpty && lines.allSatisfy { $0.hasPrefix("tid:\(worker.id) ") }, "\(worker): \(lines)")
      }
    }

    /// Every format in one run, each told by its name; all have the same samples.
    @Test func severalOutputs() throws {
      let folder = try Folder()
      let names = [
        "a.html", "b.svg", "c.pstats", "d.txt", "e.speedscope.json", "f.gecko.json", "g.pb.gz", "h.jsonl",
      ]
      let finished = try sandwich(["attach"], names.flatMap { ["-o", folder.file($0)] })
      #expect(finished.output.isEmpty)
      #expect(folder.contents == names)
      for name in names {
        #expect(finished.errorText.contains(" written to \(folder.file(name))\n"), "\(name)")
      }
      let total = try CollapsedFile(path: folder.file("d.txt")).total
      let count = """
        import gzip, json, marshal, sys
        folder, period = sys.argv[1] + "/", 1000000
        stats = marshal.load(open(folder + "c.pstats", "rb"))
        print(sum(entry[0] for entry in stats.values()))
        scope = json.load(open(folder + "e.speedscope.json"))
        print(len([s for p in scope["profiles"] for s in p["samples"]]) and
              round(sum(w for p in scope["profiles"] for w in p["weights"]) / period))
        gecko = json.load(open(folder + "f.gecko.json"))
        print(sum(sum(t["samples"].get("weight") or [1] * t["samples"]["length"]) for t in gecko["threads"]))
        assert gzip.open(folder + "g.pb.gz").read(1) == b"\\x0a"
        assert [json.loads(line) for line in open(folder + "h.jsonl")][-1]["type"] == "end"
        """
      let counted = try Child.run([Interpreter.any.path, "-c", count, folder.path])
      #expect(counted.outputText == "\(total)\n\(total)\n\(total)\n", "\(total): \(counted.description)")
      for (name, begin) in [("a.html", "<!DOCTYPE html>"), ("b.svg", "<?xml")] {
        #expect(try folder.text(name).lowercased().hasPrefix(begin.lowercased()), "\(name)")
        #expect(try folder.text(name).contains("sit_spin"), "\(name)")
      }
    }

    /// The format's option comes before the name; a default name has the process's number.
    @Test(arguments: [
      ("--flamegraph", "flamegraph_", ".html"), ("--svg", "svg_", ".svg"),
      ("--speedscope", "speedscope_", ".speedscope.json"),
      ("--gecko", "gecko_", ".gecko.json"), ("--pprof", "pprof_", ".pb.gz"), ("--jsonl", "jsonl_", ".jsonl"),
    ])
    func formatsByOption(_ option: String, _ prefix: String, _ suffix: String) throws {
      let folder = try Folder()
      for output in [[], ["-o", "any.name"]] {
        let child = try Caduceus.start(
          ["run", option] + output + ["--", Interpreter.any.path, "-c", "sum(range(2000000))"],
          folder: folder.path)
        let finished = try child.finish()
        #expect(finished.status == 0, "\(finished.description)")
      }
      #expect(folder.contents.count == 2 && folder.contents.contains("any.name"), "\(folder.contents)")
      let name = try #require(folder.contents.first { $0 != "any.name" })
      #expect(name.hasPrefix(prefix) && name.hasSuffix(suffix), "\(name)")
    }

    /// The browser is the user's: what is started is `xdg-open` in PATH, with the file's full name.
    @Test func theBrowserIsOpened() throws {
      let folder = try Folder()
      let opener = "#!/bin/sh\necho \"$@\" >\"$(dirname \"$0\")/opened\"\n"
      try FileManager.default.createDirectory(atPath: folder.file("bin"), withIntermediateDirectories: false)
      try Data(opener.utf8).write(to: URL(fileURLWithPath: folder.file("bin/xdg-open")))
      unsafe chmod(folder.file("bin/xdg-open"), 0o755)
      let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
      let finished = try Caduceus.run(
        [
          "run", "--open", "-o", "a.pstats", "-o", "b.html", "--", Interpreter.any.path, "-c",
          "sum(range(2000000))",
        ],
        environment: ["PATH": folder.file("bin") + ":" + path], folder: folder.path)
      #expect(finished.status == 0, "\(finished.description)")
      #expect(try folder.text("bin/opened") == folder.file("b.html") + "\n")
    }

    /// What 3.15 has and we have not is refused by its name, with a reason.
    @Test(arguments: [
      ["--live"], ["--mode", "cpu"], ["--async-aware"], ["--async-mode", "all"], ["--blocking"],
      ["--opcodes"],
      ["--no-gc"], ["--subprocesses"], ["--heatmap"], ["--diff-flamegraph", "x"], ["--binary"],
      ["--compression", "zstd"], ["--browser"],
    ])
    func whatIsNotThere(_ option: [String]) throws {
      for command in [[], ["attach"]] {
        let finished = try Caduceus.run(command + option + ["1"])
        #expect(finished.status == 2)
        let line = try #require(finished.errorLines.first)
        #expect(line.hasPrefix("Error: \(option[0]) is not "), "\(line)")
        #expect(line.contains(": ") && line.count > 40, "no reason: \(line)")
      }
      let finished = try Caduceus.run(["run"] + option + ["--", "/bin/true"])
      #expect(finished.status == 2 && finished.errorText.contains("\(option[0]) is not "))
    }

    @Test(arguments: [["dump", "1"], ["replay", "x.bin"], ["dump"], ["replay"]])
    func commandsThatAreNotThere(_ command: [String]) throws {
      let finished = try Caduceus.run(command)
      #expect(finished.status == 2)
      #expect(
        finished.errorText.hasPrefix("Error: \(command[0]) is not supported: "), "\(finished.errorText)")
    }

    // MARK: What excludes what

    /// Options, and the words of the message.
    static let forbidden: [([String], [String])] = [
      (["--pstats", "--collapsed"], ["--pstats and --collapsed exclude each other", "name several files"]),
      (["-o", "a.json"], ["a.json may be one of two formats", "--speedscope", ".gecko.json"]),
      (["-o", "a.html", "-o", "a.html"], ["-o a.html is there twice"]),
      (["--gecko", "-o", "a.html", "-o", "b.svg"], ["--gecko fits none of the names"]),
      (["--open"], ["--open needs a flame graph"]),
      (["--open", "-o", "a.pstats"], ["--open needs a flame graph"]),
      (["--flamegraph", "--sort-name"], ["only valid with --pstats format: sort"]),
      (
        ["--sort-name", "--sort-tottime"], ["--sort-name and --sort-tottime exclude each other", "one order"]
      ),
      (["--sort", "name", "--sort-name"], ["--sort name and --sort-name exclude each other", "one order"]),
      (["--interval", "100", "-r", "1khz"], ["--interval and --sampling-rate", "how often"]),
      (["-a", "--main-thread"], ["--all-threads and --main-thread", "which threads"]),
      (["--realtime-stats", "--progress"], ["--realtime-stats and --progress", "last line"]),
      (["--threads"], ["--threads is only valid with --collapsed"]),
      (["--collapsed", "--sort-name"], ["only valid with --pstats format: sort"]),
      (["--collapsed", "--sort", "cumtime"], ["only valid with --pstats format: sort"]),
      (["--collapsed", "-l", "3"], ["only valid with --pstats format: limit"]),
      (["--collapsed", "--no-summary"], ["only valid with --pstats format: summary"]),
      (
        ["--collapsed", "--no-summary", "--sort-name", "-l", "3"],
        ["only valid with --pstats format: sort, limit, summary"]
      ),
      (["--pstats-form", "sampled"], ["--pstats-form needs -o", "table"]),
      (["--collapsed", "--pstats-by", "function"], ["only valid with --pstats format: pstats-by"]),
      (
        ["--collapsed", "-o", "x", "--pstats-form", "sampled"],
        ["only valid with --pstats format: pstats-form"]
      ),
      (["--pstats-by", "module"], ["--pstats-by", "line"]),
      (["-o", "x", "--pstats-form", "old"], ["--pstats-form"]),
      (["-r", "0"], ["-r", "0.1 to 100000"]), (["-r", "100001"], ["0.1 to 100000"]),
      (["-r", "1mhz"], ["0.1 to 100000"]), (["-r", "fast"], ["0.1 to 100000"]), (["-r", "-1"], ["-r"]),
      (["-r", "hz"], ["0.1 to 100000"]), (["-r", "1e3"], ["0.1 to 100000"]),
      (["--sort", "calls"], ["--sort", "nsamples"]),
    ]

    @Test(arguments: forbidden) func forbiddenPairs(_ options: [String], _ words: [String]) throws {
      for command in [
        ["attach"] + options + ["1"], options + ["1"], ["run"] + options + ["--", "/bin/true"],
      ] {
        let finished = try Caduceus.run(command)
        #expect(finished.status == 2, "\(command): \(finished.description)")
        #expect(finished.output.isEmpty)
        for word in words { #expect(finished.errorText.contains(word), "\(command): \(finished.errorText)") }
        #expect(finished.errorText.contains("Usage: caduceus"))
      }
    }

    /// The first version notices no option that is given with its default value.
    @Test func aDefaultValueIsNoConflict() throws {
      let finished = try Caduceus.run([
        "run", "--collapsed", "-l", "15", "-o", "/dev/null", "--", "/bin/true",
      ])
      #expect(finished.status == 0, "\(finished.description)")
    }

    @Test func whatDoesNotGoWithAModule() throws {
      let finished = try Caduceus.run(["run", "-m", "--", "x"])
      #expect(finished.status == 2)
      #expect(finished.errorText.contains("-m and -- exclude each other"))
    }
  }
}
