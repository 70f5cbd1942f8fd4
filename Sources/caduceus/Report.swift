// What is written and printed when sampling has ended.

import Collectors
import Glibc
import Profiles
import Sampling

struct Report {
  let output: OutputArguments
  let format: FormatArguments
  /// Nil: the table is printed.
  let destination: Destination?
  /// Where a table goes.
  let tableDescriptor: Int32
  /// How to sample the threads that were left out; nil where none were.
  let leftOutAdvice: String?
  /// Why there are no Python frames.
  let interpreterProblem: SamplingError?

  /// Writes the file or prints the table, and says what became of the samples. Gives the exit status. A file that
  /// cannot be written leaves nothing behind, and the table takes its place: the samples are not lost.
  func write(_ profile: Profile) -> Int32 {
    var failure: String?
    var closing = ""
    if var file = destination {
      failure = file.write(exported(profile))
      closing = failure == nil ? "\(output.format.writtenText) \(file.path)\n" : ""
    }
    if destination == nil || failure != nil {
      let options = format.tableOptions(usesColors: Terminal.wantsColors(tableDescriptor))
      let collector = PstatsCollector(profile, grouping: format.grouping ?? .line)
      caduceus.write(StatsTable(collector, options: options).text, to: tableDescriptor)
    }
    caduceus.write(summary(profile) + closing, to: STDERR_FILENO)
    guard let failure else { return 0 }
    caduceus.write("caduceus: \(failure); the table above has the samples\n", to: STDERR_FILENO)
    return 1
  }

  private func exported(_ profile: Profile) -> [UInt8] {
    switch output.format {
    case .pstats:
      PstatsCollector(profile, grouping: format.grouping ?? .line).exported(form: format.form ?? .compatible)
    case .collapsed: CollapsedStackCollector(profile, showsThreads: format.threads).exported()
    }
  }

  private func summary(_ profile: Profile) -> String {
    let summary = SamplingSummary(profile)
    var text = summary.text + (output.ledger ? summary.fullLedgerText : summary.ledgerText)
    if !text.hasSuffix("\n") { text += "\n" }
    if let leftOutAdvice, profile.ledger.unsampledCPU > 0 {
      let seconds = decimal(Double(profile.ledger.unsampledCPU) / 1e9, 2)
      text += "Other threads, not sampled, used \(seconds) s of CPU time; \(leftOutAdvice)\n"
    }
    if profile.ledger.ringFull > 0 {
      text += "The rings were too small for the rate: a larger --ring-size or a longer -i loses less\n"
    }
    if let interpreterProblem { text += "No Python frames: \(interpreterProblem)\n" }
    return text
  }
}
