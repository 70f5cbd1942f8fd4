// What Google's own pprof makes of an exported file.

import Foundation
import Profiles
import Testing

@testable import Collectors

enum PprofProgram {
  /// Where build_pprof.sh put it.
  static let path = ProcessInfo.processInfo.environment["CADUCEUS_PPROF"]
}

@Suite(
  "The program pprof",
  .enabled(
    if: PprofProgram.path != nil || Python.isRequired,
    "CADUCEUS_PPROF does not name a pprof (build_pprof.sh)"))
struct PprofProgramTests {
  /// What it prints about `profile`, without a network and without a home to keep files in.
  private func pprof(_ profile: Profile, _ options: [String]) throws -> String {
    let program = try #require(PprofProgram.path, "CADUCEUS_PPROF must be set where CI is")
    let folder = try TemporaryFolder()
    let file = folder.path + "/made.pb.gz"
    try PprofCollector(profile).export(to: file)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = options + [file]
    process.environment = ["HOME": folder.path, "PPROF_TMPDIR": folder.path, "PATH": "/usr/bin:/bin"]
    let (output, errors) = (Pipe(), Pipe())
    process.standardOutput = output
    process.standardError = errors
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let text = output.fileHandleForReading.readDataToEndOfFile()
    let complaint = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(String(decoding: complaint, as: UTF8.self))")
    return String(decoding: text, as: UTF8.self)
  }

  /// Flat and cumulative value of each row of a table.
  private func table(_ text: String) -> [String: [String]] {
    var rows: [String: [String]] = [:]
    for line in text.split(separator: "\n").drop(while: { !$0.contains("flat%") }).dropFirst() {
      let words = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
      if words.count == 6 {
        rows[String(words[5].drop { $0 == " " })] = [String(words[0]), String(words[3])]
      }
    }
    return rows
  }

  @Test("CPU time per function, flat and cumulative")
  func time() throws {
    let text = try pprof(.run, ["-top", "-nodecount=50", "-unit=ms"])
    #expect(
      table(text) == [
        "work": ["4ms", "8ms"], "<module>": ["1ms", "6ms"], "_start": ["0", "6ms"], "solve": ["2ms", "3ms"],
        "dot<double>(double*)": ["1ms", "2ms"], "asm_exc_page_fault": ["1ms", "1ms"],
        "[no frames]": ["1ms", "1ms"],
        "[unproven frames]": ["0", "3ms"],
      ])
    // The header: main program, kind, start and duration, and the comments without `#`.
    #expect(text.contains("File: python3.12\n"))
    #expect(text.contains("Type: cpu\n"))
    #expect(text.contains("Duration: 20ms"))
    #expect(text.contains("Command: /usr/bin/python3 fit.py --all\n"))
    #expect(text.contains("Kept: 10 samples"))
    #expect(!text.contains("ledger"))
  }

  @Test("Samples per line")
  func lines() throws {
    let text = try pprof(.run, ["-top", "-nodecount=50", "-lines", "-sample_index=samples"])
    let rows = table(text)
    #expect(rows["work /srv/fit.py:4"] == ["3", "7"])
    #expect(rows["work /srv/fit.py:5"] == ["1", "2"])
    #expect(rows["<module> /srv/fit.py:9"] == ["1", "6"])
  }

  @Test("Samples per thread, by label")
  func labels() throws {
    let text = try pprof(.run, ["-tags", "-sample_index=samples"])
    #expect(text.contains("python3") && text.contains("worker"))
    let worker = try pprof(
      .run, ["-top", "-nodecount=50", "-sample_index=samples", "-tagfocus=thread=worker"])
    #expect(table(worker)["dot<double>(double*)"] == ["1", "1"])
    #expect(table(worker)["asm_exc_page_fault"] == nil)
    // A number is looked for in labels that are numbers.
    let main = try pprof(.run, ["-top", "-nodecount=50", "-sample_index=samples", "-tagfocus=tid=4711"])
    #expect(table(main)["asm_exc_page_fault"] == ["1", "1"])
  }

  @Test("Everything else is kept by a merge of the file with itself")
  func raw() throws {
    let text = try pprof(.run, ["-raw"])
    #expect(text.contains("PeriodType: cpu nanoseconds\nPeriod: 1000000\n"))
    #expect(text.contains("samples/count cpu/nanoseconds[dflt]\n"))
    #expect(text.contains("0x400000/0x500000/0x0 /usr/bin/python3.12"))
    #expect(text.contains("/usr/lib/libfit.so 00112233445566778899aabbccddeeff01020304 [FN]"))
  }
}
