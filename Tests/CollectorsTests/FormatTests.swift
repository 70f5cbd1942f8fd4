// What other programs find in the files that are made for them; the expected values are written down by hand.

import Foundation
import Profiles
import Testing

@testable import Collectors

@Suite("Files for other programs", .enabled(if: Python.readers != nil || Python.isRequired, withoutReaders))
struct FormatTests {
  /// Of `Profile.run`, per file, function and line.
  private static let own: Set<OwnRow> = [
    OwnRow("/srv/fit.py", "<module>", 9, 1), OwnRow("/usr/lib/libfit.so", "solve", 0, 2),
    OwnRow("/usr/lib/libfit.so", "dot<double>(double*)", 0, 1), OwnRow("/srv/fit.py", "work", 4, 3),
    OwnRow("[kernel]", "asm_exc_page_fault", 0, 1), OwnRow("/srv/fit.py", "work", 5, 1),
  ]

  private static let withoutFrames: Set<OwnRow> = [OwnRow("", "[no frames]", 0, 1)]

  private static let ledger: [String: Int64] = [
    "runs": 13, "emitted": 11, "ring_full": 2, "records_read": 11, "kept": 10, "whole": 7, "damaged": 3,
    "dropped": 1, "period_ns": 1_000_000, "events_per_thread": 1, "target_cpu_ns": 14_000_000,
    "dropped.malformed_record": 1,
    "damaged.join_mismatch": 3, "remark.guessed_native_frame": 4, "expected": 14, "unfired": -13,
  ]

  private func expectLedger(_ ledger: [String: Int64], _ format: String) {
    #expect(ledger.filter { $0.value != 0 } == Self.ledger, "\(format)")
    #expect(ledger.count > 40, "\(format)")
  }

  @Test("speedscope: stacks in the order of time, with CPU time as weight")
  func speedscope() throws {
    let file = try #require(try ReadFormats(.run).speedscope)
    #expect(file.total == 10_000_000)
    #expect(file.unit == "nanoseconds")
    #expect(
      Set(file.own)
        == Set(
          Self.own.union(Self.withoutFrames).map { OwnRow($0.file, $0.name, $0.line, $0.count * 1_000_000) }))
    #expect(file.threads == ["python3 (4711)": 7_000_000, "worker (4712)": 3_000_000])
    #expect(file.active == "python3 (4711)")
    typealias Stack = ReadSpeedscope.Stack
    #expect(
      file.order["python3 (4711)"] == [
        Stack(["_start", "<module>"], 1_000_000), Stack(["_start", "<module>", "work", "solve"], 2_000_000),
        Stack(["[unproven frames]", "work"], 2_000_000),
        Stack(["_start", "<module>", "work", "dot<double>(double*)", "asm_exc_page_fault"], 1_000_000),
        Stack(["[unproven frames]", "work"], 1_000_000),
      ])
    #expect(
      file.order["worker (4712)"]?.map(\.names.last) == ["dot<double>(double*)", "[no frames]", "work"])
    expectLedger(file.ledger, "speedscope")
    #expect(file.run.command == "/usr/bin/python3 fit.py --all")
    #expect(file.run.interpreter == "CPython 3.12.1")
    #expect(file.run.pid == 4711)
    #expect(file.run.period_ns == 1_000_000)
    #expect(file.run.start_time_ns == 1_700_000_000_123_456_789)
    #expect(file.run.duration_ns == 20_000_000)
  }

  @Test("speedscope: without a time line, and without a period, each stack stands once")
  func speedscopeStacks() throws {
    let file = try #require(try ReadFormats(.recursive).speedscope)
    typealias Stack = ReadSpeedscope.Stack
    #expect(
      file.order == [
        "main (1)": [
          Stack(["<module>", "rec", "rec", "leaf"], 300_000), Stack(["<module>", "rec"], 100_000),
        ]
      ])
    var profile = Profile.recursive
    profile.header.period = 0
    let plain = try #require(try ReadFormats(profile).speedscope)
    #expect(plain.unit == "none")
    #expect(plain.total == 4)
  }

  @Test("Firefox Profiler: moments, categories by language, modules, losses and doubts")
  func gecko() throws {
    let file = try #require(try ReadFormats(.run).gecko)
    #expect(file.total == 10)
    #expect(Set(file.own) == Self.own.union(Self.withoutFrames))
    #expect(file.interval == 1)
    #expect(file.startTime == 1_700_000_000_123.456789)
    #expect(file.endTime == 20)
    #expect(file.cpuUnit == "\u{B5}s")
    let threads = file.threads
    #expect(threads.map(\.name) == ["python3", "worker"])
    #expect(threads.map(\.tid) == [4711, 4712])
    #expect(threads.map(\.pid) == ["4711", "4711"])
    #expect(threads.map(\.isMainThread) == [true, false])
    #expect(threads.map(\.times) == [[1, 2, 3, 5, 6, 9, 11], [3, 12, 14]])
    #expect(threads.map(\.cpu) == [Array(repeating: 1000, count: 7), Array(repeating: 1000, count: 3)])
    #expect(
      threads.first?.first.prefix(3) == [
        ["_start", "<module>"], ["_start", "<module>", "work", "solve"],
        ["_start", "<module>", "work", "solve"],
      ])
    typealias Marker = ReadGecko.Marker
    #expect(
      threads.map(\.markers) == [
        [
          Marker("Loss", "samples lost: no room in the ring", 2, 0, 20),
          Marker("Loss", "samples dropped: a malformed record", 1, 0, 20),
          Marker("Doubt", "[unproven frames]", 2, 5, 7), Marker("Doubt", "[unproven frames]", 1, 11, 12),
        ], [],
      ])
    #expect(
      file.categories == [
        "/srv/fit.py\t<module>": "Python", "/srv/fit.py\twork": "Python", "/usr/lib/libfit.so\tsolve": "C",
        "/usr/lib/libfit.so\tdot<double>(double*)": "C++", "[kernel]\tasm_exc_page_fault": "Kernel",
        "\t[no frames]": "Marker",
      ])
    #expect(
      file.libs == [
        ["/usr/bin/python3.12", "", nil],
        // Google's Breakpad, "Symbol files": the first 16 bytes as a GUID, and an age.
        [
          "/usr/lib/libfit.so", "33221100554477668899AABBCCDDEEFF0",
          "00112233445566778899aabbccddeeff01020304",
        ],
        ["[kernel]", "", nil],
      ])
    expectLedger(file.ledger, "gecko")
    #expect(file.accounting["Kept"]?.hasPrefix("10 samples, 7 whole") == true)
  }

  @Test("Firefox Profiler: without a time line, stacks have weights")
  func geckoStacks() throws {
    let file = try #require(try ReadFormats(.recursive).gecko)
    #expect(file.threads.map(\.times) == [[0, 0.3]])
    #expect(file.threads.map(\.cpu) == [nil])
    #expect(Set(file.own) == [OwnRow("/srv/app.py", "leaf", 3, 3), OwnRow("/srv/app.py", "rec", 7, 1)])
    var odd = Profile.run
    odd.header.period = 999_999
    let nanoseconds = try #require(try ReadFormats(odd).gecko)
    #expect(nanoseconds.cpuUnit == "ns")
    #expect(nanoseconds.threads[1].cpu == [999_999, 999_999, 999_999])
  }

  @Test("pprof: counts and nanoseconds, mappings, functions, lines, labels, comments")
  func pprof() throws {
    let file = try #require(try ReadFormats(.run).pprof)
    #expect(file.types == [["samples", "count"], ["cpu", "nanoseconds"]])
    #expect(file.defaultType == "cpu")
    #expect(file.periodType == ["cpu", "nanoseconds"])
    #expect(file.period == 1_000_000)
    #expect(file.time == 1_700_000_000_123_456_789)
    #expect(file.duration == 20_000_000)
    let own = Self.own.union(Self.withoutFrames)
    #expect(Set(file.own) == own)
    #expect(Set(file.nanoseconds) == Set(own.map { OwnRow($0.file, $0.name, $0.line, $0.count * 1_000_000) }))
    typealias Thread = ReadPprof.Thread
    #expect(
      Set(file.threads) == [Thread(["4711", "4711", "python3"], 7), Thread(["4711", "4712", "worker"], 3)])
    typealias Mapping = ReadPprof.Mapping
    let buildID = "00112233445566778899aabbccddeeff01020304"
    #expect(
      file.mappings == [
        Mapping("/usr/bin/python3.12", "", [0x40_0000, 0x50_0000, 0]),
        Mapping("/usr/lib/libfit.so", buildID, [0x7F00_0000_1000, 0x7F00_0000_3000, 0x1000]),
        Mapping("/usr/lib/libfit.so", buildID, [0x7F00_0010_1000, 0x7F00_0010_3000, 0x1000]),
      ])
    typealias Function = ReadPprof.Function
    #expect(
      Set(file.functions) == [
        Function("/srv/fit.py", "<module>", 1), Function("/srv/fit.py", "work", 3),
        Function("/usr/bin/python3.12", "_start", 0), Function("/usr/lib/libfit.so", "solve", 0),
        Function("/usr/lib/libfit.so", "dot<double>(double*)", 0),
        Function("[kernel]", "asm_exc_page_fault", 0),
        Function("", "[unproven frames]", 0), Function("", "[no frames]", 0),
      ])
    #expect(file.functions.count == 8)
    #expect(file.comments.contains("Command: /usr/bin/python3 fit.py --all"))
    #expect(file.comments.contains("Interpreter: CPython 3.12.1"))
    #expect(file.comments.contains { $0.hasPrefix("Lost: 3 samples") }, "\(file.comments)")
    expectLedger(file.ledger, "pprof")
  }

  @Test("JSON lines: self and cumulative samples per line of code")
  func jsonl() throws {
    let file = try #require(try ReadFormats(.run).jsonl)
    #expect(file.total == 10)
    #expect(file.interval == 1000)
    #expect(Set(file.own) == Self.own)
    #expect(
      Set(file.cumulative) == [
        OwnRow("/srv/fit.py", "<module>", 9, 6), OwnRow("/usr/bin/python3.12", "_start", 0, 6),
        OwnRow("/usr/lib/libfit.so", "solve", 0, 3), OwnRow("/srv/fit.py", "work", 4, 7),
        OwnRow("/usr/lib/libfit.so", "dot<double>(double*)", 0, 2),
        OwnRow("[kernel]", "asm_exc_page_fault", 0, 1),
        OwnRow("/srv/fit.py", "work", 5, 2), OwnRow("~", "<unproven frames>", 0, 3),
      ])
    expectLedger(file.ledger, "jsonl")
    var other = Profile.run
    other.header.startTime += 1
    #expect(try ReadFormats(other).jsonl?.runID != file.runID)
  }

  @Test("A profile without samples is a file of each format")
  func empty() throws {
    let files = try ReadFormats(Profile())
    #expect(files.speedscope?.total == 0)
    #expect(files.gecko?.total == 0)
    #expect(files.pprof?.total == 0)
    #expect(files.jsonl?.total == 0)
  }

  @Test("Names come back as they are, whatever is in them")
  func hostileNames() throws {
    let all = (0...0x2FFF).compactMap(Unicode.Scalar.init).reduce(into: "") { $0.unicodeScalars.append($1) }
    let names = [
      all, "\"}],\"x\":[{\"", "</script><script>alert(1)</script>", "\\u0000\\", "e\u{301}", "\u{E9}",
      "\u{10FFFF}\u{1F40D}",
      "\u{FEFF}", "\u{FFFD}", "\n", " ", "toString", "__proto__",
    ]
    var profile = Profile()
    profile.header.command = all
    profile.threads = [ProfiledThread(tid: 1, name: all)]
    for (index, name) in names.enumerated() {
      profile.add([.python("/f\(name)", Int32(index + 1), name)])
      profile.add([.native("/m\(name)", name)])
    }
    let files = try ReadFormats(profile)
    // Byte by byte: strings are equal, too, where only the spelling of a character differs.
    func bytes(_ file: String, _ name: String, _ line: Int) -> [UInt8] {
      Array("\(file)\t\(name)\t\(line)".utf8)
    }
    func bytes(_ rows: [OwnRow]) -> Set<[UInt8]> { Set(rows.map { bytes($0.file, $0.name, $0.line) }) }
    var wanted: Set<[UInt8]> = []
    for (index, name) in names.enumerated() {
      wanted.insert(bytes("/f" + name, name, index + 1))
      wanted.insert(bytes("/m" + name, name, 0))
    }
    #expect(wanted.count == names.count * 2)
    let found = [
      files.speedscope?.own ?? [], files.gecko?.own ?? [], files.pprof?.own ?? [], files.jsonl?.own ?? [],
    ].map { bytes($0) }
    // Not the names themselves in a message of 12,288 characters each.
    #expect(found.map(\.count) == Array(repeating: wanted.count, count: 4))
    #expect(found.map { $0 == wanted } == [true, true, true, true])
    let others = [
      files.speedscope?.run.command, files.gecko?.threads.first?.name,
      files.pprof?.threads.first?.labels.last,
    ].map { $0.map { Array($0.utf8) == Array(all.utf8) } }
    #expect(others == [true, true, true])
  }

  @Test("One profile always gives the same bytes")
  func sameBytes() {
    for collector in [
      SpeedscopeCollector.self, GeckoCollector.self, PprofCollector.self, JsonlCollector.self,
    ]
      as [any Collector.Type]
    {
      #expect(collector.init(.run).exported() == collector.init(.run).exported(), "\(collector)")
    }
  }
}
