// `caduceus run -- COMMAND ARGUMENTS`.

import ArgumentParser
import Glibc
import Sampling

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a program and sample it from its first instruction.",
    usage: "caduceus run [OPTIONS] -- COMMAND [ARGUMENTS...]",
    discussion: """
      The program keeps standard input, output and error; its exit status becomes caduceus's own (128 + N when
      signal N ended it). Under sudo it runs as the invoking user. The processes it starts are not sampled.
      """)

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Seconds to sample; the program itself runs on to its end.", valueName: "seconds"))
  var duration: Double?
  @Flag(name: .customLong("main-thread"), help: "Sample the main thread only.") var mainThread = false
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Output") var output: OutputArguments
  @Argument(
    parsing: .captureForPassthrough, help: ArgumentHelp("Program and its arguments.", valueName: "command"))
  var command: [String] = []

  private var program: [String] { command.first == "--" ? Array(command.dropFirst()) : command }

  mutating func validate() throws {
    if program.isEmpty {
      throw ValidationError("no command; usage: caduceus run [OPTIONS] -- COMMAND [ARGUMENTS...]")
    }
    // Whatever is no option of ours begins the command; no command begins with a dash, unless it follows `--`.
    if let first = command.first, first.hasPrefix("-"), first != "--" {
      if first == "--help" || first == "-h" { throw CleanExit.helpRequest(Self.self) }
      throw ValidationError("unknown option \(first); a command of that name must follow --")
    }
    if let duration { try checkDuration(duration) }
  }

  func run() throws {
    var options = sampling.options
    options.duration = duration
    options.mainThreadOnly = mainThread
    let advice = "without --main-thread all threads are sampled"
    let status = try Session(options: options, output: output, advice: advice).run(program)
    Glibc.exit(status)
  }
}
