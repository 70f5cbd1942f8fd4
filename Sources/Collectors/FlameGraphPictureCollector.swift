// The flame graph as a picture that does not move: SVG without a script, for reports.

import Profiles

/// A flame graph as one SVG file: the root at the bottom, the heaviest on the left, names when the pointer rests on a box.
///
/// The colours are those of the interactive page. Two things are left out, and the picture says how much that is: boxes
/// that are narrower than a quarter of a pixel, or more while the file would be larger than `largestSize`; and the rows at
/// the top whose boxes together have no room for any name (26 of 1,180 pixels).
public struct FlameGraphPictureCollector: Collector {
  /// `svg`.
  public static var fileExtension: String { "svg" }

  /// Size in bytes above which narrower boxes are left out.
  public static let largestSize = 300_000

  private let tree: FlameTree
  private let facts: RunFacts

  /// Merges the stacks of `profile`.
  public init(_ profile: Profile) {
    tree = FlameTree(profile)
    facts = RunFacts(profile)
  }

  /// The picture as UTF-8.
  public func exported() -> [UInt8] {
    var narrowest = 0.25
    let layout = PictureLayout(tree)
    while true {
      let picture = FlameGraphPicture(layout, facts, narrowest: narrowest).bytes
      // Wider than this nothing is left out, whatever the size.
      if picture.count <= Self.largestSize || narrowest >= 8 { return picture }
      narrowest *= 2
    }
  }
}

/// Where the boxes of a tree are, in samples: independent of the size of a picture.
struct PictureLayout {
  struct Box {
    let node: Int
    /// Samples to the left of it, and its own.
    var start: UInt64
    let weight: UInt64
  }

  let tree: FlameTree
  let total: UInt64
  /// Row by row from the root; within a row from left to right.
  let rows: [[Box]]
  /// Share of self time by language, the greatest first; languages without any frame are left out.
  let languages: [(language: FrameLanguage, weight: UInt64)]

  init(_ tree: FlameTree) {
    self.tree = tree
    let (own, totals) = (tree.selfWeights, tree.totalWeights)
    // A tree is many arrays: asking it for one thing at a time copies the references of all.
    let (profile, frames, ends) = (tree.profile, tree.frames, tree.ends)
    let texts = profile.frames.map { "\(profile[$0.name]) \(profile[$0.file]):\($0.line)" }
    func place(_ nodes: Range<Int>, from start: UInt64, into row: inout [Box]) {
      let first = row.count
      var next = nodes.lowerBound
      while next < nodes.upperBound {
        row.append(Box(node: next, start: start, weight: totals[next]))
        next = ends[next]
      }
      guard row.count - first > 1 else { return }
      row[first...].sort { left, right in
        if left.weight != right.weight { return left.weight > right.weight }
        return precedes(texts[Int(frames[left.node].index)], texts[Int(frames[right.node].index)])
      }
      var begin = start
      for index in first..<row.count {
        row[index].start = begin
        begin += row[index].weight
      }
    }
    var rows: [[Box]] = []
    var row: [Box] = []
    place(0..<frames.count, from: 0, into: &row)
    while !row.isEmpty {
      rows.append(row)
      var next: [Box] = []
      next.reserveCapacity(row.count)
      for box in row { place(box.node + 1..<ends[box.node], from: box.start, into: &next) }
      row = next
    }
    self.rows = rows
    total = own.reduce(0, +)
    var sums: [FrameLanguage: UInt64] = [:]
    for frame in profile.frames { sums[frame.language, default: 0] += 0 }
    for (node, weight) in own.enumerated() where weight > 0 {
      sums[profile[frames[node]].language, default: 0] += weight
    }
    languages = sums.map { (language: $0.key, weight: $0.value) }.sorted {
      $0.weight == $1.weight ? $0.language.rawValue < $1.language.rawValue : $0.weight > $1.weight
    }
  }
}
