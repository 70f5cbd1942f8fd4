// What the page should draw, from the stacks themselves, and what it draws, in the same words.

import FlameGraphSupport
import Testing

extension DrawnBox {
  /// A frame as `ReferenceTree` writes it.
  var text: String { ReferenceTree.text(name ?? "", file ?? "", line, firstLine ?? -1) }
}

extension Browser {
  /// The one box with a name, or the one of them at a depth.
  func box(_ name: String, depth: Int? = nil) async throws -> DrawnBox {
    let found = try await drawn().filter { $0.name == name && (depth == nil || $0.depth == depth) }
    try #require(!found.isEmpty, "no box \(name) is drawn")
    return found[0]
  }

  /// The drawn boxes as paths from the root, with their samples; the root box is left out.
  func drawnTree() async throws -> [String: UInt64] {
    let boxes = try await drawn()
    try #require(!boxes.contains { $0.isStrip == true }, "some boxes are too narrow to draw")
    var paths: [String] = []
    var tree: [String: UInt64] = [:]
    for box in boxes {
      guard let parent = box.parent, parent >= 0 else {
        paths.append("")
        continue
      }
      let path = paths[parent] + "/" + box.text
      paths.append(path)
      // Two boxes of one path would be one box that was not merged.
      try #require(tree[path] == nil, "\(path) is drawn twice")
      tree[path] = box.samples
    }
    return tree
  }
}

/// The trees that the page should show, from the stacks themselves.
struct ReferenceTree {
  /// Root first, as texts; what is merged is left out.
  private(set) var stacks: [(frames: [String], count: UInt64)] = []

  static func text(_ name: String, _ file: String, _ line: Int?, _ firstLine: Int) -> String {
    "\(name) \(file) of \(firstLine)" + (line.map { " at \($0)" } ?? "")
  }

  /// The stacks of a thread, or of all; `merge` as the page's check boxes are called.
  init(_ stacks: [PictureStack], thread: Int? = nil, merge: Set<String> = []) {
    for stack in stacks where thread == nil || stack.thread == thread {
      var shown: [String] = []
      var hasPython = false
      for frame in stack.frames.isEmpty ? [.marker("[no frames]")] : stack.frames {
        let isMerged =
          (merge.contains("kernel") && frame.kind == .kernel)
          || (merge.contains("interpreter") && frame.language == .interpreter)
          || (merge.contains("native") && frame.kind == .native && hasPython)
        if frame.kind == .python { hasPython = true }
        if isMerged { continue }
        let line = merge.contains("lines") ? nil : Int(frame.line)
        shown.append(Self.text(frame.name, frame.file, line, Int(frame.firstLine)))
      }
      self.stacks.append((shown, stack.count))
    }
  }

  var samples: UInt64 { stacks.reduce(0) { $0 + $1.count } }

  private func tree(_ paths: [(frames: [String], count: UInt64)]) -> [String: UInt64] {
    var tree: [String: UInt64] = [:]
    for path in paths {
      var text = ""
      for frame in path.frames {
        text += "/" + frame
        tree[text, default: 0] += path.count
      }
    }
    return tree
  }

  /// From the root to the running functions.
  var callees: [String: UInt64] { tree(stacks) }

  /// From the running functions to the root.
  var callers: [String: UInt64] { tree(stacks.map { ($0.frames.reversed(), $0.count) }) }

  /// From the innermost frame of a function to the root.
  func callers(of isFunction: (String) -> Bool) -> [String: UInt64] {
    tree(
      stacks.compactMap { stack in
        guard let innermost = stack.frames.lastIndex(where: isFunction) else { return nil }
        return (stack.frames[...innermost].reversed(), stack.count)
      })
  }

  /// Samples with a frame that matches.
  func matched(_ isMatch: (String) -> Bool) -> UInt64 {
    stacks.filter { $0.frames.contains(where: isMatch) }.reduce(0) { $0 + $1.count }
  }
}
