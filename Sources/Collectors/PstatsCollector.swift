// Samples as pstats entries: who was executing, who was on the stack, who called whom.

import Profiles

/// Direct and cumulative samples per line or per function, with callers.
///
/// A Python frame counts under (file, line, function), where the line is that being executed or that of the
/// definition, as `grouping` says. A native or kernel frame counts under (module, 0, symbol). A marker counts under
/// ("~", 0, "<its text>"), as does code of which no module is known: CPython's own key for what has no file.
public struct PstatsCollector: Collector {
  /// What makes two Python frames one entry.
  public enum Grouping: Sendable, CaseIterable {
    /// The line being executed, as in CPython's sampling profiler: a function has an entry per line.
    case line
    /// The function: the line of the key is that of its definition, as in cProfile. 0 where that is not known.
    case function
  }

  /// What the values of the file's dictionary are.
  public enum Form: Sendable, CaseIterable {
    /// As cProfile writes them: callers have four numbers. Every reader of such files takes it.
    case compatible
    /// As CPython's sampling profiler writes them: callers have one number, and the key ("__sampled__",) is there
    /// with True. Only `pstats` of CPython 3.15 and later reads it.
    case sampled
  }

  /// What samples are counted under; pstats calls it `func`.
  public struct Function: Hashable, Sendable {
    /// `co_filename`, path of the module, or `~`.
    public let file: String
    /// Line being executed or line of the definition, or 0.
    public let line: Int32
    /// Qualified name, symbol, or the text of a marker between `<` and `>`.
    public let name: String

    /// A key as it is in the file.
    public init(file: String, line: Int32, name: String) {
      self.file = file
      self.line = line
      self.name = name
    }

    /// Whether both are the same key to Python, which compares names code point by code point.
    public static func == (left: Function, right: Function) -> Bool {
      left.line == right.line && ExactString(left.file) == ExactString(right.file)
        && ExactString(left.name) == ExactString(right.name)
    }

    /// Feeds what is compared.
    public func hash(into hasher: inout Hasher) {
      hasher.combine(line)
      hasher.combine(ExactString(file))
      hasher.combine(ExactString(name))
    }
  }

  /// What one caller contributes to an entry.
  ///
  /// `cc` and `nc` have the meaning pstats gives them for recursion: they differ only where a stack holds
  /// the pair of callee and caller more than once. `ct` never exceeds the entry's, and the `tt` of all
  /// callers add up to the entry's, except for samples whose stack is the function alone.
  public struct Caller: Sendable, Equatable {
    /// Position of the calling function in `entries`.
    public let entry: Int
    /// How often the pair stands in a sampled stack, every occurrence counted.
    public let nc: UInt64
    /// Samples whose stack holds the pair.
    public let cc: UInt64
    /// Seconds the callee itself was executing, called by this caller.
    public let tt: Double
    /// Seconds the pair was on the stack.
    public let ct: Double
  }

  /// All samples of one function, in the fields of pstats.
  public struct Entry: Sendable, Equatable {
    /// Where the samples were taken.
    public let function: Function
    /// Direct samples: the function was executing.
    public let cc: UInt64
    /// Cumulative samples: the function was on the stack; recursion counts once per stack.
    public let nc: UInt64
    /// Seconds for `cc`.
    public let tt: Double
    /// Seconds for `nc`.
    public let ct: Double
    /// Who was found calling it, in the order of first sight.
    public let callers: [Caller]
  }

  /// All functions in the order of first sight, each stack being read from its leaf.
  public let entries: [Entry]
  /// Nominal seconds between two samples: the factor between counts and seconds.
  public let interval: Double
  /// Samples collected, those with an empty stack included; they are in no entry.
  public let samples: UInt64

  /// `pstats`, as CPython's own profiler names such files.
  public static var fileExtension: String { "pstats" }

  /// Counts every sample of `profile` by the line being executed.
  public init(_ profile: Profile) { self.init(profile, grouping: .line) }

  /// Counts every sample of `profile`.
  public init(_ profile: Profile, grouping: Grouping) {
    var tally = StackTally(profile, grouping)
    for counted in profile.countedStacks { tally.add(counted) }
    interval = Double(profile.header.period) / 1e9
    samples = tally.samples
    entries = tally.entries(interval: interval)
  }
}
