// Reads exported files with programs that are not caduceus: read_formats.py and what it imports.

import Foundation
import Profiles
import Testing

@testable import Collectors

/// Why a test of the formats does not run.
let withoutReaders: Comment = """
  CADUCEUS_READERS_PYTHON does not name a Python with the packages of Tests/Programs/readers-requirements.txt
  """

/// Samples in which a function itself was executing.
struct OwnRow: Decodable, Hashable {
  let file: String
  let name: String
  let line: Int
  let count: UInt64

  init(_ file: String, _ name: String, _ line: Int, _ count: UInt64) {
    (self.file, self.name, self.line, self.count) = (file, name, line, count)
  }

  init(from decoder: any Decoder) throws {
    var row = try decoder.unkeyedContainer()
    file = try row.decode(String.self)
    name = try row.decode(String.self)
    line = try row.decode(Int.self)
    count = try row.decode(UInt64.self)
  }
}

/// What every reader finds.
protocol ReadFile: Decodable {
  var total: UInt64 { get }
  var own: [OwnRow] { get }
}

/// A format without a ledger.
struct ReadStacks: ReadFile {
  let total: UInt64
  let own: [OwnRow]

  enum CodingKeys: String, CodingKey {
    case total
    case own = "self"
  }
}

struct ReadSpeedscope: ReadFile {
  struct Run: Decodable {
    let command: String
    let interpreter: String
    let pid: Int
    let period_ns: Int
    let start_time_ns: UInt64
    let duration_ns: Int
  }

  /// Frames from the root on, and the weight.
  struct Stack: Decodable, Equatable {
    let names: [String]
    let weight: UInt64

    init(_ names: [String], _ weight: UInt64) { (self.names, self.weight) = (names, weight) }

    init(from decoder: any Decoder) throws {
      var stack = try decoder.unkeyedContainer()
      names = try stack.decode([String].self)
      weight = try stack.decode(UInt64.self)
    }
  }

  let total: UInt64
  let own: [OwnRow]
  let unit: String?
  let threads: [String: UInt64]
  let order: [String: [Stack]]
  let active: String?
  let ledger: [String: Int64]
  let run: Run

  enum CodingKeys: String, CodingKey {
    case total, unit, threads, order, active, ledger, run
    case own = "self"
  }
}

struct ReadGecko: ReadFile {
  struct Marker: Decodable, Equatable {
    let kind: String
    let text: String
    let count: Int
    let start: Double
    let end: Double

    init(_ kind: String, _ text: String, _ count: Int, _ start: Double, _ end: Double) {
      (self.kind, self.text, self.count, self.start, self.end) = (kind, text, count, start, end)
    }

    init(from decoder: any Decoder) throws {
      var marker = try decoder.unkeyedContainer()
      kind = try marker.decode(String.self)
      text = try marker.decode(String.self)
      count = try marker.decode(Int.self)
      start = try marker.decode(Double.self)
      end = try marker.decode(Double.self)
    }
  }

  struct Thread: Decodable {
    let name: String
    let tid: Int
    let pid: String
    let isMainThread: Bool
    let total: UInt64
    let times: [Double]
    let markers: [Marker]
    let first: [[String]]
    let cpu: [Int]?
  }

  let total: UInt64
  let own: [OwnRow]
  let threads: [Thread]
  /// By file, a tab and name.
  let categories: [String: String]
  let libs: [[String?]]
  let interval: Double
  let startTime: Double
  let endTime: Double
  let cpuUnit: String
  let ledger: [String: Int64]
  let accounting: [String: String]

  enum CodingKeys: String, CodingKey {
    case total, threads, categories, libs, interval, startTime, endTime, cpuUnit, ledger, accounting
    case own = "self"
  }
}

struct ReadPprof: ReadFile {
  struct Mapping: Decodable, Equatable {
    let file: String
    let buildID: String
    let numbers: [UInt64]

    init(_ file: String, _ buildID: String, _ numbers: [UInt64]) {
      (self.file, self.buildID, self.numbers) = (file, buildID, numbers)
    }

    init(from decoder: any Decoder) throws {
      var mapping = try decoder.unkeyedContainer()
      file = try mapping.decode(String.self)
      buildID = try mapping.decode(String.self)
      numbers = try (0..<3).map { _ in try mapping.decode(UInt64.self) }
    }
  }

  struct Thread: Decodable, Hashable {
    let labels: [String]
    let count: Int

    init(_ labels: [String], _ count: Int) { (self.labels, self.count) = (labels, count) }

    init(from decoder: any Decoder) throws {
      var thread = try decoder.unkeyedContainer()
      labels = try (0..<3).map { _ in try thread.decode(String.self) }
      count = try thread.decode(Int.self)
    }
  }

  struct Function: Decodable, Hashable {
    let file: String
    let name: String
    let startLine: Int

    init(_ file: String, _ name: String, _ startLine: Int) {
      (self.file, self.name, self.startLine) = (file, name, startLine)
    }

    init(from decoder: any Decoder) throws {
      var function = try decoder.unkeyedContainer()
      file = try function.decode(String.self)
      name = try function.decode(String.self)
      startLine = try function.decode(Int.self)
    }
  }

  let types: [[String]]
  let total: UInt64
  let own: [OwnRow]
  let nanoseconds: [OwnRow]
  let threads: [Thread]
  let period: Int
  let periodType: [String]
  let defaultType: String
  let time: UInt64
  let duration: UInt64
  let mappings: [Mapping]
  let functions: [Function]
  let comments: [String]
  let ledger: [String: Int64]

  enum CodingKeys: String, CodingKey {
    case types, total, nanoseconds, threads, period, time, duration, mappings, functions, comments, ledger
    case own = "self"
    case periodType = "period_type"
    case defaultType = "default"
  }
}

struct ReadJsonl: ReadFile {
  let total: UInt64
  let interval: UInt64
  let own: [OwnRow]
  let cumulative: [OwnRow]
  let ledger: [String: Int64]
  let runID: String

  enum CodingKeys: String, CodingKey {
    case total, interval, cumulative, ledger
    case own = "self"
    case runID = "run_id"
  }
}

/// What was found in files of the formats that were asked for.
struct ReadFormats: Decodable {
  let pstats: ReadStacks?
  let collapsed: ReadStacks?
  let speedscope: ReadSpeedscope?
  let gecko: ReadGecko?
  let pprof: ReadPprof?
  let jsonl: ReadJsonl?

  /// Exports `profile` in every format and reads the files; pstats itself refuses a file without entries.
  init(_ profile: Profile) throws {
    let python = try #require(Python.readers, withoutReaders)
    let folder = try TemporaryFolder()
    try PstatsCollector(profile).export(to: folder.path + "/pstats")
    try CollapsedStackCollector(profile).export(to: folder.path + "/collapsed")
    try SpeedscopeCollector(profile).export(to: folder.path + "/speedscope")
    try GeckoCollector(profile).export(to: folder.path + "/gecko")
    try PprofCollector(profile).export(to: folder.path + "/pprof")
    try JsonlCollector(profile).export(to: folder.path + "/jsonl")
    let formats =
      (profile.samples.isEmpty ? [] : ["pstats"]) + ["collapsed", "speedscope", "gecko", "pprof", "jsonl"]
    let files = formats.map { "\($0)=\(folder.path)/\($0)" }
    let output = try python.run([Python.program("read_formats.py")] + files)
    try #require(output.status == 0, "\(output.standardError)")
    self = try JSONDecoder().decode(Self.self, from: Data(output.standardOutput.utf8))
  }
}
