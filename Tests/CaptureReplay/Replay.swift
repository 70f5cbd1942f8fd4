// Replays captures through the code that takes live records.

import Foundation
import NativeUnwinding
import PerfEvents
import ProcessImages
import Profiles
import PythonFrames
import Sampling
import Snapshots

extension Capture {
  /// The folder of the captures, beside this one.
  public static var folder: String {
    URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(
      path: "Captures"
    )
    .path
  }

  /// Reads a file of the folder.
  public init(named name: String) throws {
    let data = try Data(contentsOf: URL(filePath: "\(Self.folder)/\(name).capture"))
    try self.init(serialized: [UInt8](data))
  }

  /// The names of the captures there are.
  public static var all: [String] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return files.filter { $0.hasSuffix(".capture") }.map { String($0.dropLast(8)) }.sorted()
  }

  /// The captures whose stack copies hold the whole stack; the others were recorded because theirs do not.
  public static var whole: [String] { all.filter { !$0.hasPrefix("deep_stack") } }

  /// The program of Tests/Programs that was captured.
  public static func program(_ name: String) -> String {
    name.hasPrefix("embed") ? "sandwich" : String(name.prefix { $0 != "-" })
  }

  /// The process's mappings before the first record.
  public func addressSpace() -> AddressSpace {
    AddressSpace(mappings: mappings, provider: CapturedImages(images, functions))
  }

  /// A recorder that reads nothing but this capture.
  package func recorder(
    method: NativeUnwinder.Method = .rows, shown: NativeFrames = .extensions,
    addressSpace: AddressSpace? = nil,
    memory: (any ByteSource)? = nil
  ) -> StackRecorder? {
    let memory = memory ?? self.memory
    let threads = threads
    let process = RecordedProcess(
      processID: processID, addressSpace: addressSpace ?? self.addressSpace(), memory: memory,
      kernel: LoadedKernelSymbols(text: [UInt8](kernelSymbols.utf8)), threadName: { threads[$0] })
    var recorder = StackRecorder(process, method: method, shown: shown)
    if let interpreter {
      recorder?.add(
        InterpreterContext(
          layout: interpreter.layout, frames: PythonFrameTable(codes: CodeTable()),
          memory: CodeMemory(layout: interpreter.layout, memory: memory), hole: interpreter.hole,
          foundAt: .max),
        slot: interpreter.slot)
    }
    return recorder
  }

  /// Hands all records on, in their order.
  public func replay(to handler: inout some RecordHandler) {
    for record in records {
      unsafe RecordParser.dispatch(
        record.bytes.span.bytes, isNames: record.isNames, target: processID, to: &handler)
    }
  }

  /// The profile of all records.
  public func profile(method: NativeUnwinder.Method = .rows, shown: NativeFrames = .extensions) -> Profile? {
    guard var recorder = recorder(method: method, shown: shown) else { return nil }
    replay(to: &recorder)
    return recorder.finished()
  }
}

/// Hands each sample to a closure, and mappings to an address space; all else is dropped.
public struct SampleVisitor: RecordHandler {
  private let addressSpace: AddressSpace
  private let mappingsChanged: () -> Void
  private let visit: (borrowing SampleRecord) -> Void

  /// Follows the mappings in `addressSpace`.
  public init(
    _ addressSpace: AddressSpace, mappingsChanged: @escaping () -> Void = {},
    visit: @escaping (borrowing SampleRecord) -> Void
  ) {
    self.addressSpace = addressSpace
    self.mappingsChanged = mappingsChanged
    self.visit = visit
  }

  /// Visits it.
  public mutating func handle(sample: borrowing SampleRecord) { visit(sample) }
  /// Drops it.
  public mutating func handle(names: borrowing PerfEvents.NamesRecord) {}
  /// Drops it.
  public mutating func handleMalformedSample() {}

  /// Follows mappings.
  public mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {
    guard case .mapping(let record) = sideband else { return }
    addressSpace.apply(Mapping(record))
    mappingsChanged()
  }
}
