// A golden capture: ring records as they lay in the ring, and everything their reader touched beside them. A file
// of it replays on any machine, without the process, its interpreter and its files.

import PerfEvents
import ProcessImages
import PythonChain
import PythonFrames
import Sampling

/// One record as it lay in the ring, header and all.
public struct CapturedRecord: Equatable, Sendable {
  /// True for the names of a code object: such records have the type of a sample.
  public var isNames: Bool
  /// The bytes.
  public var bytes: [UInt8]

  /// A record from its bytes.
  public init(isNames: Bool, bytes: [UInt8]) {
    self.isNames = isNames
    self.bytes = bytes
  }
}

/// The interpreter of the captured process.
public struct CapturedInterpreter {
  /// Slot that the records are stamped with.
  public var slot: UInt32
  /// The proven layout.
  public var layout: InterpreterLayout
  /// `EvaluationPrologue.hole`; empty for none.
  public var hole: Range<UInt64>

  /// An interpreter from its parts.
  public init(slot: UInt32, layout: InterpreterLayout, hole: Range<UInt64>) {
    self.slot = slot
    self.layout = layout
    self.hole = hole
  }
}

/// A function whose name was looked up.
public struct CapturedFunction: Hashable, Sendable {
  /// Path of its module.
  public var path: String
  /// First virtual address.
  public var start: UInt64
  /// Bytes.
  public var size: UInt32
  /// Symbol.
  public var name: String

  /// A function from its parts.
  public init(path: String, start: UInt64, size: UInt32, name: String) {
    self.path = path
    self.start = start
    self.size = size
    self.name = name
  }
}

/// Everything that a replay needs.
public struct Capture {
  /// Process id, also the id of the main thread.
  public var processID: Int32 = 0
  /// Executable mappings when the first record was taken.
  public var mappings: [Mapping] = []
  /// nil for a process without an interpreter.
  public var interpreter: CapturedInterpreter?
  /// Thread names.
  public var threads: [Int32: String] = [:]
  /// Memory that was read.
  public var memory: RecordedByteSource
  /// Bytes of files that were read; no symbol tables.
  public var images: RecordedImages
  /// Functions that were looked up instead.
  public var functions: [CapturedFunction] = []
  /// Kernel functions that were looked up, as /proc/kallsyms has them.
  public var kernelSymbols = ""
  /// All records, in the order of time.
  public var records: [CapturedRecord] = []

  /// An empty capture.
  public init(memory: RecordedByteSource, images: RecordedImages) {
    self.memory = memory
    self.images = images
  }

  private static let magic = "caduceus capture 1"

  /// The contents of a capture file.
  public func serialized() -> [UInt8] {
    var writer = CompactWriter()
    writer.text(Self.magic)
    writer.number(UInt64(UInt32(bitPattern: processID)))
    writer.number(UInt64(mappings.count))
    for mapping in mappings { Self.write(mapping, &writer) }
    writer.number(interpreter == nil ? 0 : 1)
    if let interpreter { Self.write(interpreter, &writer) }
    writer.number(UInt64(threads.count))
    for (thread, name) in threads.sorted(by: { $0.key < $1.key }) {
      writer.number(UInt64(UInt32(bitPattern: thread)))
      writer.text(name)
    }
    writer.block(memory.serialized())
    writer.block(images.serialized())
    writer.number(UInt64(functions.count))
    for function in functions {
      writer.text(function.path)
      writer.number(function.start)
      writer.number(UInt64(function.size))
      writer.text(function.name)
    }
    writer.text(kernelSymbols)
    writer.number(UInt64(records.count))
    for record in records { writer.number(UInt64(record.bytes.count) << 1 | (record.isNames ? 1 : 0)) }
    Repetitions.write(records.flatMap(\.bytes), &writer)
    return writer.bytes
  }

  /// Reads the contents of a capture file.
  public init(serialized bytes: [UInt8]) throws(RecordingError) {
    var reader = CompactReader(bytes)
    guard try reader.text() == Self.magic else { throw .malformed }
    let process = Int32(truncatingIfNeeded: try reader.number())
    var mappings: [Mapping] = []
    for _ in 0..<(try reader.number()) { mappings.append(try Self.mapping(&reader)) }
    var interpreter: CapturedInterpreter?
    if try reader.number() == 1 { interpreter = try Self.interpreter(&reader) }
    var threads: [Int32: String] = [:]
    for _ in 0..<(try reader.number()) {
      let thread = Int32(truncatingIfNeeded: try reader.number())
      threads[thread] = try reader.text()
    }
    memory = try RecordedByteSource(serialized: try reader.block())
    images = try RecordedImages(serialized: try reader.block())
    for _ in 0..<(try reader.number()) {
      functions.append(
        CapturedFunction(
          path: try reader.text(), start: try reader.number(),
          size: UInt32(truncatingIfNeeded: try reader.number()),
          name: try reader.text()))
    }
    kernelSymbols = try reader.text()
    var heads: [UInt64] = []
    for _ in 0..<(try reader.number()) { heads.append(try reader.number()) }
    let all = try Repetitions.read(&reader)
    var at = 0
    for head in heads {
      guard let count = Int(exactly: head >> 1), count <= all.count - at else { throw .malformed }
      records.append(CapturedRecord(isNames: head & 1 == 1, bytes: [UInt8](all[at..<at + count])))
      at += count
    }
    guard reader.isAtEnd, at == all.count else { throw .malformed }
    processID = process
    self.mappings = mappings
    self.interpreter = interpreter
    self.threads = threads
  }

  private static func write(_ mapping: Mapping, _ writer: inout CompactWriter) {
    writer.number(mapping.start)
    writer.number(mapping.end)
    writer.number(mapping.fileOffset)
    writer.number(
      (mapping.isReadable ? 4 : 0) | (mapping.isWritable ? 2 : 0) | (mapping.isExecutable ? 1 : 0))
    writer.number(UInt64(mapping.deviceMajor))
    writer.number(UInt64(mapping.deviceMinor))
    writer.number(mapping.inode)
    writer.text(mapping.path)
  }

  private static func mapping(_ reader: inout CompactReader) throws(RecordingError) -> Mapping {
    let (start, end, offset) = (try reader.number(), try reader.number(), try reader.number())
    let rights = try reader.number()
    return Mapping(
      start: start, end: end, fileOffset: offset, isReadable: rights & 4 != 0, isWritable: rights & 2 != 0,
      isExecutable: rights & 1 != 0, deviceMajor: UInt32(truncatingIfNeeded: try reader.number()),
      deviceMinor: UInt32(truncatingIfNeeded: try reader.number()), inode: try reader.number(),
      path: try reader.text())
  }

  private static func write(_ interpreter: CapturedInterpreter, _ writer: inout CompactWriter) {
    let found = interpreter.layout.interpreter
    writer.number(UInt64(interpreter.slot))
    writer.text(found.module)
    for number in [
      found.runtime, UInt64(found.version.hex), found.codeType, found.nextVersionAddress,
      found.evaluationLoop,
      UInt64(interpreter.layout.codeAdaptive), interpreter.hole.lowerBound, interpreter.hole.upperBound,
    ] {
      writer.number(number)
    }
    var raw = interpreter.layout.raw
    writer.block(unsafe withUnsafeBytes(of: &raw) { unsafe [UInt8]($0) })
  }

  private static func interpreter(_ reader: inout CompactReader) throws(RecordingError) -> CapturedInterpreter
  {
    let slot = UInt32(truncatingIfNeeded: try reader.number())
    let module = try reader.text()
    var numbers: [UInt64] = []
    for _ in 0..<8 { numbers.append(try reader.number()) }
    let bytes = try reader.block()
    guard bytes.count == MemoryLayout<python_layout>.size, numbers[6] <= numbers[7] else { throw .malformed }
    let raw = unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(as: python_layout.self) }
    let found = FoundInterpreter(
      module: module, runtime: numbers[0],
      version: PythonVersion(hex: UInt32(truncatingIfNeeded: numbers[1])),
      codeType: numbers[2], nextVersionAddress: numbers[3], evaluationLoop: numbers[4])
    let layout = InterpreterLayout(
      recorded: found, raw: raw, codeAdaptive: UInt32(truncatingIfNeeded: numbers[5]))
    return CapturedInterpreter(slot: slot, layout: layout, hole: numbers[6]..<numbers[7])
  }
}

/// The files of a capture, with the few functions that were looked up in them.
public final class CapturedImages: ImageProvider {
  private let images: any ImageProvider
  private var functions: [String: SymbolTable] = [:]

  /// Files without symbol tables, and functions by path.
  public init(_ images: any ImageProvider, _ functions: [CapturedFunction]) {
    self.images = images
    for (path, group) in Dictionary(grouping: functions, by: \.path) {
      self.functions[path] = SymbolTable(functions: group.map { ($0.start, $0.size, $0.name) })
    }
  }

  /// The file behind a mapping.
  public func image(for mapping: Mapping) -> ElfImage? { images.image(for: mapping) }

  /// The functions that were looked up in it.
  public func symbols(for mapping: Mapping) -> SymbolTable? { functions[mapping.filePath] ?? SymbolTable() }

  /// None: a capture has no debug information.
  public func languages(for mapping: Mapping) -> DebugLanguages? { DebugLanguages() }
}

/// Bytes without their repetitions: neighbouring records have most of their stack in common. Literal bytes and copies
/// from earlier on (distance and length, in bytes) take turns; copies begin at multiples of 8.
enum Repetitions {
  static func write(_ bytes: [UInt8], _ writer: inout CompactWriter) {
    writer.number(UInt64(bytes.count))
    var seen: [SIMD16<UInt8>: Int] = [:]
    var at = 0
    var literal = 0
    while at + 16 <= bytes.count {
      var key = SIMD16<UInt8>()
      for index in 0..<16 { key[index] = bytes[at + index] }
      let earlier = seen.updateValue(at, forKey: key)
      var count = 0
      if let earlier {
        while at + count < bytes.count, bytes[earlier + count] == bytes[at + count] { count += 1 }
        count &= ~7
      }
      guard let earlier, count >= 16 else {
        at += 8
        continue
      }
      writer.block([UInt8](bytes[literal..<at]))
      writer.number(UInt64(at - earlier))
      writer.number(UInt64(count))
      at += count
      literal = at
    }
    writer.block([UInt8](bytes[literal...]))
    writer.number(0)
  }

  static func read(_ reader: inout CompactReader) throws(RecordingError) -> [UInt8] {
    guard let total = Int(exactly: try reader.number()), total <= 1 << 28 else { throw .malformed }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(total)
    while true {
      bytes += try reader.block()
      guard let distance = Int(exactly: try reader.number()), distance <= bytes.count else {
        throw .malformed
      }
      if distance == 0 { break }
      guard let count = Int(exactly: try reader.number()), count <= total - bytes.count else {
        throw .malformed
      }
      for _ in 0..<count { bytes.append(bytes[bytes.count - distance]) }
    }
    guard bytes.count == total else { throw .malformed }
    return bytes
  }
}
