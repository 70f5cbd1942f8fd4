// Collapsed stacks: one line per distinct stack, as flame graph tools read them.

import Profiles

/// One line per stack: its frames from the root to the leaf between `;`, a space, and the number of samples.
///
/// A Python frame is `file:function:line` with the file's basename, a native one `symbol (module)` with the
/// module's basename, a kernel one `symbol ([kernel])`; a marker, or code of no known module, is its own text. A
/// stack without frames is `[no frames]`. A `;` in a name becomes `:`, a control character or line separator becomes
/// a space, and no frame is longer than `longestFrame`. The space before a number that stands alone becomes `_`, so
/// that nobody takes it for a count. Stacks with equal text are one line.
/// Lines are in descending order of their counts; those of equal counts are in the order of their text.
///
/// All threads are added up, or each thread has lines of its own, which begin with the frame `tid:ID NAME`.
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

  /// Adds up the stacks of `profile` by their text, those of all threads together.
  public init(_ profile: Profile) { self.init(profile, showsThreads: false) }

  /// Adds up the stacks of `profile` by their text; `showsThreads` puts the thread's id and name before each.
  public init(_ profile: Profile, showsThreads: Bool) {
    var texts = Texts()
    let textOfFrame = profile.frames.map { texts.position(of: Self.text(of: $0, in: profile)) }
    func line(_ stack: StackID) -> [UInt32] {
      let frames = profile.frames(of: stack)
      if frames.isEmpty { return [texts.position(of: "[no frames]")] }
      return frames.reversed().map { textOfFrame[Int($0.index)] }
    }
    var counts: [[UInt32]: UInt64] = [:]
    if showsThreads {
      let threads = profile.threads.map { texts.position(of: Self.text(of: $0)) }
      for sample in profile.samples where sample.count > 0 {
        counts[[threads[sample.thread]] + line(sample.stack), default: 0] += sample.count
      }
    } else {
      for counted in profile.countedStacks { counts[line(counted.stack), default: 0] += counted.count }
    }
    let all = texts.all
    self.texts = all
    lines = counts.map { Line(frames: $0.key, count: $0.value) }.sorted {
      $0.count == $1.count ? Self.precedes($0.frames, $1.frames, all) : $0.count > $1.count
    }
  }

  /// The distinct texts of frames.
  private struct Texts {
    private(set) var all: [String] = []
    private var positions: [ExactString: UInt32] = [:]

    mutating func position(of text: String) -> UInt32 {
      if let known = positions[ExactString(text)] { return known }
      let position = UInt32(all.count)
      positions[ExactString(text)] = position
      all.append(text)
      return position
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
      bytes.append(contentsOf: " \(line.count)\n".utf8)
    }
    return bytes
  }

  private static func text(of frame: Frame, in profile: Profile) -> String {
    let name = safe(profile[frame.name])
    let place = safe(basename(profile[frame.file]))
    let text =
      switch frame.kind {
      case .python: python(name, place, frame.line)
      case .native where !place.isEmpty, .kernel where !place.isEmpty: native(name, place)
      case .native, .kernel, .marker: NameShortening.shorten(endOf: name, to: longestFrame)
      }
    let isBlank = text.unicodeScalars.allSatisfy { $0.properties.isWhitespace }
    return isBlank ? "[no name]" : withoutCounts(text)
  }

  private static func text(of thread: ProfiledThread) -> String {
    let name = safe(thread.name)
    let text = "tid:\(thread.tid)" + (name.isEmpty ? "" : " \(name)")
    // A frame always follows, so its end cannot be taken for the count of a line.
    return withoutCounts(NameShortening.shorten(endOf: text, to: longestFrame), mayEndLine: false)
  }

  /// `text` with `_` for the space before each number that stands alone. At the end of a stack readers take such a
  /// number for a first count; between spaces speedscope takes it for the thread id of a line of `perf script`.
  private static func withoutCounts(_ text: String, mayEndLine: Bool = true) -> String {
    let scalars = text.unicodeScalars
    // U+FEFF is white space to JavaScript.
    let words = scalars.split(omittingEmptySubsequences: false) {
      $0.properties.isWhitespace || $0.value == 0xFEFF
    }
    func isCount(_ word: Substring.UnicodeScalarView) -> Bool {
      guard let first = word.first, ("0"..."9").contains(first) else { return false }
      return word.allSatisfy { ("0"..."9").contains($0) || $0 == "." || $0 == "/" }
    }
    var safe = String.UnicodeScalarView()
    for (position, word) in words.enumerated() {
      if position > 0 {
        let isAlone = (position < words.count - 1 || mayEndLine) && isCount(word)
        safe.append(isAlone ? "_" : scalars[scalars.index(before: word.startIndex)])
      }
      safe.append(contentsOf: word)
    }
    return String(safe)
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
