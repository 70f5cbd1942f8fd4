// What CPython 3.15's sampling profiler takes and caduceus does not (yet): refused by name, with a reason.

import ArgumentParser

/// Options of `python -m profiling.sampling` without a counterpart.
struct RefusedArguments: ParsableArguments {
  @Flag(help: .hidden) var live = false
  @Option(help: .hidden) var mode: String?
  @Flag(name: .customLong("async-aware"), help: .hidden) var asyncAware = false
  @Option(name: .customLong("async-mode"), help: .hidden) var asyncMode: String?
  @Flag(help: .hidden) var blocking = false
  @Flag(help: .hidden) var opcodes = false
  @Flag(name: .customLong("no-gc"), help: .hidden) var noGC = false
  @Flag(help: .hidden) var subprocesses = false
  @Flag(help: .hidden) var heatmap = false
  @Option(name: .customLong("diff-flamegraph"), help: .hidden) var diffFlamegraph: String?
  @Flag(help: .hidden) var binary = false
  @Option(help: .hidden) var compression: String?
  @Flag(name: .customLong("browser"), help: .hidden) var browser = false

  mutating func validate() throws {
    let asyncAdvice = "coroutines are shown as they stand on the stack"
    let formats = "caduceus writes --flamegraph, --speedscope, --gecko, --pprof and more, see --help"
    let reasons: [(isGiven: Bool, text: String)] = [
      (live, "--live is not supported: a terminal shows a progress line, the result comes at the end"),
      (mode != nil, "--mode is not supported: caduceus samples CPU time, GIL or not"),
      (asyncAware, "--async-aware is not supported: \(asyncAdvice)"),
      (asyncMode != nil, "--async-mode is not supported: \(asyncAdvice)"),
      (
        blocking,
        "--blocking is not needed: stacks are copied in an interrupt, whole without stopping the program"
      ),
      (opcodes, "--opcodes is not supported: a Python frame shows its line"),
      (noGC, "--no-gc is not supported: garbage collection shows as the native functions that do it"),
      (subprocesses, "--subprocesses is not supported: attach to each process by its own PID"),
      (heatmap, "--heatmap is not supported: --pstats has one row per line that was running"),
      (diffFlamegraph != nil, "--diff-flamegraph is not supported: \(formats)"),
      (binary, "--binary is not supported: \(formats)"),
      (browser, "--browser is not supported: it is called --open here"),
      (compression != nil, "--compression is not supported: it belongs to --binary"),
    ]
    if let reason = reasons.first(where: \.isGiven) { throw ValidationError(reason.text) }
  }
}

/// `caduceus dump PID`.
struct Dump: ParsableCommand {
  static let configuration = CommandConfiguration(shouldDisplay: false)

  @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

  mutating func validate() throws {
    throw ValidationError(
      "dump is not supported: caduceus shows where CPU time goes over a while; `caduceus attach -d 1 PID` shows a "
        + "second of it")
  }
}

/// `caduceus replay FILE`.
struct Replay: ParsableCommand {
  static let configuration = CommandConfiguration(shouldDisplay: false)

  @Argument(parsing: .captureForPassthrough) var arguments: [String] = []

  mutating func validate() throws {
    throw ValidationError(
      "replay is not supported: there is no binary recording; each output file is complete by itself")
  }
}
