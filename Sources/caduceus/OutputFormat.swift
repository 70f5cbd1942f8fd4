// The formats that can be written: their options, names and collectors.

import ArgumentParser
import Collectors
import Profiles

enum OutputFormat: String, EnumerableFlag {
  case pstats, collapsed, flamegraph, svg, speedscope, gecko, pprof, jsonl

  static func help(for value: OutputFormat) -> ArgumentHelp? {
    switch value {
    case .pstats: "Functions with their times: a table, or with -o a file for pstats readers. (default)"
    case .collapsed: "One line per distinct stack and its count, for flame graph tools."
    case .flamegraph: "An interactive flame graph in one file, for a browser."
    case .svg: "The flame graph as a picture, for reports."
    case .speedscope: "For speedscope: one profile per thread."
    case .gecko: "For the Firefox Profiler: threads, categories by language, a time line."
    case .pprof: "For pprof and what reads its files."
    case .jsonl: "JSON lines, as CPython 3.15's sampling profiler writes them."
    }
  }

  /// The format that the end of a file's name tells; nil where it tells none.
  init?(fileName: String) {
    let name = fileName.lowercased()
    let ends: [(OutputFormat, [String])] = [
      (.flamegraph, [".html", ".htm"]), (.svg, [".svg"]),
      (.pstats, [".pstats", ".prof", ".stats", ".profile"]),
      (.collapsed, [".txt", ".folded", ".collapsed"]), (.speedscope, [".speedscope.json", ".speedscope"]),
      (.gecko, [".gecko.json", ".gecko"]), (.pprof, [".pb.gz", ".pprof"]), (.jsonl, [".jsonl", ".ndjson"]),
    ]
    guard let found = ends.first(where: { $0.1.contains(where: name.hasSuffix) }) else { return nil }
    self = found.0
  }

  /// The end of a default name.
  var fileExtension: String {
    switch self {
    case .pstats: PstatsCollector.fileExtension
    case .collapsed: CollapsedStackCollector.fileExtension
    case .flamegraph: FlameGraphCollector.fileExtension
    case .svg: FlameGraphPictureCollector.fileExtension
    case .speedscope: SpeedscopeCollector.fileExtension
    case .gecko: "gecko.json"
    case .pprof: PprofCollector.fileExtension
    case .jsonl: JsonlCollector.fileExtension
    }
  }

  /// What is said when the file has been written.
  var writtenText: String {
    switch self {
    case .pstats: "Stats written to"
    case .collapsed: "Collapsed stack output written to"
    case .flamegraph, .svg: "Flame graph written to"
    case .speedscope: "Speedscope profile written to"
    case .gecko: "Firefox Profiler file written to"
    case .pprof: "pprof profile written to"
    case .jsonl: "JSON lines written to"
    }
  }

  /// Whether it shows when each sample was taken.
  var needsTimeline: Bool { self == .gecko }

  /// The content of the file.
  func exported(_ profile: Profile, _ options: FormatArguments) -> [UInt8] {
    switch self {
    case .pstats:
      PstatsCollector(profile, grouping: options.grouping ?? .line).exported(
        form: options.form ?? .compatible)
    case .collapsed: CollapsedStackCollector(profile, showsThreads: options.threads).exported()
    case .flamegraph: FlameGraphCollector(profile).exported()
    case .svg: FlameGraphPictureCollector(profile).exported()
    case .speedscope: SpeedscopeCollector(profile).exported()
    case .gecko: GeckoCollector(profile).exported()
    case .pprof: PprofCollector(profile).exported()
    case .jsonl: JsonlCollector(profile).exported()
    }
  }
}
