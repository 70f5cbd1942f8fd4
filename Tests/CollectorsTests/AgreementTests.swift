// All formats say the same of one recorded capture: the sum of all weights, the samples of each function itself, and
// the ledger.

import CaptureReplay
import Profiles
import Sampling
import Testing

@testable import Collectors

@Suite("All formats agree", .enabled(if: Python.readers != nil || Python.isRequired, withoutReaders))
struct AgreementTests {
  /// A function as even the shortest format knows it: the base name of its file, and its name.
  private struct Function: Hashable {
    let file: String
    let name: String

    init(_ row: OwnRow) {
      // pstats and JSON lines have markers and code of no known module as CPython has what has no file.
      if row.file == "~", row.name.hasPrefix("<"), row.name.hasSuffix(">") {
        file = ""
        name = "[\(row.name.dropFirst().dropLast())]"
      } else {
        file = String(row.file.split(separator: "/").last ?? "")
        name = row.name
      }
    }
  }

  private func functions(_ rows: [OwnRow], per weight: UInt64 = 1) throws -> [Function: UInt64] {
    var counts: [Function: UInt64] = [:]
    for row in rows where row.count > 0 {
      try #require(row.count.isMultiple(of: weight))
      counts[Function(row), default: 0] += row.count / weight
    }
    return counts
  }

  /// Replays a capture; every number of the ledger gets a value of its own.
  private func profile(_ name: String, shown: NativeFrames, withTimeline: Bool) throws -> Profile {
    let capture = try Capture(named: name)
    var recorder = try #require(capture.recorder(shown: shown))
    if withTimeline { recorder.profile.timeline = Timeline() }
    capture.replay(to: &recorder)
    var profile = recorder.finished()
    profile.header.processID = capture.processID
    profile.header.command = "python3 \(name).py"
    profile.header.startTime = 1_700_000_000_000_000_000
    profile.ledger.period = profile.header.period
    profile.ledger.runs = 1_000_003
    profile.ledger.filtered = 17
    profile.ledger.ringFull = 5
    profile.ledger.kernelLostNames = 3
    profile.ledger.targetCPU = 123_456_789
    profile.ledger.eventCount = 99_000_001
    return profile
  }

  /// Counts by another way than the collectors: sample by sample, from the profile's own tables.
  private func recount(_ profile: Profile) -> (total: UInt64, own: [Function: UInt64]) {
    var own: [Function: UInt64] = [:]
    var total: UInt64 = 0
    for sample in profile.samples {
      total += sample.count
      guard let leaf = profile.frames(of: sample.stack).first else { continue }
      let row = OwnRow(profile[profile[leaf].file], profile[profile[leaf].name], 0, sample.count)
      own[Function(row), default: 0] += sample.count
    }
    return (total, own)
  }

  @Test("The same total, functions and ledger in every file", arguments: Capture.all, [false, true])
  func agree(_ name: String, _ withTimeline: Bool) throws {
    for shown in NativeFrames.allCases {
      let profile = try profile(name, shown: shown, withTimeline: withTimeline)
      let (total, own) = recount(profile)
      #expect(total > 50)
      #expect(!own.isEmpty)
      // Programs with few functions were recorded for their threads or their cut stacks.
      if shown == .all, name.hasPrefix("sandwich") || name.hasPrefix("numpy") { #expect(own.count > 5) }
      if let timeline = profile.timeline { #expect(timeline.count == Int(total)) }
      let period = profile.header.period
      let files = try ReadFormats(profile)

      let pstats = try #require(files.pstats)
      let collapsed = try #require(files.collapsed)
      let speedscope = try #require(files.speedscope)
      let gecko = try #require(files.gecko)
      let pprof = try #require(files.pprof)
      let jsonl = try #require(files.jsonl)
      #expect(
        [pstats.total, collapsed.total, gecko.total, pprof.total, jsonl.total] == [
          total, total, total, total, total,
        ])
      #expect(speedscope.total == total * period)
      #expect(try functions(pstats.own) == own)
      #expect(try functions(collapsed.own) == own)
      #expect(try functions(speedscope.own, per: period) == own)
      #expect(try functions(gecko.own) == own)
      #expect(try functions(pprof.own) == own)
      #expect(try functions(pprof.nanoseconds, per: period) == own)
      #expect(try functions(jsonl.own) == own)

      #expect(speedscope.ledger == gecko.ledger)
      #expect(speedscope.ledger == pprof.ledger)
      #expect(speedscope.ledger == jsonl.ledger)
      #expect(speedscope.ledger["runs"] == 1_000_003)
      #expect(speedscope.ledger["kept"] == Int64(total))
      #expect(speedscope.ledger["ring_full"] == 5)

      let threads = Dictionary(grouping: profile.samples, by: \.thread).map { thread, samples in
        (profile.threads[thread], samples.reduce(0) { $0 + $1.count })
      }
      #expect(
        Set(gecko.threads.map { [$0.tid, Int($0.total)] }) == Set(threads.map { [Int($0.0.tid), Int($0.1)] }))
      #expect(
        Set(pprof.threads.map { [$0.labels[1], $0.labels[2], "\($0.count)"] })
          == Set(threads.map { ["\($0.0.tid)", $0.0.name, "\($0.1)"] }))
    }
  }

  @Test(
    "Every native frame of a capture has a module, and a language that fits its kind", arguments: Capture.all)
  func modules(_ name: String) throws {
    let profile = try profile(name, shown: .all, withTimeline: false)
    let paths = Set(profile.modules.map(\.path))
    var languages: Set<FrameLanguage> = []
    for frame in profile.frames {
      languages.insert(frame.language)
      switch frame.kind {
      case .python: #expect(frame.language == .python)
      case .kernel: #expect(frame.language == .kernel)
      case .marker: #expect(frame.language == .marker)
      case .native:
        #expect(paths.contains(frame.file), "\(profile[frame.file])")
        #expect(![.python, .kernel, .marker].contains(frame.language))
        if profile[frame.name].hasPrefix("_PyEval_EvalFrameDefault") {
          #expect(frame.language == .interpreter)
        }
        if profile[frame.name].hasPrefix("sit_") { #expect(frame.language == .c, "\(profile[frame.name])") }
      }
    }
    #expect(languages.contains(.python))
    // Where every stack is cut, none leads to the interpreter's own functions.
    #expect(languages.contains(.interpreter) || name.hasPrefix("deep_stack"))
    for module in profile.modules where profile[module.path].hasPrefix("/") {
      #expect(!module.ranges.isEmpty)
      #expect(module.ranges.allSatisfy { $0.start < $0.limit })
    }
  }
}
