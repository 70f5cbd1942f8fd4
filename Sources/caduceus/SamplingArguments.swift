// The options that say how to sample.

import ArgumentParser
import Sampling

extension NativeFrames: ExpressibleByArgument {}

enum UnwinderName: String, ExpressibleByArgument, CaseIterable {
  case rows, libunwind
}

struct SamplingArguments: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "Microseconds of CPU time between two samples of one thread, 10 to 10000000. (default: 1000)",
      valueName: "us"))
  var interval: UInt64?

  @Option(
    name: [.short, .customLong("sampling-rate")],
    help: ArgumentHelp(
      "The same as samples per second of CPU time: 0.1 to 100000, with hz, khz or k behind it.",
      valueName: "rate"))
  var rate: SamplingRate?

  @Flag(
    name: [.customShort("a"), .customLong("all-threads")],
    help: "Sample all threads. The rule for attach and run; caduceus PID samples the main thread without it.")
  var allThreads = false

  @Flag(name: .customLong("main-thread"), help: "Sample the main thread only.") var mainThread = false

  @Option(
    name: .long,
    help: ArgumentHelp("Which native frames are shown: all, extensions or none.", valueName: "which"))
  var native: NativeFrames = .extensions

  @Option(
    name: .long, help: ArgumentHelp("How native stacks are walked: rows or libunwind.", valueName: "how"))
  var unwinder: UnwinderName = .rows

  @Option(
    name: .customLong("stack-size"),
    help: ArgumentHelp("Largest copy of a thread's stack, 512 to 65528.", valueName: "bytes"))
  var stackSize: UInt32 = 65528

  @Option(
    name: .customLong("ring-size"),
    help: ArgumentHelp(
      "Ring buffer of each CPU in KiB, a power of two from 64 to 1048576; by the interval if not given.",
      valueName: "KiB"))
  var ringSize: Int?

  @Flag(
    name: .customLong("per-cpu"),
    help: "Sampling events of the CPUs instead of one per thread: for very short threads.")
  var perCPU = false

  @Flag(
    name: .customLong("no-bpf"),
    help: "Sample without an eBPF program, from perf samples alone. The rule where eBPF is not allowed.")
  var noBPF = false

  @Flag(help: "Drop samples whose Python frames are not proven. Without eBPF only: with it there are none.")
  var strict = false

  mutating func validate() throws {
    if noBPF && perCPU {
      throw ValidationError("--no-bpf and --per-cpu exclude each other: without eBPF events are of threads")
    }
    if let interval, !(10...10_000_000).contains(interval) {
      throw ValidationError("--interval must be between 10 and 10000000 microseconds, not \(interval)")
    }
    if interval != nil && rate != nil {
      throw ValidationError("--interval and --sampling-rate exclude each other: both say how often to sample")
    }
    if allThreads && mainThread {
      throw ValidationError(
        "--all-threads and --main-thread exclude each other: both say which threads to sample")
    }
    guard stackSize >= 512, stackSize <= 65528 else {
      throw ValidationError("--stack-size must be between 512 and 65528 bytes, not \(stackSize)")
    }
    if let ringSize {
      guard ringSize >= 64, ringSize <= 1 << 20, ringSize & (ringSize - 1) == 0 else {
        throw ValidationError(
          "--ring-size must be a power of two between 64 and 1048576 KiB, not \(ringSize)")
      }
    }
  }

  /// What the sampler is told. `allThreadsByDefault`: the rule of the command where no option says which threads.
  func options(allThreadsByDefault: Bool) -> SamplingOptions {
    var options = SamplingOptions()
    options.period = rate?.period ?? (interval ?? 1000) * 1000
    options.mainThreadOnly = mainThread || !(allThreads || allThreadsByDefault)
    options.native = native
    options.unwinder = unwinder == .rows ? .rows : .libunwind
    options.stackBytes = stackSize
    options.perCPU = perCPU
    options.withoutBPF = noBPF ? "--no-bpf" : nil
    options.strict = strict
    options.ringBytes = ringSize.map { $0 << 10 }
    return options
  }
}

/// A number of samples per second, as CPython 3.15's sampling profiler takes it: `1khz`, `500hz`, `2.5k`, `10000`.
struct SamplingRate: ExpressibleByArgument, Equatable {
  /// Nanoseconds between two samples.
  let period: UInt64

  init?(argument: String) {
    let units: [(suffix: String, factor: Double)] = [("khz", 1000), ("hz", 1), ("k", 1000)]
    let text = argument.lowercased()
    let unit = units.first { text.hasSuffix($0.suffix) }
    let digits = text.dropLast(unit?.suffix.count ?? 0).trimmingSuffix(" ")
    guard digits.contains(where: \.isNumber), digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
      let number = Double(digits)
    else { return nil }
    let rate = number * (unit?.factor ?? 1)
    guard rate >= 0.1, rate <= 100_000 else { return nil }
    period = UInt64((1e9 / rate).rounded())
  }
}

extension Substring {
  fileprivate func trimmingSuffix(_ character: Character) -> Substring {
    var rest = self
    while rest.last == character { rest.removeLast() }
    return rest
  }
}
