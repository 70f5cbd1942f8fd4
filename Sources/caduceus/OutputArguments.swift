// The options that say what is printed and written.

import ArgumentParser
import Collectors

enum OutputFormat: String, EnumerableFlag {
  case pstats, collapsed

  static func help(for value: OutputFormat) -> ArgumentHelp? {
    switch value {
    case .pstats: "Functions with their times: a table, or with -o a file for pstats readers. (default)"
    case .collapsed: "One line per distinct stack and its count, for flame graphs."
    }
  }
}

/// The orders of the table, as flags and as values.
extension StatsTable.SortKey: EnumerableFlag, ExpressibleByArgument {
  /// The order of that name.
  public init?(argument: String) { self.init(optionName: argument) }

  /// The flag of an order.
  public static func name(for value: Self) -> NameSpecification { .customLong("sort-\(value.optionName)") }

  /// What the flag does.
  public static func help(for value: Self) -> ArgumentHelp? {
    switch value {
    case .nsamples: "Sort by samples in the function itself."
    case .tottime: "Sort by time in the function itself."
    case .cumtime: "Sort by time in the function and what it called. (default)"
    case .samplePercent: "Sort by share of samples in the function itself."
    case .cumulativePercent: "Sort by share of samples with the function on the stack."
    case .cumulativeSamples: "Sort by samples with the function on the stack."
    case .name: "Sort by file, line and function."
    }
  }
}

extension PstatsCollector.Form: ExpressibleByArgument {
  /// `compatible` or `sampled`.
  public init?(argument: String) {
    switch argument {
    case "compatible": self = .compatible
    case "sampled": self = .sampled
    default: return nil
    }
  }
}

extension PstatsCollector.Grouping: ExpressibleByArgument {
  /// `line` or `function`.
  public init?(argument: String) {
    switch argument {
    case "line": self = .line
    case "function": self = .function
    default: return nil
    }
  }
}

struct OutputArguments: ParsableArguments {
  @Flag var formats: [OutputFormat] = []

  @Option(
    name: [.customShort("o"), .customLong("output"), .customLong("outfile")],
    help: ArgumentHelp(
      "Write to this file; in a folder the file gets its default name. (default: the table is printed, other "
        + "formats get a default name here)",
      valueName: "file"),
    completion: .file())
  var output: String?

  @Flag(name: .long, help: "Print every line of the accounting of samples.")
  var ledger = false

  @Flag(
    name: .customLong("realtime-stats"),
    help: "Once a second print how many samples per second are taken.")
  var realtimeStats = false

  @Flag(
    inversion: .prefixedNo,
    help: "Keep a line up to date while sampling. (default: for attach, on a terminal)")
  var progress: Bool?

  mutating func validate() throws {
    if Set(formats).count > 1 {
      throw ValidationError("--pstats and --collapsed exclude each other: a run writes one format")
    }
    if let output, output.isEmpty { throw ValidationError("--output needs a file name") }
    if realtimeStats && progress == true {
      throw ValidationError(
        "--realtime-stats and --progress exclude each other: both keep the last line of the screen")
    }
  }

  var format: OutputFormat { formats.last ?? .pstats }
}

/// Options of one format only.
struct FormatArguments: ParsableArguments {
  @Flag var sortFlags: [StatsTable.SortKey] = []

  @Option(
    name: .customLong("sort"),
    help: ArgumentHelp(
      "The same by name: nsamples, tottime, cumtime, sample-pct, cumul-pct, nsamples-cumul or name.",
      valueName: "name"))
  var sort: StatsTable.SortKey?

  @Option(
    name: [.customShort("l"), .customLong("limit")],
    help: ArgumentHelp("Rows of the table. (default: \(Self.defaultLimit))", valueName: "rows"))
  var limit: Int?

  @Flag(
    name: .customLong("no-summary"), help: "Print the table without the summary of interesting functions.")
  var noSummary = false

  @Option(
    name: .customLong("pstats-by"),
    help: ArgumentHelp(
      "What a row is: line (the line that was running) or function. (default: line)", valueName: "what"))
  var grouping: PstatsCollector.Grouping?

  @Option(
    name: .customLong("pstats-form"),
    help: ArgumentHelp(
      "Form of the file: compatible (every reader takes it) or sampled (CPython 3.15's own). (default: compatible)",
      valueName: "form"))
  var form: PstatsCollector.Form?

  @Flag(name: .customLong("threads"), help: "Put the thread first in each collapsed stack.")
  var threads = false

  static let defaultLimit = 15

  mutating func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1, not \(limit)") }
    let flags = Set(sortFlags)
    if flags.count > 1 {
      let names = sortFlags.map { "--sort-\($0.optionName)" }
      throw ValidationError("\(names[0]) and \(names[1]) exclude each other: a table has one order")
    }
    if let sort, !flags.isEmpty {
      throw ValidationError(
        "--sort \(sort.optionName) and --sort-\(sortFlags[0].optionName) exclude each other: a table has one order"
      )
    }
  }

  /// The original's rule; an option that has its default value is not noticed there, so that it is not here.
  func check(against output: OutputArguments) throws {
    switch output.format {
    case .pstats:
      if form != nil, output.output == nil {
        throw ValidationError("--pstats-form needs -o: a table that is printed has no file form")
      }
      if threads {
        throw ValidationError(
          "--threads is only valid with --collapsed: functions are added up over all threads")
      }
    case .collapsed:
      var given: [String] = []
      if sort != nil || !sortFlags.isEmpty { given.append("sort") }
      if let limit, limit != Self.defaultLimit { given.append("limit") }
      if noSummary { given.append("summary") }
      if grouping != nil { given.append("pstats-by") }
      if form != nil { given.append("pstats-form") }
      guard given.isEmpty else {
        throw ValidationError(
          "The following options are only valid with --pstats format: \(given.joined(separator: ", "))"
            + " (collapsed stacks are not a table)")
      }
    }
  }

  func tableOptions(usesColors: Bool) -> StatsTable.Options {
    var options = StatsTable.Options()
    options.sort = sort ?? sortFlags.last ?? .cumtime
    options.limit = limit ?? Self.defaultLimit
    options.showsSummary = !noSummary
    options.usesColors = usesColors
    return options
  }
}
