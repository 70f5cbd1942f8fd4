// `caduceus doctor [PID]`: what this machine allows, and what would happen for this process.

import ArgumentParser
import Glibc
import Sampling

struct Doctor: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Tell what this machine allows, and what would happen for a process.",
    usage: "caduceus doctor [--json] [PID]",
    discussion: """
      Each finding is a line: ok, note (sampling works, with limits) or problem (sampling is not possible), \
      followed by commands that improve it. What can be tried is really tried, and taken down again; neither the \
      machine nor the process is changed. The exit status is 0 when sampling is possible, else 1.

      The first finding, path, says how samples would be taken: with eBPF, or without it where that is not allowed, \
      and then how sure the Python frames are.

      --json prints one object: can_sample; path (bpf, without_bpf or none); findings (about, subject, mark, text, \
      commands), which are the lines of the text; machine and target, the facts behind them. What is not known is null; target is null without a PID.
      """)

  @Argument(
    help: ArgumentHelp("Process that is to be sampled.", valueName: "pid"),
    completion: pythonProcesses, transform: processID)
  var pid: Int32?
  @Flag(name: .long, help: "Print one JSON object instead of text.") var json = false

  mutating func validate() throws {
    if let pid, pid <= 0 { throw ValidationError("a PID is a positive number, not \(pid)") }
  }

  func run() throws {
    let diagnosis = Diagnosis(processID: pid)
    if json {
      write(DoctorJSON(diagnosis).text, to: STDOUT_FILENO)
    } else {
      let usesColors = Terminal.wantsColors(STDOUT_FILENO)
      write(DoctorText(diagnosis, usesColors: usesColors).text, to: STDOUT_FILENO)
    }
    if !diagnosis.canSample { Glibc.exit(1) }
  }
}
