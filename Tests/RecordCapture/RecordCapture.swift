// RecordCapture PID SAMPLES FILE [INTERVAL]: samples a Python process and writes a golden capture. No feature of
// caduceus: `make` and the tests never run it, the captures lie in Tests/Captures. Needs the rights that sampling
// needs. INTERVAL is in microseconds of CPU time.

import CaptureReplay
import Foundation
import Glibc
import NativeUnwinding
import PerfEvents
import ProcessImages
import PythonFrames
import Sampling
import Snapshots

struct Failure: Error, CustomStringConvertible {
  let description: String
}

/// Keeps records as they come, up to a number of samples. Those about other processes are left out: side-band records
/// of everything that runs on the machine pass by.
struct Tape: RecordHandler {
  let limit: Int
  var samples = 0
  var records: [CapturedRecord] = []
  var threads: Set<Int32> = []
  private var latest: [UInt8] = []

  init(limit: Int) { self.limit = limit }

  mutating func handle(raw record: borrowing RawSpan, isNames: Bool) {
    guard samples < limit else { return }
    var bytes = (0..<record.byteCount).map { record.byte(at: $0) }
    // Behind the stack's copied bytes lies what the ring held before.
    if !isNames, let unused = RecordParser.unusedBytes(of: record) {
      for at in unused { bytes[at] = 0 }
    }
    latest = bytes
    // A sample's type is 9; the program takes samples of nothing but the target.
    if bytes[0] == 9 { records.append(CapturedRecord(isNames: isNames, bytes: bytes)) }
  }

  mutating func handle(sample: borrowing SampleRecord) {
    samples += 1
    threads.insert(sample.stamp.tid)
  }

  mutating func handle(names: borrowing PerfEvents.NamesRecord) {}
  mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {
    guard samples < limit else { return }
    records.append(CapturedRecord(isNames: false, bytes: latest))
  }
  mutating func handleMalformedSample() {}
}

/// Files as the reader of the records sees them (recorded, without symbols), beside the same files with symbols.
final class Recorder {
  let processID: Int32
  let images: RecordingImages
  let memory: RecordingByteSource
  private let live: AddressSpace

  init(_ processID: Int32, _ mappings: [Mapping]) {
    self.processID = processID
    images = RecordingImages(LiveImages(pid: processID))
    memory = RecordingByteSource(ProcessMemory(pid: processID))
    live = AddressSpace(mappings: mappings, provider: LiveImages(pid: processID))
  }

  /// Replays everything that a test or a benchmark replays, so that all it touches is recorded.
  func touchAll(_ capture: Capture) throws {
    for method in [NativeUnwinder.Method.rows, .libunwind] {
      let space = AddressSpace(mappings: capture.mappings, provider: CapturedImages(images, []))
      guard var recorder = capture.recorder(method: method, shown: .all, addressSpace: space, memory: memory)
      else { throw Failure(description: "libunwind cannot be set up") }
      capture.replay(to: &recorder)
    }
  }

  /// The functions that any frame stands in, and the kernel's as lines of kallsyms.
  func names(_ capture: Capture) throws -> (functions: [CapturedFunction], kernel: String) {
    var functions: Set<CapturedFunction> = []
    var kernel: Set<String> = []
    let symbols = try KernelSymbols()
    guard let unwinder = NativeUnwinder(addressSpace: live, memory: memory) else { return ([], "") }
    var stack = AddressStack()
    let space = live
    var visitor = SampleVisitor(live, mappingsChanged: { unwinder.mappingsChanged() }) { sample in
      unwinder.unwind(sample.snapshot, into: &stack)
      for frame in stack.frames {
        guard let location = space.location(of: frame.lookupAddress) else { continue }
        let table = location.module.symbols
        guard let symbol = table.lookup(location.virtualAddress) else { continue }
        functions.insert(
          CapturedFunction(
            path: location.module.path, start: symbol.virtualAddress, size: symbol.size,
            name: table.name(of: symbol)))
      }
      for at in stride(from: 0, to: sample.kernelChain.byteCount, by: 8) {
        let address = sample.kernelChain.word(at: at)
        guard let symbol = symbols.lookup(address) else { continue }
        let module = symbol.module.map { "\t[\($0)]" } ?? ""
        kernel.insert("\(String(address, radix: 16)) t \(symbol.name)\(module)\n")
      }
    }
    capture.replay(to: &visitor)
    let sorted = functions.sorted { ($0.path, $0.start) < ($1.path, $1.start) }
    return (sorted, kernel.sorted().joined())
  }
}

func capture(_ processID: Int32, samples: Int, interval: UInt64) throws -> Capture {
  let facts = ProcessFacts(pid: processID)
  let memory = ProcessMemory(pid: processID)
  let maps = try ProcessMaps.read(processID)
  let found = try InterpreterFinder(images: LiveImages(pid: processID), memory: memory).find(in: maps)
  let layout = try InterpreterLayout(
    validating: found, memory: memory,
    threads: Set(try facts.threads().map { try facts.ownTid(ofThread: $0) }))
  let namespace = try facts.pidNamespace()
  let program = try SamplingProgram(
    ProgramConfiguration(
      processID: try facts.ownPid(), namespaceDevice: namespace.device, namespaceInode: namespace.inode))
  let stream = try RecordStream(program: program, ringBytes: 8 << 20, target: processID)
  let mappings = try ProcessMaps.read(processID).filter(\.isExecutable)
  let events = ClockEvents(program: program, period: interval * 1000, mainThreadOnly: false)
  guard let slot = program.use(layout: layout.raw) else { throw Failure(description: "no layout slot") }
  for thread in try facts.threads() { _ = try events.open(thread: thread) }
  events.enable()
  var tape = Tape(limit: samples)
  while tape.samples < samples, kill(processID, 0) == 0 {
    stream.wait(milliseconds: 20)
    stream.deliver(to: &tape)
  }
  events.disable()

  let recorder = Recorder(processID, mappings)
  var capture = Capture(memory: recorder.memory.recorded, images: recorder.images.recorded)
  capture.processID = processID
  capture.mappings = mappings
  capture.interpreter = CapturedInterpreter(
    slot: slot, layout: layout, hole: EvaluationPrologue.hole(of: layout, memory: memory)?.addresses ?? 0..<0)
  for thread in tape.threads { capture.threads[thread] = try? facts.comm(ofThread: thread) }
  capture.records = tape.records
  try recorder.touchAll(capture)
  (capture.functions, capture.kernelSymbols) = try recorder.names(capture)
  capture.memory = recorder.memory.recorded
  capture.images = recorder.images.recorded
  return capture
}

@main enum Main {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard (4...5).contains(arguments.count), let processID = Int32(arguments[1]),
      let samples = Int(arguments[2]),
      let interval = UInt64(arguments.count == 5 ? arguments[4] : "1000")
    else {
      print("usage: RecordCapture PID SAMPLES FILE [INTERVAL]")
      exit(2)
    }
    let bytes = try capture(processID, samples: samples, interval: interval).serialized()
    try Data(bytes).write(to: URL(filePath: arguments[3]))
    print("\(arguments[3]): \(bytes.count) bytes")
  }
}
