// What CPython's own sampling profiler prints for the same stacks, byte for byte. `make golden` writes the files.

import Accounting
import Foundation
import Profiles
import Testing

@testable import Collectors

/// Tables and files that `cpython_sampling.py` makes, from one description of stacks.
private struct Cases: Codable {
  /// A stack as it is written down.
  struct Stack: Codable {
    let count: UInt64
    let thread: Int32
    let frames: [MadeFrame]

    init(count: UInt64, thread: Int32 = 1, frames: [MadeFrame]) {
      (self.count, self.thread, self.frames) = (count, thread, frames)
    }

    init(from decoder: any Decoder) throws {
      var fields = try decoder.unkeyedContainer()
      count = try fields.decode(UInt64.self)
      thread = try fields.decode(Int32.self)
      var frames: [MadeFrame] = []
      var list = try fields.nestedUnkeyedContainer()
      while !list.isAtEnd {
        var frame = try list.nestedUnkeyedContainer()
        switch try frame.decode(String.self) {
        case "python":
          frames.append(
            try .python(
              frame.decode(String.self), frame.decode(Int32.self), frame.decode(String.self)))
        case "native": frames.append(try .native(frame.decode(String.self), frame.decode(String.self)))
        default: frames.append(try .marker(frame.decode(String.self)))
        }
      }
      self.frames = frames
    }

    /// Frames of Python only.
    func encode(to encoder: any Encoder) throws {
      var fields = encoder.unkeyedContainer()
      try fields.encode(count)
      try fields.encode(thread)
      var list = fields.nestedUnkeyedContainer()
      for made in frames {
        var frame = list.nestedUnkeyedContainer()
        try frame.encode("python")
        try frame.encode(made.file)
        try frame.encode(made.line)
        try frame.encode(made.name)
      }
    }
  }

  struct Case: Codable, CustomTestStringConvertible {
    let name: String
    let profile: String
    var interval: UInt64?
    var sort: Int?
    var limit: Int?
    var summary: Bool?
    var colors: Bool?
    var mode: String?
    var format: String?

    var testDescription: String { name }
  }

  var profiles: [String: [Stack]]
  var cases: [Case]

  static let folder = Python.tests + "/Goldens"

  static let golden: Cases = {
    do {
      let data = try Data(contentsOf: URL(fileURLWithPath: folder + "/cases.json"))
      return try JSONDecoder().decode(Cases.self, from: data)
    } catch {
      fatalError("\(folder)/cases.json: \(error)")
    }
  }()

  func profile(of one: Case) -> Profile {
    var profile = Profile()
    profile.header.period = (one.interval ?? 1000) * 1000
    for stack in profiles[one.profile] ?? [] {
      let known = profile.threads.firstIndex { $0.tid == stack.thread }
      if known == nil { profile.threads.append(ProfiledThread(tid: stack.thread, name: "")) }
      profile.add(stack.frames, thread: known ?? profile.threads.count - 1, count: stack.count)
    }
    return profile
  }

  func table(of one: Case) -> String {
    var options = StatsTable.Options()
    options.sort = StatsTable.SortKey(rawValue: one.sort ?? 2) ?? .cumtime
    options.limit = one.limit
    options.showsSummary = one.summary ?? true
    options.usesColors = one.colors ?? false
    options.countsCPUTime = one.mode != "wall"
    return StatsTable(PstatsCollector(profile(of: one)), options: options).text
  }

  func collapsed(of one: Case) -> String {
    String(
      decoding: CollapsedStackCollector(profile(of: one), showsThreads: true).exported(), as: UTF8.self)
  }

  /// Puts what CPython makes of the cases into `folder`.
  func make(in folder: TemporaryFolder, by python: Python) throws {
    let path = folder.path + "/cases.json"
    try JSONEncoder().encode(self).write(to: URL(fileURLWithPath: path))
    try Self.make(path, in: folder, by: python)
  }

  static func make(_ path: String, in folder: TemporaryFolder, by python: Python) throws {
    let output = try python.run([Python.program("cpython_sampling.py"), path, folder.path])
    try #require(output.status == 0, "\(output.standardError)")
  }

  static func read(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
  }
}

/// Always the same numbers, so that a failure can be seen again.
private struct Dice {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func roll(_ sides: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % sides
  }
}

@Suite("What CPython prints")
struct GoldenTests {
  private static let tables = Cases.golden.cases.filter { $0.format == nil && $0.name != "unsafe-names" }

  private func golden(_ name: String) throws -> String { try Cases.read("\(Cases.folder)/\(name).txt") }

  /// Compares bytes: strings are equal, too, where only the spelling of a character differs.
  private func expect(_ text: String, equals expected: String) {
    #expect(text == expected)
    #expect(Array(text.utf8) == Array(expected.utf8))
  }

  @Test("Every table is CPython's", arguments: tables)
  private func table(_ one: Cases.Case) throws {
    expect(Cases.golden.table(of: one), equals: try golden(one.name))
  }

  @Test("There is a golden file for each case, and no other")
  func files() throws {
    let names = try FileManager.default.contentsOfDirectory(atPath: Cases.folder)
    let cases = Cases.golden.cases.map { $0.name + ".txt" }
    #expect(names.filter { $0 != "cases.json" }.sorted() == cases.sorted())
    let sorts = Cases.golden.cases.compactMap(\.sort)
    #expect(Set(sorts) == Set(StatsTable.SortKey.allCases.map(\.rawValue)))
  }

  @Test("The table differs from CPython's where a name is unsafe, and where a colon tears one apart")
  func differences() throws {
    let one = try #require(Cases.golden.cases.first { $0.name == "unsafe-names" })
    let expected = try golden(one.name)
      .replacing("a\u{1B}[2Jb.py", with: "a\\x1b[2Jb.py")
      .replacing("libfit.so:fit::(solve(double))", with: "libfit.so:(fit::solve(double))")
    expect(Cases.golden.table(of: one), equals: expected)
  }

  @Test("The closing words are CPython's, with the percent sign of its first version")
  func summary() throws {
    var ledger = Ledger()
    ledger.period = 1_000_000
    ledger.targetCPU = 10_000_000_000
    ledger.whole = 9985
    ledger.empty = 20
    let text = SamplingSummary(ledger: ledger, duration: 10_000_000_000, threads: 1).text
    expect(
      text, equals: try golden("summary").replacing("Error rate: 0.20\n", with: "Error rate: 0.20%\n"))
  }

  @Test("Collapsed stacks with threads are CPython's", arguments: ["collapsed", "collapsed-empty"])
  func collapsed(_ name: String) throws {
    let one = try #require(Cases.golden.cases.first { $0.name == name })
    expect(Cases.golden.collapsed(of: one), equals: try golden(name))
  }

  @Test("Without threads the lines are CPython's, those of all threads added up")
  func collapsedWithoutThreads() throws {
    let one = try #require(Cases.golden.cases.first { $0.name == "collapsed" })
    var counts: [Substring: Int] = [:]
    for line in try golden("collapsed").split(separator: "\n") {
      let space = try #require(line.lastIndex(of: " "))
      let stack = line[..<space].drop { $0 != ";" }.dropFirst()
      counts[stack, default: 0] += try #require(Int(line[line.index(after: space)...]))
    }
    let lines = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)\n" }
    let profile = Cases.golden.profile(of: one)
    expect(
      String(decoding: CollapsedStackCollector(profile).exported(), as: UTF8.self), equals: lines.joined())
  }

  @Test(
    "The golden files are what CPython prints now",
    .enabled(if: Python.withSampling != nil || Python.isRequired, Python.withoutSampling))
  func current() throws {
    let python = try #require(Python.withSampling, Python.withoutSampling)
    let folder = try TemporaryFolder()
    try Cases.make(Cases.folder + "/cases.json", in: folder, by: python)
    for one in Cases.golden.cases {
      expect(try golden(one.name), equals: try Cases.read("\(folder.path)/\(one.name).txt"))
    }
  }

  @Test(
    "Random profiles give CPython's tables, collapsed stacks, pstats files and JSON lines",
    .enabled(if: Python.withSampling != nil || Python.isRequired, Python.withoutSampling))
  func random() throws {
    let python = try #require(Python.withSampling, Python.withoutSampling)
    let random = Self.randomCases
    let folder = try TemporaryFolder()
    try random.make(in: folder, by: python)
    for one in random.cases {
      let path = "\(folder.path)/\(one.name)"
      switch one.format {
      case "pstats":
        try PstatsCollector(random.profile(of: one)).export(to: path + ".ours", form: .sampled)
        let output = try python.run(["-c", Self.sameEntries, path + ".ours", path + ".pstats"])
        #expect(output.status == 0, "\(one.name): \(output.standardError)")
      case "jsonl":
        try JsonlCollector(random.profile(of: one)).export(to: path + ".ours")
        let output = try python.run(["-c", Self.sameRecords, path + ".ours", path + ".jsonl"])
        #expect(output.status == 0, "\(one.name): \(output.standardError)")
      case "collapsed": expect(random.collapsed(of: one), equals: try Cases.read(path + ".txt"))
      default: expect(random.table(of: one), equals: try Cases.read(path + ".txt"))
      }
    }
  }

  /// Compares two marshalled dictionaries: values to the last bit, the order of entries and of callers.
  private static let sameEntries = """
    import marshal, sys
    def order(path):
        with open(path, "rb") as file:
            entries = marshal.load(file)
        assert entries, "empty"
        return [(k, v if v is True else (*v[:4], list(v[4].items()))) for k, v in entries.items()]
    ours, theirs = map(order, sys.argv[1:])
    for one, other in zip(ours, theirs):
        assert repr(one) == repr(other), (one, other)
    assert len(ours) == len(theirs)
    """

  /// Compares two files of JSON lines, but for what tells runs apart and what CPython's reader is told to skip.
  private static let sameRecords = """
    import json, sys
    def records(path):
        with open(path, encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
        assert found, "empty"
        for record in found:
            assert len(record.pop("run_id")) == 32
            record.pop("caduceus", None)
        return [json.dumps(record) for record in found]
    ours, theirs = map(records, sys.argv[1:])
    for one, other in zip(ours, theirs):
        assert one == other, (one, other)
    assert len(ours) == len(theirs)
    """

  private static var randomCases: Cases {
    var dice = Dice(seed: 1)
    var random = Cases(profiles: [:], cases: [])
    let folders = ["/a/", "/b/", "", "/größe/"]
    for round in 0..<40 {
      var stacks: [Cases.Stack] = []
      // In a file of collapsed stacks CPython gives two lines to files that differ only in their folder.
      let sameNames = round % 2 == 0
      // Few functions: a stack holds the same pair of caller and callee several times.
      let functions = round % 4 < 2 ? 2 : 5
      for _ in 0..<(5 + dice.roll(40)) {
        let frames = (0...dice.roll(8)).map { _ in
          let folder = sameNames ? folders[dice.roll(4)] : "/a/"
          return MadeFrame.python(
            folder + "m'\(dice.roll(functions / 2))\".py", Int32(dice.roll(functions * 2)),
            "蛇_f\(dice.roll(functions))")
        }
        let count = UInt64(1 + dice.roll(round % 3 == 0 ? 5 : 4000))
        stacks.append(Cases.Stack(count: count, thread: Int32(1 + dice.roll(3)), frames: frames))
      }
      let name = "\(round)"
      let interval: UInt64 = [100, 1000, 333, 10_000][dice.roll(4)]
      random.profiles[name] = stacks
      random.cases += [
        Cases.Case(
          name: "table-\(name)", profile: name, interval: interval, sort: dice.roll(7) - 1,
          limit: [nil, 15, 3][dice.roll(3)], summary: dice.roll(4) > 0, colors: dice.roll(4) == 0),
        Cases.Case(name: "pstats-\(name)", profile: name, interval: interval, format: "pstats"),
        Cases.Case(name: "jsonl-\(name)", profile: name, interval: interval, mode: "cpu", format: "jsonl"),
      ]
      if !sameNames {
        random.cases.append(Cases.Case(name: "collapsed-\(name)", profile: name, format: "collapsed"))
      }
    }
    return random
  }
}
