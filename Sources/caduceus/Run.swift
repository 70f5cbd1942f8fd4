// `caduceus run -- COMMAND ARGUMENTS` and `caduceus run [-m] TARGET ARGUMENTS`.

import ArgumentParser
import Glibc
import Sampling

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a program and sample it from its first instruction.",
    usage: """
      caduceus run [OPTIONS] -- COMMAND [ARGUMENTS...]
      caduceus run [OPTIONS] SCRIPT [ARGUMENTS...]
      caduceus run [OPTIONS] -m MODULE [ARGUMENTS...]
      """,
    discussion: """
      EXAMPLES
        sudo caduceus run -- python3 fit.py --fast
        sudo caduceus run fit.py --fast
        sudo caduceus run -m pytest tests

      A script or a module is run by the python3 in PATH. What follows -- is a
      command, whatever it looks like.

      The program keeps standard input, output and error; its exit status becomes
      caduceus's own (128 + N when signal N ended it). Under sudo it runs as the
      user who called sudo, in that user's environment and with that user's PATH,
      as it would without sudo. The processes it starts are not sampled.
      """)

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Seconds to sample; the program itself runs on to its end.", valueName: "seconds"))
  var duration: Double?
  @Flag(
    name: [.customShort("m"), .customLong("module")], help: "The target is a Python module, as in python3 -m."
  )
  var isModule = false
  @Flag(name: .customLong("as-root"), help: "Under sudo: run the program as root, in root's environment.")
  var asRoot = false
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Output") var output: OutputArguments
  @OptionGroup(title: "Options of one format") var format: FormatArguments
  @OptionGroup var refused: RefusedArguments
  @Argument(
    parsing: .captureForPassthrough, help: ArgumentHelp("Program and its arguments.", valueName: "command"),
    completion: .file())
  var command: [String] = []

  private var program: [String] { command.first == "--" ? Array(command.dropFirst()) : command }

  mutating func validate() throws {
    if program.isEmpty {
      throw ValidationError("no command: name the program to run, as in caduceus run -- python3 fit.py")
    }
    // Whatever is no option of ours begins the command; no command begins with a dash, unless it follows `--`.
    if let first = command.first, first.hasPrefix("-"), first != "--" {
      if first == "--help" || first == "-h" { throw CleanExit.helpRequest(Self.self) }
      throw ValidationError("unknown option \(first); a command of that name must follow --")
    }
    if isModule, command.first == "--" {
      throw ValidationError("-m and -- exclude each other: what follows -- is a command, not a module")
    }
    if let duration { try checkDuration(duration) }
    try format.check(against: output)
  }

  func run() throws {
    var options = sampling.options(allThreadsByDefault: true)
    options.duration = duration
    options.keepsTimeline = output.written.contains { $0.format.needsTimeline }
    let advice = "without --main-thread all threads are sampled"
    let session = Session(options: options, output: output, format: format, advice: advice)
    let target = isModule || command.first != "--" ? PythonTarget(command, isModule: isModule) : nil
    Glibc.exit(try session.run(target?.command ?? program, as: asRoot ? .root : .invokingUser))
  }
}

/// A Python script or module that is named without its interpreter.
struct PythonTarget {
  /// The command that runs it.
  let command: [String]

  /// Nil where the words are a command by themselves: a program in PATH, an executable file.
  init?(_ words: [String], isModule: Bool) {
    guard let target = words.first else { return nil }
    if isModule {
      command = ["python3", "-m"] + words
    } else if Self.isScript(target) {
      command = ["python3"] + words
    } else {
      return nil
    }
  }

  /// A Python source file by its name, a folder or an archive with a main module, or a file that is not executable.
  private static func isScript(_ path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return false }
    if status.st_mode & S_IFMT == S_IFDIR { return unsafe access(path + "/__main__.py", R_OK) == 0 }
    if [".py", ".pyw", ".pyz", ".pyc"].contains(where: path.hasSuffix) { return true }
    return status.st_mode & S_IFMT == S_IFREG && status.st_mode & 0o111 == 0 && path.contains("/")
  }
}
