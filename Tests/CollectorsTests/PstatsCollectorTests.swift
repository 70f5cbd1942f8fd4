// Samples become pstats entries by the rules, whatever the stack looks like.

import Profiles
import Testing

@testable import Collectors

@Suite("Pstats entries")
struct PstatsCollectorTests {
  private func entry(_ name: String, of collector: PstatsCollector) throws -> PstatsCollector.Entry {
    try #require(collector.entries.first { $0.function.name == name })
  }

  private func callers(_ name: String, of collector: PstatsCollector) throws -> [String: UInt64] {
    let pairs = try entry(name, of: collector).callers.map {
      (collector.entries[$0.entry].function.name, $0.nc)
    }
    return Dictionary(uniqueKeysWithValues: pairs)
  }

  @Test("Four stacks with recursion give the known entries")
  func knownEntries() throws {
    let collector = PstatsCollector(.recursive)
    #expect(collector.interval == 1e-4)
    #expect(collector.samples == 4)
    #expect(collector.entries.map(\.function.name) == ["leaf", "rec", "<module>"])
    #expect(collector.entries.map(\.function.line) == [3, 7, 11])
    #expect(collector.entries.map(\.cc) == [3, 1, 0])
    #expect(collector.entries.map(\.nc) == [3, 4, 4])
    #expect(collector.entries.map(\.tt) == [3 * 1e-4, 1e-4, 0])
    #expect(collector.entries.map(\.ct) == [3 * 1e-4, 4e-4, 4e-4])
    #expect(try callers("leaf", of: collector) == ["rec": 3])
    #expect(try callers("rec", of: collector) == ["rec": 3, "<module>": 4])
    #expect(try callers("<module>", of: collector) == [:])
  }

  @Test("A pair that recurs in one stack counts each time as a call and once as a sample")
  func recursivePairs() throws {
    let rec = MadeFrame.python("a.py", 1, "rec")
    let collector = PstatsCollector(Profile(period: 1_000_000_000, [([rec, rec, rec, rec], 5)]))
    let only = try entry("rec", of: collector)
    #expect((only.cc, only.nc) == (5, 5))
    let caller = try #require(only.callers.first)
    #expect(only.callers.count == 1)
    #expect((caller.nc, caller.cc) == (15, 5))
    #expect((caller.tt, caller.ct) == (5, 5))
  }

  @Test("The own time of a function is divided among its callers")
  func ownTimeByCaller() throws {
    let work = MadeFrame.python("a.py", 1, "work")
    let deep = MadeFrame.python("a.py", 9, "deep")
    let (first, second) = (MadeFrame.python("a.py", 2, "first"), MadeFrame.python("a.py", 3, "second"))
    let collector = PstatsCollector(
      Profile(
        period: 1_000_000_000,
        [([work, first], 2), ([work, second], 3), ([deep, work, second], 4), ([work], 1)]))
    let entry = try entry("work", of: collector)
    #expect((entry.cc, entry.nc) == (6, 10))
    #expect(entry.callers.map(\.cc) == [2, 7])
    #expect(entry.callers.map(\.tt) == [2, 3])
    #expect(entry.callers.map(\.ct) == [2, 7])
  }

  @Test("Each kind of frame has its own form of key")
  func keys() {
    let functions = PstatsCollector(.mixed).entries.map(\.function)
    #expect(
      functions.contains(.init(file: "/srv/größe/main.py", line: 12, name: "Läufer.übergib.<locals>.λ")))
    #expect(
      functions.contains(
        .init(file: "/usr/lib/libblas.so.3", line: 0, name: "void ns::dot<double>(double const*, int)")))
    #expect(functions.contains(.init(file: "[kernel]", line: 0, name: "asm_exc_page_fault")))
    #expect(functions.contains(.init(file: "~", line: 0, name: "<native stack cut off>")))
    #expect(functions.count == 7)
  }

  @Test("Two lines of one function are two entries")
  func perLine() {
    let collector = PstatsCollector(
      Profile([([.python("a.py", 1, "f")], 1), ([.python("a.py", 2, "f")], 1)]))
    #expect(collector.entries.map(\.function.line) == [1, 2])
  }

  @Test("By function, all lines of one are one entry, at the line of its definition")
  func perFunction() throws {
    let collector = PstatsCollector(.lines, grouping: .function)
    #expect(
      collector.entries.map(\.function) == [
        .init(file: "/srv/work.py", line: 3, name: "work"),
        .init(file: "/srv/main.py", line: 1, name: "<module>"),
        .init(file: "/usr/lib/libfit.so", line: 0, name: "fit"),
        .init(file: "~", line: 0, name: "<lost>"),
      ])
    #expect(collector.entries.map(\.cc) == [6, 0, 4, 1])
    // The stack that holds two lines of one function counts once.
    #expect(collector.entries.map(\.nc) == [10, 10, 4, 1])
    #expect(try callers("work", of: collector) == ["<module>": 10, "work": 1])
    #expect(try callers("fit", of: collector) == ["work": 4])
  }

  @Test("Functions of one name that begin at other lines are apart; unknown first lines are 0")
  func sameNames() {
    let stacks: [(frames: [MadeFrame], count: UInt64)] = [
      ([.python("a.py", 5, "f", of: 4)], 1), ([.python("a.py", 5, "f", of: 5)], 2),
      ([.python("a.py", 5, "f")], 3),
    ]
    #expect(PstatsCollector(Profile(stacks), grouping: .function).entries.map(\.function.line) == [4, 5, 0])
    #expect(PstatsCollector(Profile(stacks)).entries.map(\.cc) == [6])
  }

  @Test("Code of no known module has the key of what has no file")
  func noModule() {
    let collector = PstatsCollector(Profile([([.native("", "[unmapped]")], 1)]))
    #expect(collector.entries.map(\.function) == [.init(file: "~", line: 0, name: "<unmapped>")])
  }

  @Test("Names are different where one of their bytes is")
  func exactNames() {
    let stacks: [(frames: [MadeFrame], count: UInt64)] = [
      ([.python("\u{E9}.py", 1, "f")], 1), ([.python("e\u{301}.py", 1, "f")], 2),
    ]
    #expect(PstatsCollector(Profile(stacks)).entries.map(\.cc) == [1, 2])
  }

  @Test("Equal stacks of different threads are added up")
  func threads() {
    var profile = Profile([([.python("a.py", 1, "f")], 2)])
    profile.threads.append(ProfiledThread(tid: 2, name: "other"))
    profile.add([.python("a.py", 1, "f")], thread: 1, count: 3)
    let collector = PstatsCollector(profile)
    #expect(collector.entries.map(\.cc) == [5])
    #expect(collector.entries.map(\.nc) == [5])
  }

  @Test("A sample without frames is counted, and is in no entry")
  func emptyStack() {
    let collector = PstatsCollector(Profile([([], 3)]))
    #expect(collector.samples == 3)
    #expect(collector.entries.isEmpty)
    #expect(collector.exported() == Array("{0".utf8))
  }
}
