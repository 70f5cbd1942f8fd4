// Samples a process both ways in the very same interrupts: the eBPF program reads the chain in the interrupt, and the
// readers of the way without it read it a moment later. What the program read is the truth.

import Accounting
import Foundation
import Glibc
import PerfEvents
import ProcessImages
import PythonFrames
import Snapshots

/// What the comparison found.
public struct OracleReport: Sendable, CustomStringConvertible {
  /// Interrupts of which both ways have a record.
  public var paired = 0
  /// Interrupts of which only one has.
  public var unpaired = 0
  /// Of the paired: those whose thread was proven to stand still (or for which there was evidence).
  public var proven = 0
  /// Of these: chains that the program did not find whole itself, so that they cannot be compared.
  public var withoutTruth = 0
  /// Of these: chains that differ from the program's in any entry.
  public var wrong = 0
  /// Of these: only in what tells code objects at one address apart.
  public var otherFingerprint = 0
  /// Proven samples whose chain is not the one of the thread's next interrupt: where there are none the comparison
  /// could not have found anything.
  public var changed = 0
  /// Causes of what was not proven.
  public var refusals: [String] = []
  /// Nanoseconds from an interrupt to the end of the read, on average.
  public var meanLag: UInt64 = 0
  /// Calls that read the target's memory, per sample, on average.
  public var meanCalls = 0.0
  /// Largest share of its CPU that a reader took over 100 ms, in percent.
  public var largestShare: UInt64 = 0
  /// Readers that the watchdog took out of the real-time class.
  public var watchdog: UInt64 = 0
  /// Nanoseconds of CPU time of the readers.
  public var readerCPU: UInt64 = 0
  /// The readers' scheduling.
  public var scheduling = ""
  /// The first that differ.
  public var examples: [String] = []

  /// One line of numbers, and the first examples.
  public var description: String {
    let share = paired == 0 ? 0 : Double(proven) * 100 / Double(paired)
    var text = "\(paired) interrupts, \(proven) proven (\(String(format: "%.2f", share)) %), \(wrong) wrong, "
    text +=
      "\(otherFingerprint) other fingerprint, \(changed) changed, \(withoutTruth) without truth, \(unpaired) unpaired; "
    text +=
      "lag \(meanLag / 1000) us, \(String(format: "%.1f", meanCalls)) reads, largest share \(largestShare) %, "
    text +=
      "watchdog \(watchdog), reader CPU \(readerCPU / 1_000_000) ms, \(scheduling); \(refusals.joined(separator: ", "))"
    for example in examples { text += "\n  \(example)" }
    return text
  }
}

/// How to compare.
public struct OracleOptions: Sendable {
  /// Nanoseconds of CPU time between interrupts of one thread.
  public var period: UInt64 = 1_000_000
  /// Stops after so many interrupts.
  public var samples = 1000
  /// Stops after so many seconds.
  public var seconds = 60.0
  /// Readers may be of the real-time class.
  public var realtime = true
  /// Only evidence.
  public var evidence = false
  /// Percent of its CPU above which a reader leaves the real-time class; nil: as usual.
  public var realtimeLimit: UInt64?

  /// The defaults.
  public init() {}
}

/// The comparison could not be begun.
public struct OracleFailure: Error, CustomStringConvertible {
  /// Why.
  public let description: String
}

/// Keeps each record's chain.
private struct Keeper: RecordHandler {
  struct Kept {
    let tid: Int32
    let time: UInt64
    /// The chain record.
    let chain: [UInt64]
  }

  var kept: [Kept] = []

  mutating func handle(sample: borrowing SampleRecord) {
    let chain = sample.chain
    let words = (0..<(chain.byteCount / 8)).map { chain.word(at: $0 * 8) }
    kept.append(Kept(tid: sample.stamp.tid, time: sample.stamp.time, chain: words))
  }
  mutating func handle(names: borrowing PerfEvents.NamesRecord) {}
  mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {}
  mutating func handleMalformedSample() {}
}

/// What both comparisons need to know of a process.
struct OracleSetup {
  let facts: ProcessFacts
  let memory: ProcessMemory
  let threads: [Int32]
  let layout: InterpreterLayout
  let configuration: ProgramConfiguration

  init(_ processID: Int32) throws {
    let facts = ProcessFacts(pid: processID)
    self.facts = facts
    memory = ProcessMemory(pid: processID)
    threads = try facts.threads()
    let found = try InterpreterFinder(images: LiveImages(pid: processID), memory: memory)
      .find(in: ProcessMaps.read(processID))
    layout = try InterpreterLayout(
      validating: found, memory: memory, threads: Set(try threads.map { try facts.ownTid(ofThread: $0) }))
    let namespace = try facts.pidNamespace()
    configuration = ProgramConfiguration(
      processID: try facts.ownPid(), namespaceDevice: namespace.device, namespaceInode: namespace.inode)
  }
}

/// Runs the comparison on a running Python process.
public func compareWithProgram(_ processID: Int32, _ options: OracleOptions) throws -> OracleReport {
  let setup = try OracleSetup(processID)
  let (facts, layout) = (setup.facts, setup.layout)
  var configuration = setup.configuration
  configuration.keepsSamples = true
  let program = try SamplingProgram(configuration)
  let stream = try RecordStream(program: program, ringBytes: 32 << 20, target: processID)
  var unassisted = UnassistedConfiguration(target: processID, period: options.period, ringBytes: 32 << 20)
  unassisted.allowRealtime = options.realtime
  unassisted.userOnly = options.evidence
  if let limit = options.realtimeLimit { unassisted.realtimeLimit = limit }
  let capture = try UnassistedCapture(unassisted)
  guard program.use(layout: layout.raw) != nil, capture.use(layout: layout.raw) != nil else {
    throw OracleFailure(description: "no layout slot")
  }
  for thread in setup.threads {
    _ = try capture.open(thread: thread, own: try facts.ownTid(ofThread: thread))
  }
  try capture.attach(program)
  capture.enable()
  var truth = Keeper()
  var read = Keeper()
  let end = RecordStream.clock() + UInt64(options.seconds * 1e9)
  while read.kept.count < options.samples, RecordStream.clock() < end, kill(processID, 0) == 0 {
    capture.wait(milliseconds: 5)
    capture.takeNotices { try? facts.ownTid(ofThread: $0) }
    stream.deliver(to: &truth)
    capture.deliver(to: &read)
  }
  let scheduling = "\(capture.scheduling)"
  capture.disable()
  stream.deliver(to: &truth, draining: true)
  capture.deliver(to: &read, draining: true)
  var report = compare(truth.kept, read.kept, evidence: options.evidence)
  let counts = capture.counts
  report.scheduling = scheduling
  report.meanLag = counts.stoodStill == 0 ? 0 : counts.lag / counts.stoodStill
  report.meanCalls = counts.stoodStill == 0 ? 0 : Double(counts.calls) / Double(counts.stoodStill)
  report.largestShare = counts.largestShare
  report.watchdog = counts.watchdog
  report.readerCPU = counts.readerCPU
  report.refusals = UnverifiedCause.allCases.filter { counts.refusals[$0.rawValue] > 0 }
    .map { "\($0) \(counts.refusals[$0.rawValue])" }
  return report
}

/// Pairs by thread and time: the program's record is stamped some microseconds after the clock event's own.
private func compare(_ truth: [Keeper.Kept], _ read: [Keeper.Kept], evidence: Bool) -> OracleReport {
  var report = OracleReport()
  var byThread: [Int32: [Keeper.Kept]] = [:]
  for kept in truth { byThread[kept.tid, default: []].append(kept) }
  var next: [Int32: Int] = [:]
  for sample in read {
    let candidates = byThread[sample.tid] ?? []
    var index = next[sample.tid] ?? 0
    while index < candidates.count, candidates[index].time < sample.time {
      report.unpaired += 1
      index += 1
    }
    guard index < candidates.count, candidates[index].time - sample.time < 90_000 else {
      report.unpaired += 1
      next[sample.tid] = index
      continue
    }
    next[sample.tid] = index + 1
    report.paired += 1
    // The second word of the header but one: layout and status; then flags and the number of entries.
    let status = sample.chain[1] >> 32
    if status == 10 { continue }
    report.proven += 1
    let expected = candidates[index].chain
    if expected[1] >> 32 == 1 || expected[1] >> 32 == 4 {
      report.withoutTruth += 1
      continue
    }
    if index + 1 < candidates.count, firstDifference(candidates[index + 1].chain, sample.chain) != nil {
      report.changed += 1
    }
    let difference = firstDifference(expected, sample.chain)
    if difference == .fingerprint { report.otherFingerprint += 1 }
    guard difference != nil else { continue }
    report.wrong += 1
    if report.examples.count < 5 {
      report.examples.append("thread \(sample.tid): \(describe(expected)) but read \(describe(sample.chain))")
    }
  }
  return report
}

private enum Difference { case status, count, frame, fingerprint }

/// Words of an entry: address, code, instruction, fingerprint, kinds; behind a header of eight words.
private func firstDifference(_ expected: [UInt64], _ found: [UInt64]) -> Difference? {
  if expected[1] >> 32 != found[1] >> 32 { return .status }
  if expected[2] >> 32 != found[2] >> 32 || expected.count != found.count { return .count }
  var fingerprint = false
  for at in stride(from: 8, to: expected.count - 4, by: 5) {
    if expected[at] != found[at] || expected[at + 1] != found[at + 1] || expected[at + 2] != found[at + 2]
      || expected[at + 4] != found[at + 4]
    {
      return .frame
    }
    if expected[at + 3] != found[at + 3] { fingerprint = true }
  }
  return fingerprint ? .fingerprint : nil
}

private func describe(_ chain: [UInt64]) -> String {
  let entries = stride(from: 8, to: min(chain.count - 4, 28), by: 5)
    .map { "\(String(chain[$0 + 1], radix: 16))+\(String(chain[$0 + 2] &- chain[$0 + 1], radix: 16))" }
  return "status \(chain[1] >> 32), \(chain[2] >> 32) entries: \(entries.joined(separator: " "))"
}
