// Samples as pstats entries: who was executing, who was on the stack, who called whom; and the pstats file.

import Profiles

/// Direct and cumulative samples per line of code, with callers.
///
/// A Python frame counts under (file, line being executed, function): per line, not per function. A native
/// or kernel frame counts under (module, 0, symbol), a marker under ("~", 0, "<its text>").
public struct PstatsCollector: Collector {
  /// What samples are counted under; pstats calls it `func`.
  public struct Function: Hashable, Sendable {
    /// `co_filename`, path of the module, or `~`.
    public let file: String
    /// Line being executed, or 0.
    public let line: Int32
    /// Qualified name, symbol, or the text of a marker between `<` and `>`.
    public let name: String

    /// A key as it is in the file.
    public init(file: String, line: Int32, name: String) {
      self.file = file
      self.line = line
      self.name = name
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

  /// Counts every sample of `profile`.
  public init(_ profile: Profile) {
    var tally = StackTally(profile)
    for counted in profile.countedStacks { tally.add(counted) }
    interval = Double(profile.header.period) / 1e9
    samples = tally.samples
    entries = tally.entries(interval: interval)
  }

  /// A marshalled dictionary from (file, line, function) to (cc, nc, tt, ct, callers), where callers maps
  /// the caller's key to (nc, cc, tt, ct).
  ///
  /// This is what pstats of every CPython, snakeviz, gprof2dot and tuna read. A profile without any frame
  /// gives an empty dictionary, which pstats itself refuses.
  public func exported() -> [UInt8] {
    var writer = MarshalWriter()
    writer.beginDictionary()
    for entry in entries {
      write(entry.function, to: &writer)
      writer.beginTuple(count: 5)
      writer.append(integer: entry.cc)
      writer.append(integer: entry.nc)
      writer.append(double: entry.tt)
      writer.append(double: entry.ct)
      writer.beginDictionary()
      for caller in entry.callers {
        write(entries[caller.entry].function, to: &writer)
        writer.beginTuple(count: 4)
        writer.append(integer: caller.nc)
        writer.append(integer: caller.cc)
        writer.append(double: caller.tt)
        writer.append(double: caller.ct)
      }
      writer.endDictionary()
    }
    writer.endDictionary()
    return writer.bytes
  }

  private func write(_ function: Function, to writer: inout MarshalWriter) {
    writer.beginTuple(count: 3)
    writer.append(string: function.file)
    writer.append(integer: UInt64(max(0, function.line)))
    writer.append(string: function.name)
  }
}

/// The counting behind `PstatsCollector`.
private struct StackTally {
  private struct FunctionCount {
    let function: PstatsCollector.Function
    var direct: UInt64 = 0
    var cumulative: UInt64 = 0
    /// The last stack that was counted as cumulative.
    var lastStack = 0
    /// Positions in `pairs`.
    var pairs: [Int] = []
  }

  private struct PairCount {
    let caller: Int
    var occurrences: UInt64 = 0
    var stacks: UInt64 = 0
    var direct: UInt64 = 0
    var lastStack = 0
  }

  private let profile: Profile
  private var functions: [FunctionCount] = []
  private var positions: [PstatsCollector.Function: Int] = [:]
  /// Position of a frame's function; -1 where it was not met yet.
  private var functionOfFrame: [Int]
  private var pairs: [PairCount] = []
  private var pairPositions: [UInt64: Int] = [:]
  private var stacks = 0
  private(set) var samples: UInt64 = 0

  init(_ profile: Profile) {
    self.profile = profile
    functionOfFrame = Array(repeating: -1, count: profile.frames.count)
  }

  mutating func add(_ counted: CountedStack) {
    stacks += 1
    samples += counted.count
    var callee = -1
    var isLeaf = true
    for frame in profile.frames(of: counted.stack) {
      let function = position(of: frame)
      if functions[function].lastStack != stacks {
        functions[function].lastStack = stacks
        functions[function].cumulative += counted.count
      }
      if callee < 0 {
        functions[function].direct += counted.count
      } else {
        addPair(callee, function, counted.count, calleeIsLeaf: isLeaf)
        isLeaf = false
      }
      callee = function
    }
  }

  private mutating func addPair(_ callee: Int, _ caller: Int, _ count: UInt64, calleeIsLeaf: Bool) {
    let key = UInt64(callee) << 32 | UInt64(caller)
    let pair: Int
    if let known = pairPositions[key] {
      pair = known
    } else {
      pair = pairs.count
      pairs.append(PairCount(caller: caller))
      pairPositions[key] = pair
      functions[callee].pairs.append(pair)
    }
    pairs[pair].occurrences += count
    if calleeIsLeaf { pairs[pair].direct += count }
    if pairs[pair].lastStack != stacks {
      pairs[pair].lastStack = stacks
      pairs[pair].stacks += count
    }
  }

  private mutating func position(of frame: FrameID) -> Int {
    let known = functionOfFrame[Int(frame.index)]
    if known >= 0 { return known }
    let function = Self.function(of: profile[frame], in: profile)
    let position = positions[function] ?? functions.count
    if position == functions.count {
      positions[function] = position
      functions.append(FunctionCount(function: function))
    }
    functionOfFrame[Int(frame.index)] = position
    return position
  }

  private static func function(of frame: Frame, in profile: Profile) -> PstatsCollector.Function {
    let name = profile[frame.name]
    switch frame.kind {
    case .python: return PstatsCollector.Function(file: profile[frame.file], line: frame.line, name: name)
    case .native, .kernel: return PstatsCollector.Function(file: profile[frame.file], line: 0, name: name)
    case .marker:
      let isBracketed = name.hasPrefix("[") && name.hasSuffix("]")
      let text = isBracketed ? name.dropFirst().dropLast() : name[...]
      return PstatsCollector.Function(file: "~", line: 0, name: "<\(text)>")
    }
  }

  func entries(interval: Double) -> [PstatsCollector.Entry] {
    functions.map { counted in
      PstatsCollector.Entry(
        function: counted.function, cc: counted.direct, nc: counted.cumulative,
        tt: Double(counted.direct) * interval, ct: Double(counted.cumulative) * interval,
        callers: counted.pairs.map { position in
          let pair = pairs[position]
          return PstatsCollector.Caller(
            entry: pair.caller, nc: pair.occurrences, cc: pair.stacks,
            tt: Double(pair.direct) * interval, ct: Double(pair.stacks) * interval)
        })
    }
  }
}
