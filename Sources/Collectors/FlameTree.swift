// The tree of all stacks: what a flame graph draws. Equal beginnings of stacks are one path of nodes.

import Profiles

/// The stacks of a profile merged from the root on. Nodes are in depth-first order, children in the order of first sight.
struct FlameTree {
  /// Samples that ended in one node, of one thread.
  struct Sample: Equatable {
    /// Position of the node.
    let node: Int
    /// Position in `profile.threads`.
    let thread: Int
    let count: UInt64
  }

  /// The profile; a stack without frames has become a marker, so that no sample is without a node.
  let profile: Profile
  /// The frame of each node.
  private(set) var frames: [FrameID] = []
  /// Distance of each node from the root, which is no node: 1 and more.
  private(set) var depths: [Int] = []
  /// Position after the last node below each node.
  private(set) var ends: [Int] = []
  /// In the order of nodes, then of threads; each pair of node and thread once.
  private(set) var samples: [Sample] = []

  /// The name of the marker for stacks without frames.
  static let noFrames = "[no frames]"

  /// Merges the stacks of `profile`.
  init(_ profile: Profile) {
    var profile = profile
    var growing = Growing()
    for sample in profile.samples where sample.count > 0 {
      if profile.frames(of: sample.stack).isEmpty {
        let name = profile.intern(string: Self.noFrames)
        let marker = profile.intern(frame: Frame(kind: .marker, name: name, file: .empty, line: 0))
        growing.add(CollectionOfOne(marker), thread: sample.thread, count: sample.count)
      } else {
        growing.add(profile.frames(of: sample.stack).reversed(), thread: sample.thread, count: sample.count)
      }
    }
    self.profile = profile
    let order = number(growing)
    samples = growing.samples.map { Sample(node: order[$0.node], thread: $0.thread, count: $0.count) }
      .sorted { ($0.node, $0.thread) < ($1.node, $1.thread) }
  }

  /// A tree in the order in which nodes were first seen.
  private struct Growing {
    /// Node 0 is the root.
    var frames = [FrameID(index: 0)]
    var firstChild = [-1]
    var lastChild = [-1]
    var nextSibling = [-1]
    var samples: [Sample] = []
    private var positions: [UInt64: Int] = [:]
    private var samplePositions: [UInt64: Int] = [:]

    mutating func add(_ stack: some Sequence<FrameID>, thread: Int, count: UInt64) {
      var node = 0
      for frame in stack { node = child(of: node, frame) }
      let key = UInt64(node) << 32 | UInt64(thread)
      if let known = samplePositions[key] {
        let sample = samples[known]
        samples[known] = Sample(node: node, thread: thread, count: sample.count + count)
      } else {
        samplePositions[key] = samples.count
        samples.append(Sample(node: node, thread: thread, count: count))
      }
    }

    private mutating func child(of parent: Int, _ frame: FrameID) -> Int {
      let key = UInt64(parent) << 32 | UInt64(frame.index)
      if let known = positions[key] { return known }
      let node = frames.count
      positions[key] = node
      frames.append(frame)
      firstChild.append(-1)
      lastChild.append(-1)
      nextSibling.append(-1)
      if lastChild[parent] < 0 { firstChild[parent] = node } else { nextSibling[lastChild[parent]] = node }
      lastChild[parent] = node
      return node
    }
  }

  /// Takes over the nodes in depth-first order. Gives the new position of each old one. Without recursion: stacks
  /// can be deeper than the profiler's own may be.
  private mutating func number(_ growing: Growing) -> [Int] {
    var order = Array(repeating: -1, count: growing.frames.count)
    var open: [Int] = []
    var next = growing.firstChild[0]
    while true {
      while next >= 0 {
        order[next] = frames.count
        frames.append(growing.frames[next])
        ends.append(0)
        open.append(next)
        depths.append(open.count)
        next = growing.firstChild[next]
      }
      guard let node = open.popLast() else { return order }
      ends[order[node]] = frames.count
      next = growing.nextSibling[node]
    }
  }

  /// Samples that ended in each node.
  var selfWeights: [UInt64] {
    var weights = Array(repeating: UInt64(0), count: frames.count)
    for sample in samples { weights[sample.node] += sample.count }
    return weights
  }

  /// Samples that ended in each node or below it.
  var totalWeights: [UInt64] {
    var weights = selfWeights
    for node in weights.indices.reversed() {
      // Each child has its own children's by now.
      var next = node + 1
      while next < ends[node] {
        weights[node] += weights[next]
        next = ends[next]
      }
    }
    return weights
  }

  /// The nodes that hang on a node; nil is the root.
  func children(of node: Int?) -> [Int] {
    var children: [Int] = []
    var next = node.map { $0 + 1 } ?? 0
    let end = node.map { ends[$0] } ?? frames.count
    while next < end {
      children.append(next)
      next = ends[next]
    }
    return children
  }

  /// The frame of a node.
  func frame(of node: Int) -> Frame { profile[frames[node]] }
}
