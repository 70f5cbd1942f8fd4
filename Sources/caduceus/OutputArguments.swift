// The options that say what is printed and written.

import ArgumentParser
import Collectors

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

  @Flag(name: .long, help: "Open the flame graph in your browser when it is written.") var open = false

  @Option(
    name: [.customShort("o"), .customLong("output"), .customLong("outfile")],
    help: ArgumentHelp(
      "Write to this file, in the format of its name: .html, .svg, .pstats, .txt, .speedscope.json, .gecko.json, "
        + ".pb.gz or .jsonl. A format option comes before the name. In a folder the file gets its default name. "
        + "Several -o write several files. (default: the table is printed, other formats get a default name here)",
      valueName: "file"),
    completion: .file())
  var outputs: [String] = []

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
      throw ValidationError(
        "--\(formats[0].rawValue) and --\(formats[1].rawValue) exclude each other: for several formats name several "
          + "files, as in -o fit.html -o fit.pstats")
    }
    if outputs.contains("") { throw ValidationError("--output needs a file name") }
    if let twice = Set(outputs.filter { name in outputs.count { $0 == name } > 1 }).first {
      throw ValidationError("-o \(twice) is there twice: each file is written once")
    }
    if outputs.count > 1, let format = formats.first,
      outputs.allSatisfy({ OutputFormat(fileName: $0) != nil }),
      !outputs.contains(where: { OutputFormat(fileName: $0) == format })
    {
      throw ValidationError(
        "--\(format.rawValue) fits none of the names: several files are told apart by their names")
    }
    for name in outputs
    where name.hasSuffix(".json") && formats.isEmpty && OutputFormat(fileName: name) == nil {
      throw ValidationError(
        "\(name) may be one of two formats: say --speedscope or --gecko, or name it .speedscope.json or .gecko.json"
      )
    }
    if open, !written.contains(where: { [.flamegraph, .svg].contains($0.format) }) {
      throw ValidationError("--open needs a flame graph: --flamegraph, or a name that ends in .html or .svg")
    }
    if realtimeStats && progress == true {
      throw ValidationError(
        "--realtime-stats and --progress exclude each other: both keep the last line of the screen")
    }
  }

  /// What is going to be written: formats, and names where the user has given them. Empty: the table is printed.
  var written: [(format: OutputFormat, name: String?)] {
    let asked = formats.last
    if outputs.isEmpty {
      let format = asked ?? .pstats
      return format == .pstats ? [] : [(format, nil)]
    }
    return outputs.map { name in
      let byName = OutputFormat(fileName: name)
      // One file is what the option says; the picture is a form of the flame graph.
      if outputs.count == 1, let asked {
        return (asked == .flamegraph && byName == .svg ? .svg : asked, name)
      }
      return (byName ?? asked ?? .pstats, name)
    }
  }

  /// Whether functions with their times are printed or written.
  var hasStatistics: Bool { written.isEmpty || written.contains { $0.format == .pstats } }
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
    if threads, !output.written.contains(where: { $0.format == .collapsed }) {
      throw ValidationError(
        "--threads is only valid with --collapsed: other formats keep threads apart, or add them up")
    }
    if output.hasStatistics {
      if form != nil, output.written.isEmpty {
        throw ValidationError("--pstats-form needs -o: a table that is printed has no file form")
      }
      return
    }
    var given: [String] = []
    if sort != nil || !sortFlags.isEmpty { given.append("sort") }
    if let limit, limit != Self.defaultLimit { given.append("limit") }
    if noSummary { given.append("summary") }
    if grouping != nil { given.append("pstats-by") }
    if form != nil { given.append("pstats-form") }
    guard given.isEmpty else {
      throw ValidationError(
        "The following options are only valid with --pstats format: \(given.joined(separator: ", "))"
          + " (stacks are not a table)")
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
