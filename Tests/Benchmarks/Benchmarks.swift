// Benchmarks [CAPTURE ... | formats | page]: replays captures many times and prints what each stage costs per sample, warm.
// The best of many rounds is taken: other work on the machine only ever adds. Without an argument, or for `formats` and
// `page`, it also prints what each format costs, and how long the flame graph's page takes in a browser. Nothing is asserted.

import CaptureReplay
import Glibc
import MixedStacks
import NativeUnwinding
import PerfEvents
import ProcessImages
import PythonFrames
import Sampling
import Snapshots

/// The records of one capture that are samples, with each stage's output for the next one.
final class Bench {
  let capture: Capture
  let samples: [[UInt8]]
  let codeAdaptive: UInt32
  let table = PythonFrameTable(codes: CodeTable())
  let memory: CodeMemory?
  private var keep = 0
  var chains: [DecodedChain] = []
  var stacks: [AddressStack] = []
  private let rows: NativeUnwinder
  private let libunwind: NativeUnwinder
  private let joiner: StackJoiner
  private var pointers: [UInt64] = []
  private var recorder: StackRecorder

  init?(_ capture: Capture) {
    self.capture = capture
    samples = capture.records.filter { !$0.isNames && $0.bytes[0] == 9 }.map(\.bytes)
    codeAdaptive = capture.interpreter?.layout.codeAdaptive ?? 0
    memory = capture.interpreter.map { CodeMemory(layout: $0.layout, memory: capture.memory) }
    // All mappings are there from the start, so that nothing is forgotten on the way.
    let space = capture.addressSpace()
    var mapper = SampleVisitor(space) { _ in }
    capture.replay(to: &mapper)
    guard let rows = NativeUnwinder(addressSpace: space, memory: capture.memory),
      let libunwind = NativeUnwinder(addressSpace: space, memory: capture.memory, method: .libunwind),
      let recorder = capture.recorder(shown: .extensions)
    else { return nil }
    self.rows = rows
    self.libunwind = libunwind
    self.recorder = recorder
    joiner = StackJoiner { rows.functionStart(covering: $0) }
    capture.replay(to: &self.recorder)
    for record in capture.records where record.isNames {
      // The raw part of a record of names stands at 52 and says its own size.
      let bytes = unsafe record.bytes.span.bytes
      let size = Int(bytes.word32(at: 56))
      _ = try? table.codes.add(names: bytes.extracting(52..<52 + size))
    }
    var mixed = MixedStack()
    for index in samples.indices {
      with(index) { sample in
        var chain = DecodedChain()
        try? chain.decode(sample.chain, codeAdaptive: codeAdaptive)
        var stack = AddressStack()
        rows.unwind(sample.snapshot, into: &stack)
        joiner.join(
          stack, chain, table, memory: memory, stack: StackExtent(start: sample.registers.stackPointer),
          into: &mixed)
        chains.append(chain)
        stacks.append(stack)
        pointers.append(sample.registers.stackPointer)
      }
    }
  }

  private func with(_ index: Int, _ body: (borrowing SampleRecord) -> Void) {
    let bytes = samples[index]
    guard let sample = unsafe RecordParser.sample(bytes.span.bytes) else { return }
    body(sample)
  }

  /// Nanoseconds per sample: the best round.
  private func time(rounds: Int, _ body: (Int) -> Void) -> Double {
    var best = Double.infinity
    for _ in 0..<rounds {
      let start = RecordStream.clock()
      for index in samples.indices { body(index) }
      best = min(best, Double(RecordStream.clock() - start) / Double(samples.count))
    }
    return best
  }

  func run(_ name: String) {
    let native = Double(stacks.reduce(0) { $0 + $1.frames.count }) / Double(stacks.count)
    let python = Double(chains.reduce(0) { $0 + $1.frames.count }) / Double(chains.count)
    print("\(name): \(samples.count) samples, \(text(native)) native and \(text(python)) Python frames each")
    let rounds = 200
    let parse = time(rounds: rounds) { with($0) { keep &+= $0.kernelChain.byteCount } }
    var chain = DecodedChain()
    let decode = time(rounds: rounds) {
      with($0) { sample in try? chain.decode(sample.chain, codeAdaptive: codeAdaptive) }
    }
    var stack = AddressStack()
    let unwind = time(rounds: rounds) { with($0) { rows.unwind($0.snapshot, into: &stack) } }
    let oracle = time(rounds: 3) { with($0) { libunwind.unwind($0.snapshot, into: &stack) } }
    var mixed = MixedStack()
    let join = time(rounds: rounds) {
      joiner.join(
        stacks[$0], chains[$0], table, memory: memory, stack: StackExtent(start: pointers[$0]), into: &mixed)
    }
    let whole = time(rounds: rounds) {
      let bytes = samples[$0]
      unsafe RecordParser.dispatch(
        bytes.span.bytes, isNames: false, target: capture.processID, to: &recorder)
    }
    let both = native + python
    line("parse", parse, nil)
    line("decode the chain", decode - parse, python)
    line("unwind by rows", unwind - parse, native)
    line("unwind by libunwind", oracle - parse, native)
    line("join", join, both)
    line("show and intern", whole - unwind - (decode - parse) - join, both)
    line("whole pipeline", whole, both)
    print("")
  }

  private func line(_ stage: String, _ nanoseconds: Double, _ frames: Double?) {
    let name = stage + String(repeating: " ", count: 22 - stage.count)
    let perFrame = frames.map { pad(text(nanoseconds / $0)) + " ns/frame" } ?? ""
    print("  \(name)\(pad(text(nanoseconds))) ns/sample\(perFrame)")
  }

  private func text(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(abs(tenths) % 10)"
  }

  private func pad(_ text: String) -> String { String(repeating: " ", count: max(0, 10 - text.count)) + text }
}

@main enum Benchmarks {
  static func main() async throws {
    let names = CommandLine.arguments.count > 1 ? Array(CommandLine.arguments[1...]) : Capture.all
    for name in names where !["formats", "page"].contains(name) {
      guard let bench = Bench(try Capture(named: name)) else { continue }
      bench.run(name)
    }
    let isWhole = CommandLine.arguments.count == 1
    if isWhole || names.contains("formats") { FormatBenchmark.run() }
    if isWhole || names.contains("page") { try await PageBenchmark.run() }
  }
}
