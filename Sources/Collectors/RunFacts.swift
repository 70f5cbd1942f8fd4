// What a picture says about the run above and below itself.

import Profiles

/// The head and the foot of a picture, as texts that are safe on one line.
struct RunFacts {
  /// The command line of the target, or its process id.
  let title: String
  /// What the run was, in the order in which it is read: a term and its text.
  let facts: [(term: String, text: String)]
  /// The ledger in a few lines, and whether a line says that something is missing.
  let ledgerLines: [(text: String, isDoubt: Bool)]
  /// Every line of the ledger.
  let wholeLedger: String

  init(_ profile: Profile) {
    let header = profile.header
    let samples = profile.samples.reduce(0) { $0 + $1.count }
    title = header.command.isEmpty ? "process \(header.processID)" : printable(header.command)
    var facts: [(term: String, text: String)] = []
    if !header.interpreter.isEmpty { facts.append(("Interpreter", printable(header.interpreter))) }
    facts.append(("Samples", grouped(samples)))
    let every = fixed(Double(header.period) / 1e3, decimals: header.period % 1000 == 0 ? 0 : 3)
    facts.append(("Rate", "one per \(every) \u{B5}s of CPU time"))
    let time = profile.ledger.targetCPU
    // Without the kernel's own sum the samples are the best that is known.
    facts.append(("CPU time", cpu(time > 0 ? time : samples * header.period)))
    facts.append(("Duration", cpu(header.duration)))
    if !header.captureMethod.isEmpty { facts.append(("Sampled", printable(header.captureMethod))) }
    if header.startTime > 0 { facts.append(("Date", Self.date(header.startTime))) }
    facts.append(("Made by", "caduceus \(printable(header.version))"))
    self.facts = facts
    let summary = SamplingSummary(profile)
    let ledger = profile.ledger
    let doubts = [
      "Kept: ": ledger.damaged > 0, "Lost: ": summary.lost > 0, "ACCOUNTING": true, "SAMPLING": true,
    ]
    ledgerLines = summary.ledgerText.split(separator: "\n").map { line in
      (printable(String(line)), doubts.contains { line.hasPrefix($0.key) && $0.value })
    }
    wholeLedger = summary.fullLedgerText
  }

  /// A wall clock in UTC, to the second.
  static func date(_ nanoseconds: UInt64) -> String {
    let seconds = nanoseconds / 1_000_000_000
    let (year, month, day) = civil(day: seconds / 86_400)
    func two(_ number: UInt64) -> String { (number < 10 ? "0" : "") + String(number) }
    let clock = [seconds / 3600 % 24, seconds / 60 % 60, seconds % 60].map(two).joined(separator: ":")
    return "\(year)-\(two(month))-\(two(day)) \(clock) UTC"
  }

  /// Year, month and day of a number of days since 1970-01-01, by Gregorian rules.
  private static func civil(day: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
    var rest = day
    var year: UInt64 = 1970
    func isLeap(_ year: UInt64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }
    while rest >= (isLeap(year) ? 366 : 365) {
      rest -= isLeap(year) ? 366 : 365
      year += 1
    }
    let lengths: [UInt64] = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    var month = 0
    while rest >= lengths[month] {
      rest -= lengths[month]
      month += 1
    }
    return (year, UInt64(month + 1), rest + 1)
  }
}
