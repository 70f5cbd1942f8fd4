// What caduceus wrote, read back.

import Foundation

/// A file of collapsed stacks.
struct CollapsedFile {
  /// One frame's text.
  enum Frame: Hashable {
    case python(file: String, function: String, line: Int)
    case native(symbol: String, module: String)
    case marker(String)

    init(_ text: Substring) {
      if text == "[unmapped]" {
        // Code of no module, which is nothing that is missing.
        self = .native(symbol: String(text), module: "")
      } else if text.hasPrefix("["), text.hasSuffix("]") {
        self = .marker(String(text))
      } else if text.hasSuffix(")"), let open = text.range(of: " (", options: .backwards) {
        let module = text[open.upperBound...].dropLast()
        self = .native(symbol: String(text[..<open.lowerBound]), module: String(module))
      } else {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count >= 3, let line = parts.last.flatMap({ Int($0) }) else {
          self = .marker(String(text))
          return
        }
        // A file's name rarely has a colon, a function's never.
        let function = parts[parts.count - 2]
        self = .python(file: parts.dropLast(2).joined(separator: ":"), function: String(function), line: line)
      }
    }

    /// The function's or the symbol's name, or the marker's text.
    var name: String {
      switch self {
      case .python(_, let function, _): function
      case .native(let symbol, _): symbol
      case .marker(let text): text
      }
    }

    /// The name of a Python function of a file.
    func pythonName(in wanted: String) -> String? {
      if case .python(let file, let function, _) = self, file == wanted { function } else { nil }
    }

    var isPython: Bool { if case .python = self { true } else { false } }
    var isNative: Bool { if case .native = self { true } else { false } }
    var isMarker: Bool { if case .marker = self { true } else { false } }
  }

  struct Line {
    /// Root first.
    let frames: [Frame]
    let count: Int

    var names: [String] { frames.map(\.name) }
  }

  let lines: [Line]

  init(path: String) throws { try self.init(String(contentsOfFile: path, encoding: .utf8)) }

  /// Every line must have the format's form.
  init(_ text: String) throws {
    if !text.isEmpty && !text.hasSuffix("\n") { throw LiveError("the last collapsed line is not finished") }
    lines = try text.split(separator: "\n").map { line in
      guard let space = line.lastIndex(of: " "), let count = Int(line[line.index(after: space)...]), count > 0
      else {
        throw LiveError("not a collapsed stack: \(line)")
      }
      let texts = line[..<space].split(separator: ";", omittingEmptySubsequences: false)
      return Line(frames: texts.map(Frame.init), count: count)
    }
  }

  /// Samples in the file.
  var total: Int { lines.reduce(0) { $0 + $1.count } }

  /// Samples whose stack fulfils a condition.
  func count(where condition: (Line) -> Bool) -> Int {
    lines.reduce(0) { $0 + (condition($1) ? $1.count : 0) }
  }

  /// Samples with a frame of this name.
  func count(with name: String) -> Int { count { $0.names.contains(name) } }
}

/// The text of `--ledger` in standard error.
struct LedgerReport {
  private var values: [String: Double] = [:]
  /// What the ledger says about itself.
  let addsUp: Bool
  /// The same without a word about interrupts that did not come: a machine may not be able to give as many as were asked.
  let sumsAddUp: Bool
  let text: String

  init(_ errorText: String) throws {
    guard let start = errorText.range(of: "Ledger:\n") else { throw LiveError("no ledger in:\n\(errorText)") }
    text = String(errorText[start.lowerBound...])
    sumsAddUp = text.contains("  All sums add up.\n") && !text.contains("ACCOUNTING ERROR")
    addsUp = sumsAddUp && !text.contains("SAMPLING ERROR")
    for line in text.split(separator: "\n") where line.hasPrefix("    ") {
      let words = line.drop { $0 == " " }
      guard let gap = words.range(of: "  ") else { continue }
      let number = words[..<gap.lowerBound].filter { $0 != "," && $0 != "s" && $0 != " " }
      if let value = Double(number) {
        values[words[gap.upperBound...].trimmingCharacters(in: .whitespaces)] = value
      }
    }
  }

  /// The value of the line with these words; lines that are zero are not printed.
  subscript(words: String) -> Double { values[words] ?? 0 }

  /// The same as a count.
  func count(_ words: String) -> Int { Int(self[words]) }

  var runs: Int { count("runs of the sampling program") + count("interrupts by the sampling events") }
  var targetRuns: Int { count("interrupts of the target") }
  /// Those by the clocks of the CPUs.
  var interruptsByCPUs: Int { count("of these by the clocks of the CPUs") }
  /// Seconds of CPU time by the target's own clock.
  var ownClock: Double { self["of CPU time by the target's own clock"] }
  /// Seconds of it in which hardly any interrupt came.
  var blind: Double { self["of that clock without interrupts worth mentioning"] }
  var emitted: Int { count("records written") }
  var ringFull: Int { count("samples lost: no room in the ring") }
  var recordsRead: Int { count("sample records read") }
  var kept: Int { count("samples kept") }
  var whole: Int { count("of these whole") }
  var damaged: Int { count("of these with a part missing") }
  var empty: Int { count("of these without any frame") }
  var dropped: Int { count("samples dropped") }
  var notYetKnown: Int { count("interpreter not yet known") }
  var nameless: Int { count("with a Python frame whose name was gone") }
  /// Periods that the kernel counted and that ended in no interrupt; less than nothing where the last one of a thread
  /// was over for its timer and not for its count.
  var unfired: Int { count("periods that ended in no interrupt") }
  /// Periods in which the kernel had throttled the events.
  var throttled: Int { count("periods in which the kernel had throttled sampling") }
  /// Samples that an undisturbed clock would have taken.
  var expected: Int { count("samples expected from the CPU time of the sampled threads") }
  /// Seconds of CPU time of the sampled threads.
  var targetCPU: Double { self["of CPU time of the sampled threads"] }
}

/// The lines of the summary in standard error.
struct Summary {
  let samples: Int
  let seconds: Double
  let errorRate: Double

  init(_ errorText: String) throws {
    func number(after prefix: String, _ text: Substring) -> Double? {
      text.hasPrefix(prefix) ? Double(text.dropFirst(prefix.count).prefix { $0.isNumber || $0 == "." }) : nil
    }
    let lines = errorText.split(separator: "\n")
    guard let captured = lines.first(where: { $0.hasPrefix("Captured ") }),
      let rate = lines.lazy.compactMap({ number(after: "Error rate: ", $0) }).first,
      let count = number(after: "Captured ", captured), let place = captured.range(of: " samples in "),
      let time = number(after: "", captured[place.upperBound...])
    else { throw LiveError("no summary in:\n\(errorText)") }
    samples = Int(count)
    seconds = time
    errorRate = rate
  }
}

/// Bounds that a correct program crosses about once in 100,000 runs.
enum Bounds {
  static let deviations = 4.5

  /// How often something with probability `share` may happen among `count` samples.
  static func hits(_ share: Double, of count: Int) -> ClosedRange<Double> {
    let mean = share * Double(count)
    let width = deviations * (mean * (1 - share)).squareRoot() + 1
    return max(0, mean - width)...min(Double(count), mean + width)
  }

  /// True unless `hits` of `count` shows that the share is above `share`.
  static func isAtMost(_ share: Double, _ hits: Int, of count: Int) -> Bool {
    Double(hits) <= self.hits(share, of: count).upperBound
  }

  /// True unless `hits` of `count` shows that the share is below `share`.
  static func isAtLeast(_ share: Double, _ hits: Int, of count: Int) -> Bool {
    Double(hits) >= self.hits(share, of: count).lowerBound
  }
}
