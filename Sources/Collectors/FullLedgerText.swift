// The ledger with every line that is not zero: what `--ledger` prints.

import Accounting

extension SamplingSummary {
  /// Every count of the ledger that is not zero, by who counted it, and every sum that does not add up.
  public var fullLedgerText: String {
    let sections: [(title: String, lines: [Line])] = [
      ("Counted in the interrupt", interruptLines),
      ("Counted by the kernel", kernelLines),
      ("Counted by caduceus", readerLines),
      ("Whole samples dropped because of", dropLines),
      ("Kept samples with a part missing", damageLines),
      ("Python frames unverified because", unverifiedLines),
      ("Kept samples with a remark (a sample may have several)", remarkLines),
      ("Estimates", estimateLines),
    ]
    let shown = sections.map { ($0.title, $0.lines.filter { $0.isShown }) }.filter { !$0.1.isEmpty }
    let width = shown.flatMap(\.1).map { $0.value.unicodeScalars.count }.max() ?? 0
    var text = "Ledger:\n"
    if shown.isEmpty { text += "  nothing was counted\n" }
    for (title, lines) in shown {
      text += "  \(title):\n"
      for line in lines { text += "    \(rightAligned(line.value, width))  \(line.words)\n" }
    }
    return text + verdict
  }

  private var verdict: String {
    let broken = ledger.discrepancies
    if broken.isEmpty { return childrenText + shortThreadsText + rateErrorText + "  All sums add up.\n" }
    var text = childrenText + shortThreadsText + rateErrorText
    text += "ACCOUNTING ERROR: the ledger contradicts itself. Please report this with the lines above.\n"
    for discrepancy in broken {
      let (left, right) = (discrepancy.left, discrepancy.right)
      text += "  \(discrepancy.equation): \(grouped(left)) is not \(grouped(right))"
      text += " (off by \(left < right ? "-" : "+")\(grouped(left < right ? right - left : left - right)))\n"
    }
    return text
  }

  /// A number with its words.
  private struct Line {
    let value: String
    let words: String
    let isShown: Bool

    init(_ count: UInt64, _ words: String) {
      (value, self.words, isShown) = (grouped(count), words, count != 0)
    }

    init(nanoseconds: UInt64, _ words: String) {
      (value, self.words, isShown) = (cpu(nanoseconds), words, nanoseconds != 0)
    }

    init(signed count: Int64, _ words: String) {
      (value, self.words, isShown) = (signed(count), words, count != 0)
    }
  }

  private var interruptLines: [Line] {
    [
      Line(ledger.runs, isUnassisted ? "interrupts by the sampling events" : "runs of the sampling program"),
      Line(ledger.filtered, "of these in other processes, or a second event of one thread"),
      Line(ledger.duplicates, "of these a second event of one thread"),
      Line(ledger.targetRuns, "interrupts of the target"),
      Line(ledger.interruptsByCPUs, "of these by the clocks of the CPUs"),
      Line(ledger.emitted, "records written"),
      Line(ledger.ringFull, "samples lost: no room in the ring"),
      Line(ledger.ringFullAttempts, "attempts to write a sample that found no room"),
      Line(ledger.outputErrors, "samples lost: output failed otherwise"),
      Line(ledger.nameAttemptsLost, "attempts to hand over names that found no room"),
    ]
  }

  private var kernelLines: [Line] {
    [
      Line(ledger.kernelLostSamples, "sample records without room"),
      Line(ledger.kernelLostSideband, "notices of mappings, forks or exits without room"),
      Line(ledger.kernelLostNames, "records of names without room"),
      Line(nanoseconds: ledger.eventCount, "counted by the sampling events of threads"),
      Line(nanoseconds: ledger.eventTimeRunning, "during which these events were scheduled"),
      Line(nanoseconds: ledger.targetCPU, "of CPU time of the sampled threads"),
      Line(nanoseconds: ledger.kernelCPU, "of CPU time in the kernel, which may not be sampled"),
      Line(nanoseconds: ledger.unsampledCPU, "of CPU time of threads left out on purpose"),
      Line(nanoseconds: ledger.ownClock, "of CPU time by the target's own clock"),
      Line(nanoseconds: ledger.clockAhead, "that the events may have been ahead of that clock"),
      Line(nanoseconds: ledger.blindCPU, "of that clock without interrupts worth mentioning"),
      Line(nanoseconds: ledger.childCPU, "of CPU time of child processes, which are not sampled"),
    ]
  }

  private var readerLines: [Line] {
    [
      Line(ledger.recordsRead, "sample records read"),
      Line(ledger.kept, "samples kept"),
      Line(ledger.whole, "of these whole"),
      Line(ledger.damaged, "of these with a part missing"),
      Line(ledger.empty, "of these without any frame"),
      Line(ledger.dropped, "samples dropped"),
      Line(ledger.lateRecords, "records that came after younger ones"),
      Line(ledger.unopenedThreads, "threads that could not be opened"),
      Line(ledger.threadsLived, "threads that had events of their own"),
      Line(ledger.children, "child processes"),
      Line(ledger.pythonChildren, "of these with a Python interpreter"),
    ]
  }

  private var dropLines: [Line] { DropCause.allCases.map { Line(ledger[dropped: $0], $0.explanation) } }

  private var damageLines: [Line] { DamageCause.allCases.map { Line(ledger[damaged: $0], $0.explanation) } }

  private var unverifiedLines: [Line] {
    UnverifiedCause.allCases.map { Line(ledger.unverified[$0.rawValue], $0.explanation) }
  }

  private var remarkLines: [Line] { Remark.allCases.map { Line(ledger[$0], $0.explanation) } }

  private var estimateLines: [Line] {
    [
      Line(ledger.expected, "samples expected from the CPU time of the sampled threads"),
      Line(signed: ledger.unfired, "periods that ended in no interrupt"),
      Line(signed: ledger.missing, "interrupts fewer than the target's own clock asks for"),
      Line(ledger.missingBound, "of these that can be explained at most"),
      Line(ledger.throttled, "periods in which the kernel had throttled sampling"),
    ]
  }
}
