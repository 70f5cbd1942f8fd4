// How long the flame graph's page takes with 100,000 nodes, in a Chromium without a window.

import Collectors
import FlameGraphSupport
import PerfEvents
import Profiles

/// The times that the page itself takes: of its script, and until Chromium has painted. The best of a few pages is
/// printed: other work on the machine only ever adds.
enum PageBenchmark {
  private static let rounds = 3

  static func run() async throws {
    guard Browser.isThere else {
      print("The flame graph's page is not measured: \(Browser.missing)\n")
      return
    }
    let profile = RandomStacks.large(nodes: 110_000)
    let start = RecordStream.clock()
    let page = FlameGraphCollector(profile).exported()
    let written = RecordStream.clock() - start
    let size = text(Double(page.count) / 1e6)
    print(
      "flame graph of \(nodes(of: profile)) nodes: \(size) MB, written in \(written / 1_000_000) ms; in Chromium"
    )
    var best: [(step: String, script: Double?, painted: Double)] = []
    func note(_ position: Int, _ step: String, _ script: Double?, _ painted: Double) {
      if position == best.count { best.append((step, script, painted)) }
      best[position].painted = min(best[position].painted, painted)
      if let script { best[position].script = min(best[position].script ?? script, script) }
    }
    for _ in 0..<rounds {
      try await Browser.with(page: page) { browser in
        note(0, "first paint", nil, try await browser.times().firstPaint)
        let boxes = try await browser.drawn().filter { $0.isStrip != true && $0.depth ?? 0 > 0 }
        guard let widest = boxes.max(by: { $0.width < $1.width }) else { return }
        try await browser.click(widest)
        var times = try await browser.times()
        note(1, "zoom in", times.update, times.paint)
        try await browser.press(.escape)
        times = try await browser.times()
        note(2, "zoom out", times.update, times.paint)
        try await browser.type("i")
        times = try await browser.times()
        note(3, "invert", times.update, times.paint)
        try await browser.search("module_1")
        times = try await browser.times()
        note(4, "search", times.update, times.paint)
      }
    }
    for time in best {
      let script = time.script.map { ", its script \(text($0)) ms" } ?? " after the page was opened"
      let gap = String(repeating: " ", count: max(1, 20 - time.step.count - text(time.painted).count))
      print("  \(time.step)\(gap)\(text(time.painted)) ms\(script)")
    }
    print("")
  }

  /// Distinct beginnings of stacks.
  private static func nodes(of profile: Profile) -> Int {
    var nodes: [UInt64: UInt64] = [:]
    for sample in profile.samples {
      var node: UInt64 = 0
      for frame in profile.frames(of: sample.stack).reversed() {
        let key = node << 32 | UInt64(frame.index)
        node = nodes[key] ?? UInt64(nodes.count + 1)
        nodes[key] = node
      }
    }
    return nodes.count
  }

  private static func text(_ milliseconds: Double) -> String {
    let tenths = Int((milliseconds * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
  }
}
