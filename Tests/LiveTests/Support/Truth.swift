// Runs of a program that measures itself, and the comparison with what it says.

import Foundation
import Testing

/// What a program of Tests/Programs/accuracy_*.py reports about itself.
struct Truth: Decodable {
  /// Nanoseconds of CPU time by function.
  let clocks: [String: UInt64]
  /// Every legal pair of caller and called function; nil: those of `paths`.
  let edges: [[String]]?
  /// The only legal stack of a function.
  let paths: [String: [String]]?
  let mainCPU: UInt64

  enum CodingKeys: String, CodingKey {
    case clocks, edges, paths
    case mainCPU = "main_cpu_ns"
  }

  var legalEdges: Set<[String]> {
    var legal = Set(edges ?? [])
    for path in (paths ?? [:]).values {
      for pair in zip(path, path.dropFirst()) { legal.insert([pair.0, pair.1]) }
    }
    return legal
  }
}

/// One run of `caduceus attach` on a program of Tests/Programs, to the program's end.
struct Profiled<Report: Decodable> {
  let report: Report
  let stacks: CollapsedFile
  let ledger: LedgerReport
  let pace: Pace
  let errorText: String
  let script: String

  init(
    _ script: String, _ arguments: [String] = [], with interpreter: Interpreter, _ options: [String] = [],
    as type: Report.Type
  ) throws {
    let folder = try Folder()
    let program = try Program(script, arguments, with: interpreter)
    let file = folder.file("stacks.txt")
    let finished = try Caduceus.attach(
      program, options + ["-d", "100", "--collapsed", "--ledger", "-o", file])
    guard finished.status == 0 else { throw LiveError(finished.description) }
    report = try program.result(type)
    stacks = try CollapsedFile(path: file)
    ledger = try LedgerReport(finished.errorText)
    let interval = options.firstIndex(of: "-i").flatMap { Double(options[$0 + 1]) }
    pace = try program.pace(ledger, every: interval ?? 1000)
    errorText = finished.errorText
    self.script = script
  }

  private static var extensions: Set<String> { ["accuracy.so", "situations.so", "faults.so"] }
  private static var prefixes: [String] { ["acc_", "sit_", "fault_"] }

  /// The names of the program's own functions in a stack, root first: Python functions of its file, and the visible
  /// C functions of the test extensions.
  func own(_ line: CollapsedFile.Line) -> [String] {
    line.frames.compactMap { frame in
      switch frame {
      case .python(let file, let function, _): file == script ? function : nil
      case .native(let symbol, let module):
        Self.extensions.contains(module) && !symbol.hasSuffix("@plt")
          && Self.prefixes.contains(where: symbol.hasPrefix)
          ? String(symbol.prefix { $0 != "." }) : nil
      default: nil
      }
    }
  }
}

extension CollapsedFile.Line {
  /// Whether something is marked as missing.
  var isMarked: Bool { frames.contains(where: \.isMarker) }

  /// For messages: without what the kernel does.
  var text: String { frames.filter { !"\($0)".contains("[kernel]") }.map(\.name).joined(separator: ";") }
}

/// What the stacks of a run say beside the truth; only samples below `top` and without a marker.
struct Comparison {
  private(set) var samples = 0
  private(set) var marked = 0
  private(set) var illegal: [String] = []
  private(set) var withPath = 0
  private(set) var onPath = 0
  /// Samples by the innermost function that has a clock.
  private(set) var byClock: [String: Int] = [:]

  init(_ run: Profiled<Truth>, top: String) {
    let truth = run.report
    let edges = truth.legalEdges
    for line in run.stacks.lines {
      if line.isMarked {
        marked += line.count
        continue
      }
      let own = run.own(line)
      guard own.contains(top), let leaf = own.last else { continue }
      samples += line.count
      for pair in zip(own, own.dropFirst()) where !edges.contains([pair.0, pair.1]) {
        illegal.append("\(line.count) × \(pair.0) > \(pair.1) in \(line.text)")
      }
      if let path = truth.paths?[leaf] {
        withPath += line.count
        if path == own { onPath += line.count }
      }
      if let clock = own.last(where: { truth.clocks[$0] != nil }) { byClock[clock, default: 0] += line.count }
    }
  }

  /// The functions whose share of the samples is not that of their clock, by chance no more than one in 100,000.
  func wrongShares(_ truth: Truth) -> [String] {
    truth.clocks.compactMap { name, nanoseconds in
      let bounds = Bounds.hits(Double(nanoseconds) / Double(truth.mainCPU), of: samples)
      let found = byClock[name] ?? 0
      return bounds.contains(Double(found))
        ? nil : "\(name): \(found) of \(samples) samples, not in \(bounds)"
    }
  }
}
