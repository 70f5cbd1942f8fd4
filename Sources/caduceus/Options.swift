// Options that the subcommands share.

import ArgumentParser
import Sampling

extension NativeFrames: ExpressibleByArgument {}

enum UnwinderName: String, ExpressibleByArgument, CaseIterable {
  case rows, libunwind
}

enum OutputFormat: String, EnumerableFlag {
  case pstats, collapsed

  static func help(for value: OutputFormat) -> ArgumentHelp? {
    switch value {
    case .pstats: "Functions with their times: a table, or with -o a file for pstats readers (default)."
    case .collapsed: "One line per distinct stack and its count, for flame graphs."
    }
  }
}

struct SamplingArguments: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: ArgumentHelp("CPU time between two samples of one thread, at least 10.", valueName: "us"))
  var interval: UInt64 = 1000

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
      "Ring buffer of each CPU in KiB, a power of two; by the interval if not given.", valueName: "KiB"))
  var ringSize: Int?

  @Flag(
    name: .customLong("per-cpu"),
    help: "One sampling event per CPU instead of one per thread: for very short threads.")
  var perCPU = false

  mutating func validate() throws {
    guard interval >= 10, interval <= 10_000_000 else {
      throw ValidationError("--interval must be between 10 and 10000000 microseconds, not \(interval)")
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

  var options: SamplingOptions {
    var options = SamplingOptions()
    options.interval = interval
    options.native = native
    options.unwinder = unwinder == .rows ? .rows : .libunwind
    options.stackBytes = stackSize
    options.perCPU = perCPU
    options.ringBytes = ringSize.map { $0 << 10 }
    return options
  }
}

struct OutputArguments: ParsableArguments {
  @Flag(exclusivity: .exclusive) var format: OutputFormat = .pstats

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("Write to this file.", valueName: "file"))
  var output: String?

  @Option(
    name: [.customShort("l"), .customLong("limit")],
    help: ArgumentHelp("Rows of the table.", valueName: "rows"))
  var limit: Int = 15

  @Flag(name: .long, help: "Print every line of the accounting of samples.")
  var ledger = false

  mutating func validate() throws {
    guard limit >= 1 else { throw ValidationError("--limit must be at least 1, not \(limit)") }
    if let output, output.isEmpty { throw ValidationError("--output needs a file name") }
  }
}
