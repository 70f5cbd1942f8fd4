// The closing words of a run say what its ledger says.

import Accounting
import Profiles
import Testing

@testable import Collectors

@Suite("Closing words")
struct SamplingSummaryTests {
  /// 10 s of CPU time at 1 kHz in two threads; every sum adds up.
  private static var ledger: Ledger {
    var ledger = Ledger()
    ledger.period = 1_000_000
    ledger.targetCPU = 10_000_000_000
    ledger.eventCount = 10_014_000_000
    ledger.eventTimeRunning = 10_014_000_000
    ledger.runs = 10_012
    ledger.filtered = 12
    ledger.duplicates = 12
    ledger.emitted = 9_990
    ledger.ringFull = 10
    ledger.ringFullAttempts = 20
    ledger.kernelLostSamples = 20
    ledger.recordsRead = 9_990
    ledger[dropped: .malformedRecord] = 5
    ledger[damaged: .nativeStackTruncated] = 60
    ledger[damaged: .joinMismatch] = 25
    ledger[damaged: .pythonReadFault] = 10
    ledger[damaged: .staleLayout] = 5
    ledger.whole = 9_885
    ledger.empty = 5
    return ledger
  }

  private func summary(_ ledger: Ledger, seconds: UInt64 = 20, threads: Int = 2) -> SamplingSummary {
    SamplingSummary(ledger: ledger, duration: seconds * 1_000_000_000, threads: threads)
  }

  @Test("Captured samples, rate, errors and what is missing of the expected")
  func fourLines() {
    #expect(Self.ledger.discrepancies.isEmpty)
    #expect(
      summary(Self.ledger).text == """
        Captured 9985 samples in 20.00 seconds
        Sample rate: 499.25 samples/sec
        Error rate: 0.20%
        Warning: missed 15 samples from the expected total of 10000 (0.15%)

        """)
  }

  @Test("The last period of each thread is not missing", arguments: [(14, true), (15, false), (16, false)])
  func unfinishedPeriods(threads: Int, warns: Bool) {
    #expect(summary(Self.ledger, threads: threads).text.contains("Warning") == warns)
  }

  @Test("Without samples nothing is divided by nothing")
  func nothing() {
    let empty = SamplingSummary(Profile())
    #expect(
      empty.text == """
        Captured 0 samples in 0.00 seconds
        Sample rate: 0.00 samples/sec
        Error rate: 0.00%

        """)
    #expect(empty.ledgerText.split(separator: "\n").count == 3)
    #expect(empty.fullLedgerText.contains("nothing was counted"))
  }

  @Test("When everything was lost the error rate is 100 percent")
  func allLost() {
    var ledger = Ledger()
    ledger.ringFull = 3
    #expect(summary(ledger).text.contains("Captured 0 samples in 20.00 seconds\n"))
    #expect(summary(ledger).text.contains("Error rate: 100.00%\n"))
  }

  @Test("Three lines tell what was kept, what was lost and what is estimated")
  func threeLines() {
    #expect(
      summary(Self.ledger).ledgerText == """
        Kept: 9,985 samples, 9,885 whole (99.00%), 100 with a part missing (1.00%): \
        copy of the native stack too short 60; Python and native frames could not be joined 25; \
        other causes 15
        Lost: 15 samples (0.15%): no room in the ring 10; a malformed record 5
        Estimates: 10,000 samples expected from 10.00 s of CPU time at one per 1000 μs; \
        2 periods unfinished in 2 threads; 0 throttled

        """)
  }

  @Test("A clean run is said to be clean; small shares are not rounded away")
  func cleanRun() {
    var ledger = Ledger()
    ledger.period = 1_000_000
    ledger.whole = 1
    #expect(summary(ledger).ledgerText.hasPrefix("Kept: 1 sample, 1 whole (100.00%)\nLost: no sample\n"))
    ledger.whole = 999_999
    ledger[damaged: .joinMismatch] = 1
    #expect(
      summary(ledger).ledgerText.contains("999,999 whole (over 99.99%), 1 with a part missing (under 0.01%)"))
  }

  @Test("Losses that are no samples are told beside them")
  func otherLosses() {
    var ledger = Self.ledger
    ledger.kernelLostSideband = 1
    ledger.unopenedThreads = 2
    ledger.lateRecords = 3
    #expect(
      summary(ledger).ledgerText.contains(
        "a malformed record 5. Also 1 notice of mappings, forks or exits, "
          + "2 threads that could not be opened, 3 records out of order\n"))
  }

  @Test("The full form has a line for each count that is not zero, and only for these")
  func fullForm() {
    let text = summary(Self.ledger).fullLedgerText
    let lines = text.split(separator: "\n").map { $0.drop { $0 == " " } }
    #expect(lines.contains("10,012  runs of the sampling program"))
    #expect(lines.contains("60  copy of the native stack too short"))
    #expect(lines.contains("10.00 s  of CPU time of the sampled threads"))
    #expect(lines.contains("2  periods that ended in no interrupt"))
    #expect(lines.last == "All sums add up.")
    #expect(!text.contains("throttled"))
    #expect(!text.contains("remark"))
  }

  @Test("Every cause and every count of the ledger moves a line of the full form of its own")
  func everyLine() {
    let none = summary(Ledger()).fullLedgerText
    var seen: Set<String> = [none]
    func expectOwnLine(_ change: (inout Ledger) -> Void) {
      var ledger = Ledger()
      change(&ledger)
      let text = summary(ledger).fullLedgerText
      #expect(seen.insert(text).inserted, "\(text)")
      #expect(text.contains("7,654,321") || text.contains("0.01 s"))
    }
    for cause in DropCause.allCases { expectOwnLine { $0[dropped: cause] = 7_654_321 } }
    for cause in DamageCause.allCases { expectOwnLine { $0[damaged: cause] = 7_654_321 } }
    for remark in Remark.allCases { expectOwnLine { $0[remark] = 7_654_321 } }
    let counts: [WritableKeyPath<Ledger, UInt64>] = [
      \.runs, \.filtered, \.duplicates, \.emitted, \.ringFull, \.ringFullAttempts, \.outputErrors,
      \.kernelLostSamples, \.kernelLostSideband, \.kernelLostNames, \.nameAttemptsLost, \.eventCount,
      \.eventTimeRunning, \.targetCPU, \.unsampledCPU, \.recordsRead, \.whole, \.empty, \.lateRecords,
      \.unopenedThreads, \.ownClock, \.clockAhead, \.blindCPU, \.childCPU, \.threadsLived, \.interruptsByCPUs,
      \.children, \.pythonChildren,
    ]
    for count in counts { expectOwnLine { $0[keyPath: count] = 7_654_321 } }
  }

  @Test("A sum that does not add up is told in both forms, with both sides")
  func discrepancy() {
    var ledger = Self.ledger
    ledger.recordsRead -= 1
    ledger.whole -= 1
    #expect(ledger.discrepancies.count == 1)
    let lines = summary(ledger).ledgerText.split(separator: "\n")
    #expect(lines.last == "ACCOUNTING ERROR: 1 sum of the ledger does not add up; --ledger shows which")
    let full = summary(ledger).fullLedgerText
    #expect(full.contains("ACCOUNTING ERROR: the ledger contradicts itself."))
    #expect(full.hasSuffix("  emitted = records read: 9,990 is not 9,989 (off by +1)\n"))
  }

  @Test("Interrupts that contradict the CPU time are told in both forms")
  func samplingErrors() {
    var ledger = Self.ledger
    ledger.ownClock = 23_855_000_000
    ledger.threadsLived = 401
    let words =
      "SAMPLING ERROR: of 23,855 interrupts that the target's CPU time asks for 10,000 came (41.92%); "
      + "the time of the others is not in the profile\n"
    #expect(summary(ledger).ledgerText.hasSuffix(words))
    #expect(summary(ledger).fullLedgerText.hasSuffix(words + "  All sums add up.\n"))
    #expect(summary(ledger).fullLedgerText.contains("13,855  interrupts fewer than the target's own clock"))
    // Where it is known what kept them from coming.
    ledger.eventTimeRunning = ledger.eventCount + 1_000_000_000
    #expect(
      summary(ledger).ledgerText.hasSuffix(
        "not in the profile: the kernel held sampling back (kernel.perf_event_max_sample_rate)\n"))
    ledger.eventTimeRunning = ledger.eventCount
    (ledger.period, ledger.ownClock) = (20_000, 800_000_000)
    #expect(
      summary(ledger).ledgerText.hasSuffix(
        "not in the profile: the interval may be too short for this machine\n"))
    (ledger.period, ledger.ownClock) = (1_000_000, 10_000_000_000)
    #expect(!summary(ledger).ledgerText.contains("ERROR"))
    ledger.blindCPU = 2_010_000_000
    #expect(
      summary(ledger).ledgerText.hasSuffix(
        "SAMPLING ERROR: hardly any interrupt came during 2.01 s of the target's CPU time, "
          + "which is not in the profile\n"))
    ledger.blindCPU = 0
    ledger.ownClock = 5_000_000_000
    #expect(
      summary(ledger).ledgerText.hasSuffix(
        "SAMPLING ERROR: 10,000 interrupts came where the target's CPU time asks for 5,000: "
          + "some of its time was sampled more than once\n"))
  }

  @Test("What was counted beyond the interrupts is called what it is")
  func unfinishedPeriods() {
    func text(_ change: (inout Ledger) -> Void) -> String {
      var ledger = Self.ledger
      change(&ledger)
      return summary(ledger).ledgerText
    }
    #expect(text { _ in }.contains("; 2 periods unfinished in 2 threads; 0 throttled\n"))
    #expect(text { $0.threadsLived = 40 }.contains("; 2 periods unfinished in 40 threads;"))
    // More than threads can leave.
    #expect(
      text { $0.eventCount += 7_000_000 }.contains(
        "; 2 periods unfinished in 2 threads, 7 at thread switches or by late timers; 0 throttled\n"))
    // The count lags behind the timer.
    #expect(
      text { $0.eventCount -= 5_000_000 }.contains(
        "; 3 interrupts more than counted periods in 2 threads; 5 throttled\n"))
    #expect(
      text {
        $0.interruptsByCPUs = 9_000
        $0.eventCount = 1_014_000_000
        $0.eventTimeRunning = 1_014_000_000
      }.contains(
        "; 2 periods unfinished in 2 threads; 0 throttled; 9,000 interrupts by the clocks of the CPUs\n"))
    #expect(
      text {
        $0.interruptsByCPUs = 10_000
        ($0.eventCount, $0.eventTimeRunning) = (0, 0)
      }.contains("at one per 1000 \u{3BC}s; 10,000 interrupts by the clocks of the CPUs\n"))
  }

  @Test("Child processes are told of where they used CPU time or are still there")
  func children() {
    func text(_ living: [Int32] = [], _ change: (inout Ledger) -> Void) -> String? {
      var ledger = Self.ledger
      change(&ledger)
      let summary = SamplingSummary(
        ledger: ledger, duration: 1_000_000_000, threads: 1, livingPythonChildren: living)
      #expect(summary.fullLedgerText.contains("Children: ") == summary.ledgerText.contains("Children: "))
      return summary.ledgerText.split(separator: "\n").first { $0.hasPrefix("Children: ") }.map(String.init)
    }
    #expect(text { $0.children = 3 } == nil)
    #expect(
      text {
        ($0.children, $0.pythonChildren, $0.childCPU) = (1, 1, 1_020_000_000)
      } == "Children: 1 process (1 seen with Python) used 1.02 s of CPU time and was not sampled; "
        + "caduceus attach PID samples one while it runs")
    #expect(
      text([41, 42]) { $0.children = 1200 }
        == "Children: 1,200 processes used 0.00 s of CPU time and were not sampled; "
        + "still there: caduceus attach 41, 42")
    #expect(
      text([1, 2, 3, 4, 5, 6]) { $0.children = 6 }?.hasSuffix("caduceus attach 1, 2, 3, 4, 5 ...") == true)
  }

  @Test("Threads that are too short for their events are told of where nothing else samples them")
  func shortThreads() {
    var ledger = Self.ledger
    ledger.ownClock = 12_000_000_000
    ledger.threadsLived = 1500
    ledger.eventsPerThread = 2
    let words =
      "Short threads: 2,000 of 12,000 periods were begun and not finished in 1,500 threads, and are not in the profile; "
    #expect(
      SamplingSummary(ledger: ledger, duration: 1, threads: 3, isUnassisted: true).ledgerText.hasSuffix(
        words + "that needs eBPF: with it CPUs are sampled instead\n"))
    #expect(summary(ledger).ledgerText.hasSuffix(words + "--per-cpu samples CPUs instead\n"))
    ledger.ownClock = 10_400_000_000
    #expect(!summary(ledger).ledgerText.contains("Short threads"))
    // What one thread misses has another reason.
    (ledger.ownClock, ledger.threadsLived) = (12_000_000_000, 1)
    #expect(!summary(ledger).ledgerText.contains("Short threads"))
  }
}
