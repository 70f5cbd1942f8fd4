// Counts stacks: direct samples, cumulative samples, and who called whom.

import Profiles

/// The counting behind `PstatsCollector`.
struct StackTally {
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
  private let grouping: PstatsCollector.Grouping
  private var functions: [FunctionCount] = []
  private var positions: [PstatsCollector.Function: Int] = [:]
  /// Position of a frame's function; -1 where it was not met yet.
  private var functionOfFrame: [Int]
  private var pairs: [PairCount] = []
  private var pairPositions: [UInt64: Int] = [:]
  private var stacks = 0
  private(set) var samples: UInt64 = 0

  init(_ profile: Profile, _ grouping: PstatsCollector.Grouping) {
    self.profile = profile
    self.grouping = grouping
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
    let function = PstatsCollector.Function(profile[frame], in: profile, grouping)
    let position = positions[function] ?? functions.count
    if position == functions.count {
      positions[function] = position
      functions.append(FunctionCount(function: function))
    }
    functionOfFrame[Int(frame.index)] = position
    return position
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

extension PstatsCollector.Function {
  /// What the samples of `frame` are counted under.
  init(_ frame: Frame, in profile: Profile, _ grouping: PstatsCollector.Grouping = .line) {
    let (name, file) = (profile[frame.name], profile[frame.file])
    switch frame.kind {
    case .python:
      self.init(file: file, line: grouping == .line ? frame.line : frame.firstLine, name: name)
    case .native where !file.isEmpty, .kernel where !file.isEmpty: self.init(file: file, line: 0, name: name)
    case .native, .kernel, .marker:
      // The key of what has no file; pstats prints it as `{text}`.
      let isBracketed = name.hasPrefix("[") && name.hasSuffix("]")
      let text = isBracketed ? name.dropFirst().dropLast() : name[...]
      self.init(file: "~", line: 0, name: "<\(text)>")
    }
  }
}
