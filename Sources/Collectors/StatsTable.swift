// The table that is printed when no output file is asked for: one row per line of code.

import Profiles

/// A table of pstats entries: the same text as CPython's sampling profiler prints for the same entries.
///
/// Directories are left out of file names; entries that become equal by that are added up. The text differs from
/// CPython's only where that would be wrong or unsafe: a name with a control character is spelled with escapes, and
/// a `:` in a function name does not move a part of it to the file name in the summary.
public struct StatsTable: Sendable {
  /// What rows are sorted by. All but `name` sort in descending order; ties keep the order of first sight.
  ///
  /// The raw values are those of CPython's own `sort` parameter.
  public enum SortKey: Int, Sendable, CaseIterable {
    /// File, line and function as text, ascending.
    case name = -1
    /// Direct samples.
    case nsamples = 0
    /// Time in the function itself.
    case tottime = 1
    /// Time in the function and what it called.
    case cumtime = 2
    /// Share of direct samples.
    case samplePercent = 3
    /// Share of cumulative samples.
    case cumulativePercent = 4
    /// Cumulative samples.
    case cumulativeSamples = 5

    /// What CPython's command line calls the order: `--sort NAME`, or `--sort-NAME` in its first version.
    public var optionName: String {
      switch self {
      case .name: "name"
      case .nsamples: "nsamples"
      case .tottime: "tottime"
      case .cumtime: "cumtime"
      case .samplePercent: "sample-pct"
      case .cumulativePercent: "cumul-pct"
      case .cumulativeSamples: "nsamples-cumul"
      }
    }

    /// The order of that `optionName`; nil where there is none.
    public init?(optionName: String) {
      guard let key = Self.allCases.first(where: { $0.optionName == optionName }) else { return nil }
      self = key
    }
  }

  /// How the table looks.
  public struct Options: Sendable, Equatable {
    /// Order of the rows.
    public var sort = SortKey.cumtime
    /// Greatest number of rows; nil shows all.
    public var limit: Int?
    /// Whether the summary of interesting functions follows.
    public var showsSummary = true
    /// Whether ANSI colours are used.
    public var usesColors = false
    /// Whether samples were taken by CPU time; then a table without rows says that waiting gives none.
    public var countsCPUTime = true

    /// Every row by cumulative time, with the summary, without colours.
    public init() {}
  }

  /// A row: the numbers of one entry, or of several with the same shown name.
  struct Row: Sendable {
    /// Basename of the file.
    let file: String
    /// Nil in the summary, which adds up the lines of a function.
    let line: Int32?
    let name: String
    var direct: UInt64
    var cumulative: UInt64
    /// Seconds. Those of several entries are added up entry by entry, not made of the sum of their samples: the last
    /// bit can differ, and with it the order of rows.
    var total: Double
    var cumulativeTotal: Double
  }

  let rows: [Row]
  /// Samples in all rows, those beyond the limit included.
  let totalSamples: UInt64
  let samples: UInt64
  let options: Options
  let paint: Paint

  /// The table of `collector`'s entries.
  public init(_ collector: PstatsCollector, options: Options = Options()) {
    var merged = Self.merge(
      collector.entries.map { entry in
        Row(
          file: basename(entry.function.file), line: entry.function.line, name: entry.function.name,
          direct: entry.cc, cumulative: entry.nc, total: entry.tt, cumulativeTotal: entry.ct)
      })
    totalSamples = merged.reduce(0) { $0 + $1.direct }
    Self.sort(&merged, by: options.sort, totalSamples: totalSamples)
    rows = options.limit.map { Array(merged.prefix(max(0, $0))) } ?? merged
    samples = collector.samples
    self.options = options
    paint = Paint(isOn: options.usesColors)
  }

  /// Adds up rows of one file, line and function; each stays where its first one was.
  static func merge(_ rows: [Row]) -> [Row] {
    struct Key: Hashable {
      let file: ExactString
      let line: Int32?
      let name: ExactString
    }
    var merged: [Row] = []
    var positions: [Key: Int] = [:]
    for row in rows {
      let key = Key(file: ExactString(row.file), line: row.line, name: ExactString(row.name))
      if let known = positions[key] {
        merged[known].direct += row.direct
        merged[known].cumulative += row.cumulative
        merged[known].total += row.total
        merged[known].cumulativeTotal += row.cumulativeTotal
      } else {
        positions[key] = merged.count
        merged.append(row)
      }
    }
    return merged
  }

  private static func sort(_ rows: inout [Row], by key: SortKey, totalSamples: UInt64) {
    switch key {
    case .name:
      let texts = rows.map { "(\(pythonLiteral($0.file)), \($0.line ?? 0), \(pythonLiteral($0.name)))" }
      let order = rows.indices.sorted { precedes(texts[$0], texts[$1]) }
      rows = order.map { rows[$0] }
    case .nsamples: rows = stablySorted(rows) { Double($0.direct) }
    case .tottime: rows = stablySorted(rows) { $0.total }
    case .cumtime: rows = stablySorted(rows) { $0.cumulativeTotal }
    case .samplePercent: rows = stablySorted(rows) { percent($0.direct, of: totalSamples) }
    case .cumulativePercent: rows = stablySorted(rows) { percent($0.cumulative, of: totalSamples) }
    case .cumulativeSamples: rows = stablySorted(rows) { Double($0.cumulative) }
    }
  }

  /// Descending by `key`; ties keep their order.
  static func stablySorted(_ rows: [Row], by key: (Row) -> Double) -> [Row] {
    let keys = rows.map(key)
    let order = rows.indices.sorted { keys[$0] == keys[$1] ? $0 < $1 : keys[$0] > keys[$1] }
    return order.map { rows[$0] }
  }

  /// The whole text: table, legend and summary. It ends with a line feed.
  public var text: String {
    // Of nothing, not even the titles of the columns are shown; with a limit of no rows they are.
    guard totalSamples > 0 || !rows.isEmpty else { return emptyText }
    var text = table + legend
    if options.showsSummary, !rows.isEmpty { text += summary }
    return text
  }

  private var emptyText: String {
    if samples > 0 { return "No frame could be shown: the stacks of all \(samples) samples are empty.\n" }
    let reason = "This can happen in CPU mode when all threads are idle.\n"
    return "No samples were collected.\n" + (options.countsCPUTime ? reason : "")
  }

  private var table: String {
    let total = TimeUnit(for: rows.map(\.total).max() ?? 0)
    let cumulative = TimeUnit(for: rows.map(\.cumulativeTotal).max() ?? 0)
    let titles = ["nsamples", "sample%", "tottime (\(total.name))", "cumul%", "cumtime (\(cumulative.name))"]
    let widths = [15, 8, max(12, titles[2].unicodeScalars.count), 8, max(12, titles[4].unicodeScalars.count)]
    let header = zip(titles, widths).map { paint.heading(rightAligned($0, $1)) }
    var text = paint.heading("Profile Stats:") + "\n"
    text += (header + [paint.heading("filename:lineno(function)")]).joined(separator: "  ") + "\n"
    for row in rows {
      let cells = [
        "\(row.direct)/\(row.cumulative)",
        fixed(percent(row.direct, of: totalSamples), decimals: 1),
        fixed(row.total * total.scale, decimals: 3),
        fixed(percent(row.cumulative, of: totalSamples), decimals: 1),
        fixed(row.cumulativeTotal * cumulative.scale, decimals: 3),
      ]
      let aligned = zip(cells, widths).map { rightAligned($0, $1) }
      text += (aligned + [paint.function(row)]).joined(separator: "  ") + "\n"
    }
    return text
  }

  // Sentences that CPython prints; readers and their scripts know them.
  private var legend: String {
    let lines = [
      ("nsamples", "Direct/Cumulative samples (direct executing / on call stack)"),
      ("sample%", "Percentage of total samples this function was directly executing"),
      ("tottime", "Estimated total time spent directly in this function"),
      ("cumul%", "Percentage of total samples when this function was on the call stack"),
      ("cumtime", "Estimated cumulative time (including time in called functions)"),
      ("filename:lineno(function)", "Function location and name"),
    ]
    return "\n" + paint.heading("Legend:") + "\n"
      + lines.map { "  \(paint.term($0)): \($1)\n" }.joined()
  }
}

/// Unit of a column of times, chosen by its greatest value in seconds.
private struct TimeUnit {
  let name: String
  let scale: Double

  init(for greatest: Double) {
    if greatest >= 1 {
      (name, scale) = ("s", 1)
    } else if greatest >= 0.001 {
      (name, scale) = ("ms", 1e3)
    } else {
      (name, scale) = ("\u{3BC}s", 1e6)
    }
  }
}

/// CPython's ANSI colours, or none.
struct Paint: Sendable {
  let isOn: Bool

  private func wrap(_ text: String, _ code: String) -> String {
    isOn ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }

  func heading(_ text: String) -> String { wrap(text, "1;34") }

  func term(_ text: String) -> String { wrap(text, "33") }

  func function(_ row: StatsTable.Row) -> String {
    wrap(printable(row.file), "32") + ":" + wrap(row.line.map { String($0) } ?? "", "33") + "("
      + wrap(printable(row.name), "36") + ")"
  }
}
