// What is printed when sampling has ended: how much was captured, and what became of the rest.

import Accounting
import Profiles

/// The closing words about a run. Every text ends with a line feed.
public struct SamplingSummary: Sendable {
  /// How every interrupt ended.
  public let ledger: Ledger
  /// Nanoseconds of wall time.
  public let duration: UInt64
  /// Number of sampled threads.
  public let threads: Int
  /// Whether the samples were taken without the eBPF program.
  public let isUnassisted: Bool
  /// Child processes that ran Python when sampling ended.
  public let livingPythonChildren: [Int32]

  /// The summary of `profile`.
  public init(_ profile: Profile) {
    self.init(
      ledger: profile.ledger, duration: profile.header.duration, threads: profile.threads.count,
      isUnassisted: !profile.header.captureMethod.isEmpty,
      livingPythonChildren: profile.header.livingPythonChildren)
  }

  /// A summary of numbers that are not in a profile.
  public init(
    ledger: Ledger, duration: UInt64, threads: Int, isUnassisted: Bool = false,
    livingPythonChildren: [Int32] = []
  ) {
    self.livingPythonChildren = livingPythonChildren
    self.isUnassisted = isUnassisted
    self.ledger = ledger
    self.duration = duration
    self.threads = threads
  }

  /// Samples of which something or nothing is in the profile, as far as they are known by number.
  var all: UInt64 { ledger.kept + lost }

  /// Samples that are not in the profile.
  var lost: UInt64 { ledger.dropped + ledger.ringFull + ledger.outputErrors }

  /// Captured samples, their rate, the share of samples of which nothing can be shown, and a warning when
  /// more of the expected samples are missing than the last, unfinished period of each thread's events explains.
  public var text: String {
    let captured = ledger.kept
    let seconds = Double(duration) / 1e9
    let rate = duration == 0 ? 0 : Double(captured) / seconds
    let errors = percent(ledger.empty + lost, of: all)
    var text = "Captured \(captured) samples in \(fixed(seconds, decimals: 2)) seconds\n"
    text += "Sample rate: \(fixed(rate, decimals: 2)) samples/sec\n"
    text += "Error rate: \(fixed(errors, decimals: 2))%\n"
    let expected = ledger.expected
    // Clocks of the CPUs meet a thread by chance.
    let chance = ledger.interruptsByCPUs == 0 ? 0 : UInt64(3 * Double(expected).squareRoot())
    if expected > captured,
      expected - captured > UInt64(max(1, threads)) * ledger.eventsPerThread + chance
    {
      let missed = expected - captured
      text += "Warning: missed \(missed) samples from the expected total of \(expected) "
      text += "(\(fixed(percent(missed, of: expected), decimals: 2))%)\n"
    }
    return text
  }

  /// The ledger in three lines: what was kept, what was lost, and the estimates. A ledger that contradicts
  /// itself adds a line, and so do child processes, and a run that was blind.
  public var ledgerText: String {
    var text =
      "Kept: \(kept)\nLost: \(losses)\nEstimates: \(estimates)\n" + childrenText + shortThreadsText
      + rateErrorText
    let broken = ledger.discrepancies.count
    if broken > 0 {
      text += "ACCOUNTING ERROR: \(counted(UInt64(broken), "sum")) of the ledger "
      text += "\(broken == 1 ? "does" : "do") not add up; --ledger shows which\n"
    }
    return text
  }

  private var kept: String {
    let kept = ledger.kept
    var text = counted(kept, "sample")
    if kept == 0 { return text }
    text += ", \(grouped(ledger.whole)) whole (\(share(ledger.whole, of: kept)))"
    if ledger.damaged == 0 { return text }
    text += ", \(grouped(ledger.damaged)) with a part missing (\(share(ledger.damaged, of: kept)))"
    let causes = DamageCause.allCases.filter { ledger[damaged: $0] > 0 }
      .map { (count: ledger[damaged: $0], words: $0.explanation) }
      .enumerated().sorted { ($1.element.count, $0.offset) < ($0.element.count, $1.offset) }.map(\.element)
    var parts = causes.prefix(2).map { "\($0.words) \(grouped($0.count))" }
    let others = causes.dropFirst(2).reduce(0) { $0 + $1.count }
    if others > 0 { parts.append("other causes \(grouped(others))") }
    return text + ": " + parts.joined(separator: "; ")
  }

  private var losses: String {
    var parts: [String] = []
    if ledger.ringFull > 0 { parts.append("no room in the ring \(grouped(ledger.ringFull))") }
    if ledger.outputErrors > 0 { parts.append("output failed \(grouped(ledger.outputErrors))") }
    for cause in DropCause.allCases where ledger[dropped: cause] > 0 {
      parts.append("\(cause.explanation) \(grouped(ledger[dropped: cause]))")
    }
    var text = lost == 0 ? "no sample" : counted(lost, "sample") + " (\(share(lost, of: all)))"
    if !parts.isEmpty { text += ": " + parts.joined(separator: "; ") }
    var others: [String] = []
    if ledger.kernelLostSideband > 0 {
      others.append(counted(ledger.kernelLostSideband, "notice") + " of mappings, forks or exits")
    }
    if ledger.kernelLostNames > 0 { others.append(counted(ledger.kernelLostNames, "record") + " of names") }
    if ledger.unopenedThreads > 0 {
      others.append(counted(ledger.unopenedThreads, "thread") + " that could not be opened")
    }
    if ledger.lateRecords > 0 { others.append(counted(ledger.lateRecords, "record") + " out of order") }
    return others.isEmpty ? text : text + ". Also " + others.joined(separator: ", ")
  }

  private var estimates: String {
    guard ledger.period > 0 else { return "none, the sampling period is not known" }
    let every = fixed(Double(ledger.period) / 1e3, decimals: ledger.period % 1000 == 0 ? 0 : 3)
    var text = counted(ledger.expected, "sample") + " expected from \(cpu(ledger.targetCPU)) of CPU time "
    text += "at one per \(every) \u{3BC}s; "
    if ledger.interruptsByCPUs == 0 || ledger.eventCount > 0 {
      text += "\(unfinished); \(grouped(ledger.throttled)) throttled"
    }
    if ledger.interruptsByCPUs > 0 {
      if ledger.eventCount > 0 { text += "; " }
      text += "\(counted(ledger.interruptsByCPUs, "interrupt")) by the clocks of the CPUs"
    }
    if ledger.unsampledCPU > 0 { text += "; \(cpu(ledger.unsampledCPU)) of CPU time left out on purpose" }
    return text
  }
}

extension SamplingSummary {
  /// What the events of the threads counted beyond their interrupts. A thread leaves at most one period of each event
  /// unfinished. A switch to or from a thread takes microseconds in which its events count and its timer stands still,
  /// and a timer that comes late leaves periods out.
  private var unfinished: String {
    let lived = max(UInt64(max(0, threads)), ledger.threadsLived)
    let inThreads = "in \(counted(lived, "thread"))"
    let unfired = ledger.unfired.magnitude
    if ledger.unfired < 0 { return "\(counted(unfired, "interrupt")) more than counted periods \(inThreads)" }
    let most = lived * ledger.eventsPerThread
    if lived == 0 || unfired <= most { return "\(counted(unfired, "period")) unfinished \(inThreads)" }
    return "\(counted(most, "period")) unfinished \(inThreads), "
      + "\(grouped(unfired - most)) at thread switches or by late timers"
  }
}

/// `1 sample`, `2,000 samples`.
func counted(_ number: UInt64, _ noun: String) -> String {
  "\(grouped(number)) \(noun)\(number == 1 ? "" : "s")"
}

func signed(_ number: Int64) -> String { (number < 0 ? "-" : "") + grouped(number.magnitude) }

/// Nanoseconds as seconds.
func cpu(_ nanoseconds: UInt64) -> String { fixed(Double(nanoseconds) / 1e9, decimals: 2) + " s" }

/// A share in percent. Neither a few losses read as none nor nearly everything as everything.
func share(_ part: UInt64, of whole: UInt64) -> String {
  let text = fixed(percent(part, of: whole), decimals: 2)
  if text == "0.00", part > 0 { return "under 0.01%" }
  if text == "100.00", part < whole { return "over 99.99%" }
  return text + "%"
}
