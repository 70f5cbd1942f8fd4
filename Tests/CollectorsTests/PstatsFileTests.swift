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

    init(_ entry: PstatsCollector.Entry, in collector: PstatsCollector) {
      (file, line, name) = (entry.function.file, Int(entry.function.line), entry.function.name)
      counts = [entry.cc, entry.nc]
      times = [entry.tt, entry.ct]
      callers = entry.callers.map { Caller($0, in: collector) }.sorted { $0.order < $1.order }
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

    init(_ caller: PstatsCollector.Caller, in collector: PstatsCollector) {
      let function = collector.entries[caller.entry].function
      order = "\(function.file)|\(function.line)|\(function.name)"
      (counts, times) = ([caller.nc, caller.cc], [caller.tt, caller.ct])
    }

    init(from decoder: any Decoder) throws {
      var fields = try decoder.unkeyedContainer()
      var key = try fields.nestedUnkeyedContainer()
      let file = try key.decode(String.self)
      let line = try key.decode(Int.self)
      order = "\(file)|\(line)|\(try key.decode(String.self))"
      var values = try fields.nestedUnkeyedContainer()
      counts = [try values.decode(UInt64.self), try values.decode(UInt64.self)]
      times = [try values.decode(Double.self), try values.decode(Double.self)]
    }
  }

  let entries: [Entry]
  let report: String
}

@Suite("Pstats files")
struct PstatsFileTests {
  private func load(_ profile: Profile, with python: Python) throws -> Loaded {
    let folder = try TemporaryFolder()
    let (file, result) = (folder.path + "/made.pstats", folder.path + "/result.json")
    try PstatsCollector(profile).export(to: file)
    let output = try python.run([Python.program("load_pstats.py"), file, result])
    try #require(output.status == 0, "\(output.standardError)")
    return try JSONDecoder().decode(Loaded.self, from: Data(contentsOf: URL(fileURLWithPath: result)))
  }

  private func expect(_ loaded: Loaded, equals profile: Profile) {
    let collector = PstatsCollector(profile)
    let expected = collector.entries.map { Loaded.Entry($0, in: collector) }
    #expect(loaded.entries.sorted { $0.order < $1.order } == expected.sorted { $0.order < $1.order })
  }

  @Test("There is an interpreter to test with")
  func found() { #expect(!Python.all.isEmpty) }

  @Test("Every interpreter reads every value and prints every report", arguments: Python.all)
  func loads(_ python: Python) throws {
    let recursive = try load(.recursive, with: python)
    expect(recursive, equals: .recursive)
    #expect(recursive.report.contains("4/1"), "ncalls are cumulative/direct")
    let mixed = try load(.mixed, with: python)
    expect(mixed, equals: .mixed)
    for name in ["Läufer.übergib.<locals>.λ", "蛇", "ns::dot<double>", "{native stack cut off}"] {
      #expect(mixed.report.contains(name))
    }
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

    struct Opened: Decodable { let gprof2dotCalls: Int }
    for profile in [Profile.recursive, .mixed] {
      let opened: Opened = try open(profile, with: python)
      #expect(opened.gprof2dotCalls == PstatsCollector(profile).entries.map(\.callers.count).reduce(0, +))
    }
  }

  private func open<Answer: Decodable>(_ profile: Profile, with python: Python) throws -> Answer {
    let folder = try TemporaryFolder()
    let file = folder.path + "/made.pstats"
    try PstatsCollector(profile).export(to: file)
    let output = try python.run([Python.program("load_in_readers.py"), file])
    try #require(output.status == 0, "\(output.standardError)")
    return try JSONDecoder().decode(Answer.self, from: Data(output.standardOutput.utf8))
  }
}
