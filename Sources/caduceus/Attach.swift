// `caduceus attach PID` and the bare `caduceus PID`.

import ArgumentParser
import Glibc
import Sampling

/// What both forms take.
struct AttachArguments: ParsableArguments {
  @Argument(
    help: ArgumentHelp("Process to sample.", valueName: "pid"), completion: pythonProcesses,
    transform: processID)
  var pid: Int32
  @Option(name: [.short, .long], help: ArgumentHelp("Seconds to sample.", valueName: "seconds")) var duration:
    Double = 10

  mutating func validate() throws {
    guard pid > 0 else { throw ValidationError("a PID is a positive number, not \(pid)") }
    try checkDuration(duration)
  }
}

struct Attach: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sample all threads of a running process.",
    discussion: """
      EXAMPLES
        sudo caduceus attach 1234
        sudo caduceus attach -d 60 -o fit.pstats 1234
        sudo caduceus attach --collapsed -o fit.txt 1234

      The process is not stopped, changed or signalled. Ctrl-C ends sampling and
      gives the result; a second one leaves at once.
      """)

  @OptionGroup var target: AttachArguments
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Output") var output: OutputArguments
  @OptionGroup(title: "Options of one format") var format: FormatArguments
  @OptionGroup var refused: RefusedArguments

  mutating func validate() throws { try format.check(against: output) }

  func run() throws {
    var options = sampling.options(allThreadsByDefault: true)
    options.duration = target.duration
    options.keepsTimeline = output.written.contains { $0.format.needsTimeline }
    let advice = "without --main-thread all threads are sampled"
    try Session(options: options, output: output, format: format, advice: advice).attach(target.pid)
  }
}

struct AttachMain: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "main", abstract: "Sample the main thread of a running process (the default).",
    shouldDisplay: false)

  @OptionGroup var target: AttachArguments
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Output") var output: OutputArguments
  @OptionGroup(title: "Options of one format") var format: FormatArguments
  @OptionGroup var refused: RefusedArguments

  mutating func validate() throws { try format.check(against: output) }

  func run() throws {
    var options = sampling.options(allThreadsByDefault: false)
    options.duration = target.duration
    options.keepsTimeline = output.written.contains { $0.format.needsTimeline }
    try Session(options: options, output: output, format: format, advice: "-a samples all threads")
      .attach(target.pid)
  }
}

/// What the shell offers for a PID; a program that embeds Python has another name, and has to be typed.
let pythonProcesses = CompletionKind.shellCommand("pgrep python")

/// A PID on the command line.
func processID(_ text: String) throws -> Int32 {
  if let pid = Int32(text) { return pid }
  if Double(text) != nil { throw ValidationError("there is no such PID") }
  throw ValidationError("a PID is a number; to run a program and sample it: caduceus run -- \(text)")
}

/// Seconds that are a number, and that fit the clock.
func checkDuration(_ seconds: Double) throws {
  guard seconds > 0, seconds <= 1e9 else {
    throw ValidationError("--duration must be more than 0 and at most 1000000000 seconds")
  }
}
