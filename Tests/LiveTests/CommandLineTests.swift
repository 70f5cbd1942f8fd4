// Options, help and usage errors: what a person meets first.

import Foundation
import Testing

extension Live {
  @Suite struct CommandLineTests {
    @Test func versionIsOneLine() throws {
      let finished = try Caduceus.run(["--version"])
      #expect(finished.status == 0)
      #expect(finished.outputText.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil, "\(finished.description)")
    }

    @Test func helpBeginsWithExamples() throws {
      let finished = try Caduceus.run(["--help"])
      #expect(finished.status == 0)
      let text = finished.outputText
      let examples = try #require(text.range(of: "EXAMPLES"))
      let usage = try #require(text.range(of: "USAGE"))
      #expect(examples.lowerBound < usage.lowerBound)
      // A command that is broken by the line's end cannot be copied.
      for line in text.split(separator: "\n") { #expect(line.count <= 80) }
      for command in ["caduceus attach 1234", "caduceus run -- python3 fit.py"] {
        #expect(text.contains("sudo \(command)\n"), "\(text)")
      }
    }

    @Test(arguments: [
      ["attach", "--help"], ["run", "--help"], ["run", "-h"], ["help", "run"], ["help", "attach"],
    ])
    func helpOfTheCommands(_ arguments: [String]) throws {
      let finished = try Caduceus.run(arguments)
      #expect(finished.status == 0, "\(finished.description)")
      for option in [
        "--interval", "--duration", "--pstats", "--collapsed", "--output", "--limit", "--stack-size",
        "--native",
        "--unwinder", "--main-thread", "--ledger", "--ring-size", "--per-cpu",
      ] {
        #expect(finished.outputText.contains(option), "\(option) is not explained")
      }
    }

    /// Arguments and what the message must name.
    static let wrong: [([String], String)] = [
      ([], "pid"),
      (["python3"], "python3"),
      (["attach"], "pid"),
      (["attach", "0"], "positive"),
      (["0"], "positive"),
      (["99999999999999"], "99999999999999"),
      (["attach", "1", "2"], "2"),
      (["attach", "--collapse", "1"], "--collapse"),
      (["run"], "no command"),
      (["run", "--"], "no command"),
      (["run", "-i", "100"], "no command"),
      (["run", "--collapse", "--", "true"], "--collapse"),
      (["run", "-x", "true"], "-x"),
      (["-i", "9", "1"], "--interval"),
      (["-i", "10000001", "1"], "--interval"),
      (["-i", "1.5", "1"], "'-i <us>'"),
      (["run", "-i", "9", "--", "true"], "--interval"),
      (["-d", "0", "1"], "--duration"),
      (["attach", "-d", "nan", "1"], "--duration"),
      (["attach", "-d", "inf", "1"], "--duration"),
      (["run", "-d", "0", "--", "true"], "--duration"),
      (["run", "-d", "nan", "--", "true"], "--duration"),
      (["run", "-d", "inf", "--", "true"], "--duration"),
      (["run", "-d", "1e30", "--", "true"], "--duration"),
      (["attach", "--stack-size", "511", "1"], "--stack-size"),
      (["attach", "--stack-size", "65529", "1"], "--stack-size"),
      (["attach", "--ring-size", "32", "1"], "--ring-size"),
      (["attach", "--ring-size", "96", "1"], "--ring-size"),
      (["attach", "--ring-size", "2097152", "1"], "--ring-size"),
      (["attach", "-l", "0", "1"], "--limit"),
      (["attach", "-o", "", "1"], "--output"),
      (["attach", "--native", "some", "1"], "native"),
      (["attach", "--unwinder", "magic", "1"], "unwinder"),
      (["attach", "--pstats", "--collapsed", "1"], "--collapsed"),
      (["-a", "--main-thread", "1"], "--main-thread"),
    ]

    @Test(arguments: wrong) func usageErrors(_ arguments: [String], _ word: String) throws {
      let finished = try Caduceus.run(arguments)
      #expect(finished.status == 2, "\(finished.description)")
      #expect(finished.output.isEmpty)
      #expect(finished.errorText.contains(word), "\(finished.errorText)")
      #expect(finished.errorText.contains("caduceus"), "no usage: \(finished.errorText)")
      // The command behind the bare form is nobody's business.
      #expect(!finished.errorText.contains("caduceus main"), "\(finished.errorText)")
    }

    /// Somebody who expects `caduceus COMMAND` to work is told what does.
    @Test func aCommandWithoutRunIsExplained() throws {
      let finished = try Caduceus.run(["python3"])
      #expect(finished.errorText.contains("caduceus run -- python3"), "\(finished.errorText)")
    }

    @Test(arguments: [
      ["-i", "10"], ["-i", "10000000"], ["-d", "1000000000"], ["-d", "0.001"], ["--stack-size", "512"],
      ["--stack-size", "65528"], ["--ring-size", "64"], ["--ring-size", "8192"], ["-l", "1"],
      ["--native", "all"],
      ["--native", "none"], ["--unwinder", "libunwind"], ["--main-thread"], ["--per-cpu"], ["--ledger"],
      ["--pstats"],
    ])
    func valuesAtTheLimits(_ options: [String]) throws {
      let finished = try Caduceus.run(["run"] + options + ["--", "/bin/sh", "-c", "exit 5"])
      #expect(finished.status == 5, "\(finished.description)")
      #expect(finished.errorText.contains("Captured "))
      #expect(!finished.errorText.contains("ACCOUNTING ERROR"), "\(finished.errorText)")
    }

    /// What stands behind the command is the command's own, also when it looks like ours.
    @Test(arguments: [["run", "--"], ["run", "-i", "500"], ["run", "-i", "500", "--"]])
    func theCommandKeepsItsOptions(_ begin: [String]) throws {
      let finished = try Caduceus.run(begin + ["/bin/echo", "-i", "--help", "--", "-d", "--version"])
      #expect(finished.outputText == "-i --help -- -d --version\n", "\(finished.description)")
    }

    @Test(arguments: Interpreter.supported) func theFirstLineSaysWhatIsSampled(_ interpreter: Interpreter)
      throws
    {
      let program = try Program("sandwich.py", ["0.1"], with: interpreter)
      let finished = try Caduceus.attach(program)
      let name = (interpreter.path as NSString).lastPathComponent
      let line = try #require(finished.errorLines.first)
      #expect(line.hasPrefix("PID \(program.pid) (\(name) \(Program.path("sandwich.py"))"), "\(line)")
      #expect(
        line.contains(
          "), CPython \(interpreter.version), 1 thread, every 1000 us of CPU time, 8 MiB of rings"), "\(line)"
      )
    }

    @Test func theFirstLineNamesIntervalThreadsAndRings() throws {
      let program = try Program("many_threads.py", ["7", "0.1"], with: Interpreter.any)
      let finished = try Caduceus.attach(program, ["-i", "5000", "--ring-size", "64"])
      let line = try #require(finished.errorLines.first)
      let rings = ProcessInfo.processInfo.processorCount * 64
      #expect(line.contains(", 8 threads, every 5000 us of CPU time, \(rings) KiB of rings"), "\(line)")
    }

    private struct Workers: Decodable {
      struct Worker: Decodable { let cpu_ns: Double }
      let threads: [Worker]
      /// Nanoseconds of CPU time of all of them.
      var cpu: Double { threads.reduce(0) { $0 + $1.cpu_ns } }
    }

    /// The bare form keeps the rule of CPython's own profiler: the main thread, -a for all.
    @Test(arguments: [
      (["--collapsed"], true), (["--collapsed", "-a"], false), (["attach", "--collapsed"], false),
      (["attach", "--collapsed", "--main-thread"], true),
    ])
    func whichThreads(_ arguments: [String], mainOnly: Bool) throws {
      let folder = try Folder()
      let program = try Program("many_threads.py", ["3", "0.3"], with: Interpreter.any)
      let child = try Caduceus.start(arguments + ["--ledger", "-o", folder.file("out"), "\(program.pid)"])
      let first = try Caduceus.waitUntilItSamples(child)[0]
      program.go()
      let finished = try child.finish()
      #expect(finished.status == 0, "\(finished.description)")
      let report = try program.result(Workers.self)
      let pace = try program.pace(LedgerReport(finished.errorText))
      #expect(first.contains(mainOnly ? "main thread only" : "4 threads"), "\(first)")
      let file = try CollapsedFile(path: folder.file("out"))
      let ofWorkers = file.count { $0.names.contains { $0.hasPrefix("worker_") } }
      if mainOnly {
        #expect(ofWorkers == 0)
        let words = try #require(
          finished.errorText.firstMatch(of: /Other threads, not sampled, used ([\d.]+) s/))
        // Rounded to hundredths; what a thread does before and after it measures itself is the process's all the same.
        let most = (pace.own / 1e9) + 0.01
        #expect(try (report.cpu / 1e9 - 0.01...most).contains(#require(Double(words.1))), "\(words.0)")
        let advice = arguments[0] == "attach" ? "without --main-thread all" : "-a samples all"
        #expect(finished.errorText.contains("\(advice) threads"), "\(finished.errorText)")
      } else {
        let expected = pace.samples(of: report.cpu, stretches: 3)
        #expect(expected.contains(Double(ofWorkers)), "\(ofWorkers), not in \(expected)")
        #expect(pace.contradictions(threads: 4) == [], "\(finished.errorText)")
        #expect(!finished.errorText.contains("not sampled"))
      }
    }

    @Test func durationEndsSampling() throws {
      let program = try Program("sandwich.py", ["60"], with: Interpreter.any)
      let finished = try Caduceus.attach(program, ["-d", "0.5"])
      #expect(finished.status == 0)
      let summary = try Summary(finished.errorText)
      // The program works for a minute of CPU time: sampling ended before it.
      #expect(summary.seconds >= 0.5, "\(summary.seconds)")
      #expect(!program.child.hasEnded)
    }
  }
}
