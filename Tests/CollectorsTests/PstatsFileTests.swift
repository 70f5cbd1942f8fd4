// Exported pstats files load in every CPython found here and in the programs people open them with.

import Foundation
import Profiles
import Testing

@testable import Collectors

/// What `load_pstats.py` found in a file.
private struct Loaded: Decodable {
  struct Entry: Decodable, Equatable {
    let file: String
    let line: Int
    let name: String
    let counts: [UInt64]
    let times: [Double]
    let callers: [Caller]

    init(_ entry: PstatsCollector.Entry, in collector: PstatsCollector, _ form: PstatsCollector.Form) {
      (file, line, name) = (entry.function.file, Int(entry.function.line), entry.function.name)
      counts = [entry.cc, entry.nc]
      times = [entry.tt, entry.ct]
      callers = entry.callers.map { Caller($0, in: collector, form) }.sorted { $0.order < $1.order }
    }

    init(from decoder: any Decoder) throws {
      var fields = try decoder.unkeyedContainer()
      var key = try fields.nestedUnkeyedContainer()
      (file, line, name) = (
        try key.decode(String.self), try key.decode(Int.self), try key.decode(String.self)
      )
      var values = try fields.nestedUnkeyedContainer()
      counts = [try values.decode(UInt64.self), try values.decode(UInt64.self)]
      times = [try values.decode(Double.self), try values.decode(Double.self)]
      callers = try fields.decode([Caller].self).sorted { $0.order < $1.order }
    }

    var order: String { "\(file)|\(line)|\(name)" }
  }

  struct Caller: Decodable, Equatable {
    let order: String
    let counts: [UInt64]
    let times: [Double]

    init(_ caller: PstatsCollector.Caller, in collector: PstatsCollector, _ form: PstatsCollector.Form) {
      let function = collector.entries[caller.entry].function
      order = "\(function.file)|\(function.line)|\(function.name)"
      counts = form == .compatible ? [caller.nc, caller.cc] : [caller.nc]
      times = form == .compatible ? [caller.tt, caller.ct] : []
    }

    init(from decoder: any Decoder) throws {
      var fields = try decoder.unkeyedContainer()
      var key = try fields.nestedUnkeyedContainer()
      let file = try key.decode(String.self)
      let line = try key.decode(Int.self)
      order = "\(file)|\(line)|\(try key.decode(String.self))"
      var values = try fields.nestedUnkeyedContainer()
      let first = try values.decode(UInt64.self)
      if values.isAtEnd {
        (counts, times) = ([first], [])
      } else {
        counts = [first, try values.decode(UInt64.self)]
        times = [try values.decode(Double.self), try values.decode(Double.self)]
      }
    }
  }

  let entries: [Entry]
  let report: String
  let kind: String
}

@Suite("Pstats files")
struct PstatsFileTests {
  private func load(
    _ profile: Profile, with python: Python, grouping: PstatsCollector.Grouping = .line,
    form: PstatsCollector.Form = .compatible
  ) throws -> Loaded {
    let folder = try TemporaryFolder()
    let (file, result) = (folder.path + "/made.pstats", folder.path + "/result.json")
    try PstatsCollector(profile, grouping: grouping).export(to: file, form: form)
    let output = try python.run([Python.program("load_pstats.py"), file, result])
    try #require(output.status == 0, "\(output.standardError)")
    return try JSONDecoder().decode(Loaded.self, from: Data(contentsOf: URL(fileURLWithPath: result)))
  }

  private func expect(
    _ loaded: Loaded, equals profile: Profile, grouping: PstatsCollector.Grouping = .line,
    form: PstatsCollector.Form = .compatible
  ) {
    let collector = PstatsCollector(profile, grouping: grouping)
    let expected = collector.entries.map { Loaded.Entry($0, in: collector, form) }
    #expect(loaded.entries.sorted { $0.order < $1.order } == expected.sorted { $0.order < $1.order })
    #expect(loaded.kind == (form == .sampled ? "SampledStats" : "Stats"))
  }

  @Test("There is an interpreter to test with")
  func found() { #expect(!Python.all.isEmpty) }

  @Test("Every interpreter reads every value and prints every report", arguments: Python.all)
  func loads(_ python: Python) throws {
    let recursive = try load(.recursive, with: python)
    expect(recursive, equals: .recursive)
    #expect(recursive.report.contains("4/1"), "ncalls are cumulative/direct")
    expect(try load(.deep, with: python), equals: .deep)
    let mixed = try load(.mixed, with: python)
    expect(mixed, equals: .mixed)
    for name in ["Läufer.übergib.<locals>.λ", "蛇", "ns::dot<double>", "{native stack cut off}"] {
      #expect(mixed.report.contains(name))
    }
  }

  @Test("Every interpreter reads a file that is grouped by function", arguments: Python.all)
  func loadsFunctions(_ python: Python) throws {
    let loaded = try load(.lines, with: python, grouping: .function)
    expect(loaded, equals: .lines, grouping: .function)
    for line in ["work.py:3(work)", "main.py:1(<module>)", "libfit.so:0(fit)", "{lost}"] {
      #expect(loaded.report.contains(line))
    }
  }

  @Test("Native and kernel rows sort, print and lose their folders as others do", arguments: Python.all)
  func nativeRows(_ python: Python) throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/made.pstats"
    var profile = Profile.mixed
    profile.add([.native("", "[unmapped]"), .native("/usr/bin/python3.12", "_start")], count: 3)
    try PstatsCollector(profile).export(to: file)
    let program = """
      from __future__ import print_function
      import json, pstats, sys
      names = {}
      for order in ["stdname", "nfl", "line", "name", "module", "calls", "pcalls", "time", "cumulative"]:
          stats = pstats.Stats(sys.argv[1]).strip_dirs().sort_stats(order)
          names[order] = [pstats.func_std_string(key) for key in stats.fcn_list if key[1] == 0]
      stats.print_stats("so|kernel|unmapped|python3")
      print(json.dumps(names))
      """
    let output = try python.run(["-c", program, file])
    try #require(output.status == 0, "\(output.standardError)")
    let lines = output.standardOutput.split(separator: "\n").map(String.init)
    let dot = "libblas.so.3:0(void ns::dot<double>(double const*, int))"
    let (fault, start) = ("[kernel]:0(asm_exc_page_fault)", "python3.12:0(_start)")
    #expect(
      lines.filter { $0.hasPrefix("   ") && $0.contains(".0") && !$0.contains("calls") } == [
        "     11/0    0.000    0.000    0.011          \(start)",
        "      7/5    0.005    0.001    0.007    0.001 \(dot)",
        "        3    0.003    0.001    0.003    0.001 {unmapped}",
        "        2    0.002    0.001    0.002    0.001 \(fault)",
      ])
    let names = try JSONDecoder().decode([String: [String]].self, from: Data((lines.last ?? "").utf8))
    #expect(names["stdname"] == [fault, dot, start, "{native stack cut off}", "{unmapped}"])
    #expect(names["module"] == [fault, dot, start, "{native stack cut off}", "{unmapped}"])
    #expect(names["time"]?.first == dot)
    #expect(names["cumulative"] == [start, dot, "{native stack cut off}", "{unmapped}", fault])
    #expect(names.values.allSatisfy { $0.count == 5 })
  }

  @Test(
    "CPython's reader of sampled profiles reads every value and prints every report",
    .enabled(if: Python.withSampling != nil || Python.isRequired, Python.withoutSampling),
    arguments: PstatsCollector.Form.allCases, PstatsCollector.Grouping.allCases)
  func sampled(_ form: PstatsCollector.Form, _ grouping: PstatsCollector.Grouping) throws {
    let python = try #require(Python.withSampling, Python.withoutSampling)
    for profile in [Profile.recursive, .deep, .mixed, .lines] {
      let loaded = try load(profile, with: python, grouping: grouping, form: form)
      expect(loaded, equals: profile, grouping: grouping, form: form)
    }
    let report = try load(.mixed, with: python, form: form).report
    #expect(report.contains(" nsamples  tottime persample cumtime") == (form == .sampled))
    #expect(report.contains("libblas.so.3:0(void ns::dot<double>(double const*, int))"))
  }

  @Test("Counts beyond 32 bits keep every digit", arguments: Python.all)
  func bigCounts(_ python: Python) throws {
    let bounds: [UInt64] = [
      0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 45, (1 << 45) - 1, 1 << 60, .max >> 1,
    ]
    let profile = Profile(bounds.enumerated().map { ([.python("a.py", Int32($0 + 1), "f")], $1) })
    expect(try load(profile, with: python), equals: profile)
    let greatest = Profile([([.python("a.py", 1, "f")], .max)])
    expect(try load(greatest, with: python), equals: greatest)
  }

  @Test(
    "The programs people open profiles with show the same numbers",
    .enabled(
      if: Python.readers != nil || Python.isRequired,
      """
      CADUCEUS_READERS_PYTHON does not name a Python with the packages of \
      Tests/Programs/readers-requirements.txt
      """))
  func readers() throws {
    let python = try #require(Python.readers, "CADUCEUS_READERS_PYTHON must be set where CI is")
    let module = MadeFrame.python("/srv/main.py", 9, "<module>")
    let dot = MadeFrame.native("/usr/lib/libblas.so.3", "ns::dot<double>(double const*, int)")
    let fault = MadeFrame.kernel("asm_exc_page_fault")
    let profile = Profile(
      period: 1_000_000, [([dot, module], 50), ([fault, dot, module], 20), ([module], 30)])
    struct Answer: Decodable {
      let snakevizRows: [String: [String]]
      let snakevizChildren: [String: [String]]
      let gprof2dotFunctions: [String]
      let gprof2dotCalls: Int
      let gprof2dotEdges: Int
      let tunaRoot: String
      let tunaTime: Double
      let flameprofStacks: [String: Int]
      let flameprofBlocks: Int
      let calltree: [String: [Int]]
    }
    let answer: Answer = try open(profile, with: python)
    let names = ["/srv/main.py:9(<module>)", "/usr/lib/libblas.so.3:0(ns::dot<double>(double const*, int))"]
    #expect(
      answer.snakevizRows == [
        names[0]: ["100/30", "0.03", "0.1"],
        names[1]: ["70/50", "0.05", "0.07"],
        "[kernel]:0(asm_exc_page_fault)": ["20", "0.02", "0.02"],
      ])
    #expect(
      answer.snakevizChildren == [
        names[0]: [names[1]], names[1]: ["[kernel]:0(asm_exc_page_fault)"],
        "[kernel]:0(asm_exc_page_fault)": [],
      ])
    #expect(
      answer.gprof2dotFunctions == [
        "[kernel]:0:asm_exc_page_fault", "libblas.so:0:ns::dot<double>(double const*, int)",
        "main:9:<module>",
      ])
    #expect(answer.gprof2dotCalls == 2)
    #expect(answer.gprof2dotEdges == 2)
    #expect(answer.tunaRoot == "/srv/main.py::9::<module>")
    #expect(abs(answer.tunaTime - 0.1) < 1e-9)
    let keys = ["/srv/main.py:9:<module>", "/usr/lib/libblas.so.3:0:ns::dot<double>(double const*, int)"]
    #expect(
      answer.flameprofStacks == [
        keys[0]: 30_000, keys.joined(separator: ";"): 50_000,
        (keys + ["[kernel]:0:asm_exc_page_fault"]).joined(separator: ";"): 20_000,
      ])
    // The graph from the roots, and that from each function to its callers.
    #expect(answer.flameprofBlocks == 3 + (1 + 2 + 3))
    let functions = ["/srv/main.py:<module>", "/usr/lib/libblas.so.3:ns::dot<double>(double const*, int)"]
    #expect(
      answer.calltree == [
        functions[0]: [30_000_000], "\(functions[0]) -> \(functions[1])": [70, 70_000_000],
        functions[1]: [50_000_000],
        "\(functions[1]) -> [kernel]:asm_exc_page_fault": [20, 20_000_000],
        "[kernel]:asm_exc_page_fault": [20_000_000],
      ])

    struct Opened: Decodable { let gprof2dotCalls: Int }
    for profile in [Profile.recursive, .deep, .mixed, .lines] {
      for grouping in PstatsCollector.Grouping.allCases {
        let opened: Opened = try open(profile, with: python, grouping: grouping)
        let entries = PstatsCollector(profile, grouping: grouping).entries
        #expect(opened.gprof2dotCalls == entries.map(\.callers.count).reduce(0, +))
      }
    }
  }

  private func open<Answer: Decodable>(
    _ profile: Profile, with python: Python, grouping: PstatsCollector.Grouping = .line
  ) throws -> Answer {
    let folder = try TemporaryFolder()
    let file = folder.path + "/made.pstats"
    try PstatsCollector(profile, grouping: grouping).export(to: file)
    let output = try python.run([Python.program("load_in_readers.py"), file])
    try #require(output.status == 0, "\(output.standardError)")
    return try JSONDecoder().decode(Answer.self, from: Data(output.standardOutput.utf8))
  }
}
