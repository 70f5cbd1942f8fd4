// `caduceus attach PID` and the bare `caduceus PID`.

import ArgumentParser
import Glibc
import Sampling

struct Attach: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sample all threads of a running process.",
    discussion: "The process is not stopped, changed or signalled. Ctrl-C ends sampling and gives the result."
  )

  @Argument(help: ArgumentHelp("Process to sample.", valueName: "pid"), transform: processID) var pid: Int32
  @Option(name: [.short, .long], help: ArgumentHelp("Seconds to sample.", valueName: "seconds")) var duration:
    Double = 10
  @Flag(name: .customLong("main-thread"), help: "Sample the main thread only.") var mainThread = false
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Output") var output: OutputArguments

  mutating func validate() throws { try checkAttach(pid: pid, duration: duration) }

  func run() throws {
    var options = sampling.options
    options.duration = duration
    options.mainThreadOnly = mainThread
    let advice = "without --main-thread all threads are sampled"
    try Session(options: options, output: output, advice: advice).attach(pid)
  }
}

struct AttachMain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "main", abstract: "Sample the main thread of a running process (the default).",
    shouldDisplay: false)

  @Argument(help: ArgumentHelp("Process to sample.", valueName: "pid"), transform: processID) var pid: Int32
  @Option(name: [.short, .long], help: ArgumentHelp("Seconds to sample.", valueName: "seconds")) var duration:
    Double = 10
  @Flag(name: [.customShort("a"), .customLong("all-threads")], help: "Sample all threads.") var allThreads =
    false
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Output") var output: OutputArguments

  mutating func validate() throws { try checkAttach(pid: pid, duration: duration) }

  func run() throws {
    var options = sampling.options
    options.duration = duration
    options.mainThreadOnly = !allThreads
    try Session(options: options, output: output, advice: "-a samples all threads").attach(pid)
  }
}

/// A PID on the command line.
private func processID(_ text: String) throws -> Int32 {
  if let pid = Int32(text) { return pid }
  if Double(text) != nil { throw ValidationError("there is no such PID") }
  throw ValidationError("a PID is a number; to run a program and sample it: caduceus run -- \(text)")
}

private func checkAttach(pid: Int32, duration: Double) throws {
  guard pid > 0 else { throw ValidationError("a PID is a positive number, not \(pid)") }
  try checkDuration(duration)
}

/// Seconds that are a number, and that fit the clock.
func checkDuration(_ seconds: Double) throws {
  guard seconds > 0, seconds <= 1e9 else {
    throw ValidationError("--duration must be more than 0 and at most 1000000000 seconds")
  }
}
