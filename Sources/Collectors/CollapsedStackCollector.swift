// Collapsed stacks: one line per distinct stack, as flame graph tools read them.

import Profiles

/// One line per stack: its frames from the root to the leaf between `;`, a space, and the number of samples.
///
/// A Python frame is `file:function:line` with the file's basename, a native one `symbol (module)` with the
/// module's basename, a kernel one `symbol ([kernel])`, a marker its own text. A stack without frames is
/// `[no frames]`. A `;` in a name becomes `:`, a control character or line separator becomes a space, and
/// no frame is longer than `longestFrame`. Stacks with equal text are one line; all threads are added up.
/// Lines are in descending order of their counts; those of equal counts are in the order of their text.
public struct CollapsedStackCollector: Collector {
  /// Greatest length of a frame's text, in Unicode code points.
  public static let longestFrame = 300

  /// `txt`, as CPython's own profiler names such files.
  public static var fileExtension: String { "txt" }

  /// A stack as positions in `texts`, root first.
  private struct Line {
    let frames: [UInt32]
    let count: UInt64
  }

  private var texts: [String]
  private var lines: [Line]

  /// Adds up the stacks of `profile` by their text.
  public init(_ profile: Profile) {
    var texts: [String] = []
    var positions: [String: UInt32] = [:]
    let textOfFrame = profile.frames.map { frame -> UInt32 in
      let text = Self.text(of: frame, in: profile)
      if let known = positions[text] { return known }
      let position = UInt32(texts.count)
      positions[text] = position
      texts.append(text)
      return position
    }
    var counts: [[UInt32]: UInt64] = [:]
    for counted in profile.countedStacks {
      let frames = profile.frames(of: counted.stack).reversed().map { textOfFrame[Int($0.index)] }
      counts[frames, default: 0] += counted.count
    }
    self.texts = texts
    lines = counts.map { Line(frames: $0.key, count: $0.value) }.sorted {
      $0.count == $1.count ? Self.precedes($0.frames, $1.frames, texts) : $0.count > $1.count
    }
  }

  /// Whether the line of `left` comes before that of `right`, without making either.
  private static func precedes(_ left: [UInt32], _ right: [UInt32], _ texts: [String]) -> Bool {
    let common = min(left.count, right.count)
    guard let first = (0..<common).first(where: { left[$0] != right[$0] }) else {
      return left.count < right.count
    }
    func text(_ stack: [UInt32]) -> String {
      texts[Int(stack[first])] + (first + 1 < stack.count ? ";" : "")
    }
    return Collectors.precedes(text(left), text(right))
  }

  /// The lines as UTF-8, each with a line feed.
  public func exported() -> [UInt8] {
    var bytes: [UInt8] = []
    for line in lines {
      for (position, frame) in line.frames.enumerated() {
        if position > 0 { bytes.append(UInt8(ascii: ";")) }
        bytes.append(contentsOf: texts[Int(frame)].utf8)
      }
      if line.frames.isEmpty { bytes.append(contentsOf: "[no frames]".utf8) }
      bytes.append(contentsOf: " \(line.count)\n".utf8)
    }
    return bytes
  }

  private static func text(of frame: Frame, in profile: Profile) -> String {
    let name = safe(profile[frame.name])
    let place = safe(basename(profile[frame.file]))
    switch frame.kind {
    case .python: return python(name, place, frame.line)
    case .native, .kernel: return native(name, place)
    case .marker: return NameShortening.shorten(endOf: name, to: longestFrame)
    }
  }

  /// The line number is always kept; a long function name loses its end, a very long file name its middle.
  private static func python(_ name: String, _ file: String, _ line: Int32) -> String {
    let text = "\(file):\(name):\(line)"
    guard text.unicodeScalars.count > longestFrame else { return text }
    let place = NameShortening.shorten(middleOf: file, to: longestFrame / 3)
    let suffix = ":\(line)"
    let head = NameShortening.shorten(
      endOf: "\(place):\(name)", to: longestFrame - suffix.unicodeScalars.count)
    return head + suffix
  }

  private static func native(_ name: String, _ module: String) -> String {
    let text = "\(name) (\(module))"
    guard text.unicodeScalars.count > longestFrame else { return text }
    let place = NameShortening.shorten(middleOf: module, to: longestFrame / 3)
    let suffix = " (\(place))"
    let symbol = NameShortening.shorten(symbol: name, to: longestFrame - suffix.unicodeScalars.count)
    return symbol + suffix
  }

  /// `name` without anything that ends a frame or a line.
  private static func safe(_ name: String) -> String {
    guard name.unicodeScalars.contains(where: { $0 == ";" || breaksLines($0) }) else { return name }
    var safe = ""
    for scalar in name.unicodeScalars {
      safe.unicodeScalars.append(scalar == ";" ? ":" : breaksLines(scalar) ? " " : scalar)
    }
    return safe
  }
}
