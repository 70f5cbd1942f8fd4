// What is written and printed when sampling has ended.

import Collectors
import Glibc
import Profiles
import Sampling

struct Report {
  let output: OutputArguments
  let format: FormatArguments
  /// None: the table is printed.
  let destinations: [Destination]
  /// Where a table goes.
  let tableDescriptor: Int32
  /// How to sample the threads that were left out; nil where none were.
  let leftOutAdvice: String?
  /// Why there are no Python frames.
  let interpreterProblem: SamplingError?

  /// Writes the file or prints the table, and says what became of the samples. Gives the exit status. A file that
  /// cannot be written leaves nothing behind, and the table takes its place: the samples are not lost.
  func write(_ profile: Profile) -> Int32 {
    var failures: [String] = []
    var closing = ""
    var picture: String?
    for destination in destinations {
      var file = destination
      if let failure = file.write(file.format.exported(profile, format)) {
        failures.append(failure)
      } else {
        closing += "\(file.format.writtenText) \(file.path)\n"
        if picture == nil, [.flamegraph, .svg].contains(file.format) { picture = file.path }
      }
    }
    if destinations.isEmpty || !failures.isEmpty {
      let options = format.tableOptions(usesColors: Terminal.wantsColors(tableDescriptor))
      let collector = PstatsCollector(profile, grouping: format.grouping ?? .line)
      caduceus.write(StatsTable(collector, options: options).text, to: tableDescriptor)
    }
    caduceus.write(summary(profile) + closing, to: STDERR_FILENO)
    if output.open, let picture { Browser.open(picture) }
    for failure in failures {
      caduceus.write("caduceus: \(failure); the table above has the samples\n", to: STDERR_FILENO)
    }
    return failures.isEmpty ? 0 : 1
  }

  private func summary(_ profile: Profile) -> String {
    let summary = SamplingSummary(profile)
    var text = summary.text + (output.ledger ? summary.fullLedgerText : summary.ledgerText)
    if !text.hasSuffix("\n") { text += "\n" }
    if !profile.header.captureMethod.isEmpty { text += "Sampled \(profile.header.captureMethod)\n" }
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
