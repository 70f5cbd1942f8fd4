// The table that is printed when no output file is asked for: one row per line of code.

/// A table of pstats entries, in the columns and the order of CPython's sampling profiler.
///
/// Directories are left out of file names; entries that become equal by that are added up.
public struct StatsTable: Sendable {
  /// What rows are sorted by. All but `name` sort in descending order; ties keep the order of first sight.
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

    /// Every row by cumulative time, with the summary, without colours.
    public init() {}
  }

  /// A row: the numbers of one entry, or of several with the same shown name.
  struct Row: Sendable {
    let file: String
    /// Empty in the summary, which adds up the lines of a function.
    let line: String
    let name: String
    var direct: UInt64
    var cumulative: UInt64
  }

  let rows: [Row]
  /// Samples in all rows, those beyond the limit included.
  let totalSamples: UInt64
  let samples: UInt64
  let interval: Double
  let showsSummary: Bool
  let paint: Paint

  /// The table of `collector`'s entries.
  public init(_ collector: PstatsCollector, options: Options = Options()) {
    var merged = Self.merge(
      collector.entries.map { entry in
        Row(
          file: printable(basename(entry.function.file)), line: String(entry.function.line),
          name: printable(entry.function.name), direct: entry.cc, cumulative: entry.nc)
      })
    totalSamples = merged.reduce(0) { $0 + $1.direct }
    Self.sort(&merged, by: options.sort)
    rows = options.limit.map { Array(merged.prefix(max(0, $0))) } ?? merged
    samples = collector.samples
    interval = collector.interval
    showsSummary = options.showsSummary
    paint = Paint(isOn: options.usesColors)
  }

  /// Adds up rows of one file, line and function; each stays where its first one was.
  static func merge(_ rows: [Row]) -> [Row] {
    struct Key: Hashable {
      let file: String
      let line: String
      let name: String
    }
    var merged: [Row] = []
    var positions: [Key: Int] = [:]
    for row in rows {
      let key = Key(file: row.file, line: row.line, name: row.name)
      if let known = positions[key] {
        merged[known].direct += row.direct
        merged[known].cumulative += row.cumulative
      } else {
        positions[key] = merged.count
        merged.append(row)
      }
    }
    return merged
  }

  private static func sort(_ rows: inout [Row], by key: SortKey) {
    switch key {
    case .name:
      let texts = rows.map { "('\($0.file)', \($0.line), '\($0.name)')" }
      let order = rows.indices.sorted { precedes(texts[$0], texts[$1]) }
      rows = order.map { rows[$0] }
    // Shares and times are counts times one factor: the counts give the order, without rounding.
    case .nsamples, .tottime, .samplePercent: rows = stablySorted(rows) { Double($0.direct) }
    case .cumtime, .cumulativePercent, .cumulativeSamples:
      rows = stablySorted(rows) { Double($0.cumulative) }
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
    guard totalSamples > 0 || !rows.isEmpty else { return emptyText }
    var text = table + legend
    if showsSummary, !rows.isEmpty { text += summary }
    return text
  }

  private var emptyText: String {
    if samples > 0 { return "No frame could be shown: the stacks of all \(samples) samples are empty.\n" }
    return "No samples were collected.\nThe clock counts CPU time: threads that only wait give no samples.\n"
  }

  private var table: String {
    let total = TimeUnit(for: seconds(rows.map(\.direct).max() ?? 0))
    let cumulative = TimeUnit(for: seconds(rows.map(\.cumulative).max() ?? 0))
    let titles = ["nsamples", "sample%", "tottime (\(total.name))", "cumul%", "cumtime (\(cumulative.name))"]
    let widths = [15, 8, max(12, titles[2].unicodeScalars.count), 8, max(12, titles[4].unicodeScalars.count)]
    let header = zip(titles, widths).map { paint.heading(rightAligned($0, $1)) }
    var text = paint.heading("Profile Stats:") + "\n"
    text += (header + [paint.heading("filename:lineno(function)")]).joined(separator: "  ") + "\n"
    for row in rows {
      let cells = [
        "\(row.direct)/\(row.cumulative)",
        fixed(percent(row.direct, of: totalSamples), decimals: 1),
        fixed(seconds(row.direct) * total.scale, decimals: 3),
        fixed(percent(row.cumulative, of: totalSamples), decimals: 1),
        fixed(seconds(row.cumulative) * cumulative.scale, decimals: 3),
      ]
      let aligned = zip(cells, widths).map { rightAligned($0, $1) }
      text += (aligned + [paint.function(row)]).joined(separator: "  ") + "\n"
    }
    return text
  }

  private var legend: String {
    let lines = [
      ("nsamples", "Direct/cumulative samples (executing / anywhere on the stack)"),
      ("sample%", "Share of all samples in which the function itself was executing"),
      ("tottime", "Estimated time in the function itself"),
      ("cumul%", "Share of all samples in which the function was on the stack"),
      ("cumtime", "Estimated time in the function and everything it called"),
      ("filename:lineno(function)", "Place and name of the function"),
    ]
    return "\n" + paint.heading("Legend:") + "\n"
      + lines.map { "  \(paint.term($0)): \($1)\n" }.joined()
  }

  private func seconds(_ samples: UInt64) -> Double { Double(samples) * interval }
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

/// ANSI colours, or none.
struct Paint: Sendable {
  let isOn: Bool

  private func wrap(_ text: String, _ code: String) -> String {
    isOn ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }

  func heading(_ text: String) -> String { wrap(text, "1;34") }

  func term(_ text: String) -> String { wrap(text, "33") }

  func function(_ row: StatsTable.Row) -> String {
    wrap(row.file, "32") + ":" + wrap(row.line, "33") + "(" + wrap(row.name, "36") + ")"
  }
}
