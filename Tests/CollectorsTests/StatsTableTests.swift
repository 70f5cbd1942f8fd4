// The printed table, against text computed by hand. `GoldenTests` compares it with CPython's own.

import Foundation
import Profiles
import Testing

@testable import Collectors

@Suite("Statistics table")
struct StatsTableTests {
  private static let legend = """

    Legend:
      nsamples: Direct/Cumulative samples (direct executing / on call stack)
      sample%: Percentage of total samples this function was directly executing
      tottime: Estimated total time spent directly in this function
      cumul%: Percentage of total samples when this function was on the call stack
      cumtime: Estimated cumulative time (including time in called functions)
      filename:lineno(function): Function location and name

    """

  private func table(
    _ profile: Profile, _ change: (inout StatsTable.Options) -> Void = { _ in }
  ) -> String {
    var options = StatsTable.Options()
    change(&options)
    return StatsTable(PstatsCollector(profile), options: options).text
  }

  @Test("Without samples there is one sentence and no table")
  func empty() {
    let text = table(Profile())
    #expect(text == "No samples were collected.\nThis can happen in CPU mode when all threads are idle.\n")
    #expect(!text.contains("nsamples"))
    #expect(!text.contains("nan"))
  }

  @Test("Samples without any frame are not called no samples")
  func onlyEmptyStacks() {
    #expect(
      table(Profile([([], 7)])) == "No frame could be shown: the stacks of all 7 samples are empty.\n")
  }

  @Test("One row, in microseconds, with its summary")
  func oneRow() {
    let profile = Profile([([.python("/srv/app.py", 3, "leaf")], 3)])
    #expect(
      table(profile) == """
        Profile Stats:
               nsamples   sample%  tottime (μs)    cumul%  cumtime (μs)  filename:lineno(function)
                    3/3     100.0       300.000     100.0       300.000  app.py:3(leaf)
        \(Self.legend)
        Summary of Interesting Functions:

        Functions with Highest Direct/Cumulative Ratio (Hot Spots):
          1.000 direct/cumulative ratio, 100.0% direct samples: app.py:(leaf)

        Functions with Highest Call Frequency (Indirect Calls):

        Functions with Highest Call Magnification (Cumulative/Direct):

        """)
  }

  @Test("Four stacks with recursion give the known table")
  func knownTable() {
    #expect(
      table(.recursive) == """
        Profile Stats:
               nsamples   sample%  tottime (μs)    cumul%  cumtime (μs)  filename:lineno(function)
                    1/4      25.0       100.000     100.0       400.000  app.py:7(rec)
                    0/4       0.0         0.000     100.0       400.000  app.py:11(<module>)
                    3/3      75.0       300.000      75.0       300.000  app.py:3(leaf)
        \(Self.legend)
        Summary of Interesting Functions:

        Functions with Highest Direct/Cumulative Ratio (Hot Spots):
          1.000 direct/cumulative ratio, 75.0% direct samples: app.py:(leaf)
          0.250 direct/cumulative ratio, 25.0% direct samples: app.py:(rec)

        Functions with Highest Call Frequency (Indirect Calls):
          4 indirect calls, 100.0% total stack presence: app.py:(<module>)
          3 indirect calls, 100.0% total stack presence: app.py:(rec)

        Functions with Highest Call Magnification (Cumulative/Direct):
          4.0x call magnification, 3 indirect calls from 1 direct: app.py:(rec)

        """)
  }

  @Test("Each time column has the unit of its own greatest value")
  func units() {
    let main = MadeFrame.python("a.py", 1, "main")
    func header(_ frames: [MadeFrame], _ count: UInt64, main direct: UInt64) -> Substring? {
      let profile = Profile(period: 1_000_000, [(frames, count), ([main], direct)])
      return table(profile).split(separator: "\n").dropFirst().first
    }
    let leaf = MadeFrame.python("a.py", 2, "leaf")
    // 999 samples of 1 ms here, 1 there: 0.999 s at most in one function, 1 s in all.
    let mixed = header([leaf, main], 999, main: 1)
    #expect(mixed?.contains("tottime (ms)    cumul%   cumtime (s)") == true)
    let seconds = header([leaf, main], 1000, main: 1)
    #expect(seconds?.contains(" tottime (s)    cumul%   cumtime (s)") == true)
    let millisecond = header([leaf, main], 1, main: 0)
    #expect(millisecond?.contains("tottime (ms)    cumul%  cumtime (ms)") == true)
  }

  @Test("Ties keep the order of first sight; the limit comes after sorting and leaves the shares alone")
  func tiesAndLimit() {
    let stacks: [(frames: [MadeFrame], count: UInt64)] = (1...6).map {
      ([.python("a.py", Int32($0), "f\($0)")], $0 == 5 ? 3 : 1)
    }
    let lines = table(Profile(stacks)) {
      $0.limit = 3
      $0.showsSummary = false
    }.split(separator: "\n")
    #expect(
      Array(lines[2..<5]) == [
        "            3/3      37.5       300.000      37.5       300.000  a.py:5(f5)",
        "            1/1      12.5       100.000      12.5       100.000  a.py:1(f1)",
        "            1/1      12.5       100.000      12.5       100.000  a.py:2(f2)",
      ])
    #expect(lines[5] == "Legend:")
  }

  @Test("The summary counts only the rows that are shown, and can be left out")
  func summary() {
    #expect(!table(.recursive) { $0.showsSummary = false }.contains("Summary"))
    #expect(!table(.recursive) { $0.limit = 0 }.contains("Summary"))
    let two = table(.recursive) { $0.limit = 2 }
    #expect(!two.contains("app.py:(leaf)"))
    #expect(two.contains("0.250 direct/cumulative ratio, 25.0% direct samples: app.py:(rec)"))
  }

  @Test("Entries that differ only in their folder are one row")
  func mergedFolders() {
    let profile = Profile([
      ([.python("/one/a.py", 1, "f")], 1), ([.python("/two/a.py", 1, "f")], 2),
      ([.native("/one/lib.so", "g")], 1),
    ])
    let rows = table(profile).split(separator: "\n").dropFirst(2).prefix(3)
    #expect(rows.first == "            3/3      75.0       300.000      75.0       300.000  a.py:1(f)")
    #expect(rows.dropFirst().first?.hasSuffix("  lib.so:0(g)") == true)
  }

  @Test("A name cannot break the table or send commands to the terminal")
  func hostileNames() {
    let profile = Profile([([.python("/x/a\nb.py", 1, "f\u{1B}[2J\u{85}\u{202E}g\u{2028}\u{7F}")], 1)])
    let text = table(profile)
    #expect(text.contains("a\\nb.py:1(f\\x1b[2J\\x85\\u202eg\\u2028\\x7f)"))
    #expect(!text.contains("\u{1B}"))
  }

  @Test("Colours change nothing but the colours")
  func colors() throws {
    let plain = table(.mixed)
    let colored = table(.mixed) { $0.usesColors = true }
    #expect(colored.contains("\u{1B}[1;34mProfile Stats:\u{1B}[0m"))
    #expect(colored.contains("\u{1B}[32mlibblas.so.3\u{1B}[0m:\u{1B}[33m0\u{1B}[0m(\u{1B}[36mvoid ns::dot"))
    #expect(colored.replacing(try Regex("\u{1B}\\[[0-9;]*m"), with: "") == plain)
    #expect(!plain.contains("\u{1B}"))
  }

  @Test("The orders have the names of CPython's options")
  func optionNames() {
    let names = ["name", "nsamples", "tottime", "cumtime", "sample-pct", "cumul-pct", "nsamples-cumul"]
    #expect(names.map { StatsTable.SortKey(optionName: $0)?.rawValue } == [-1, 0, 1, 2, 3, 4, 5])
    #expect(StatsTable.SortKey.allCases.map(\.optionName) == names)
    for other in ["", "Name", "samplePercent", "nsamples ", "0"] {
      #expect(StatsTable.SortKey(optionName: other) == nil)
    }
  }

  @Test("Names are spelled as Python's repr spells them")
  func literals() throws {
    let python = try #require(Python.newest)
    var texts = [
      "", "it's", "\"", "both'\"", "\\", "a\tb\r\n",
      "\u{1B}\u{7F}\u{85}\u{A0}\u{AD}\u{2028}\u{E000}\u{10FFFF}",
    ]
    texts += ["\u{2003}蛇\u{1F40D}\u{301}", "\u{200B}\u{202E}\u{FEFF}"]
    let program = "import json, sys; print(json.dumps([repr(t) for t in json.load(sys.stdin)]))"
    let input = String(decoding: try JSONEncoder().encode(texts), as: UTF8.self)
    let output = try python.run(["-c", program], input: input)
    try #require(output.status == 0, "\(output.standardError)")
    let expected = try JSONDecoder().decode([String].self, from: Data(output.standardOutput.utf8))
    #expect(texts.map(pythonLiteral) == expected)
  }

  @Test("Numbers are rounded as C rounds them")
  func rounding() {
    let values = [
      0, 0.0005, 0.0015, 0.125, 0.375, 2.5, 1e-9, 0.9995, 999.9995, 123_456.7895, 0x1p52 + 0.5, 1e17,
    ]
    for value in values {
      for decimals in 0...3 {
        #expect(fixed(value, decimals: decimals) == String(format: "%.\(decimals)f", value))
      }
    }
  }
}
