// Typed views of ring records. Sizes are checked here, once; what is handed on is whole.

import PythonChain
import Snapshots

/// Fields that every delivered record has.
public struct RecordStamp: Sendable {
  /// Nanoseconds of CLOCK_MONOTONIC.
  public var time: UInt64
  /// Process id in our own pid namespace; -1 for a thread that is exiting.
  public var pid: Int32
  /// Thread id in our own pid namespace.
  public var tid: Int32
}

/// One sample: what the kernel and the eBPF program captured of one thread in one interrupt.
public struct SampleRecord: ~Escapable {
  /// When, and which thread.
  public let stamp: RecordStamp
  /// False for a thread that was already exiting; the snapshot is empty then.
  public let hasRegisters: Bool
  /// User registers at the interrupt.
  public let registers: Registers
  private let record: RawSpan
  private let kernelRange: Range<Int>
  private let chainRange: Range<Int>
  fileprivate let stackRange: Range<Int>
  /// `struct python_chain_pages` with the pages behind it; empty where the chain record has none.
  private let pagesRange: Range<Int>

  @_lifetime(copy record)
  init(
    _ record: RawSpan, stamp: RecordStamp, kernelRange: Range<Int>, chainRange: Range<Int>,
    registers: Registers?, stackRange: Range<Int>
  ) {
    pagesRange = RecordParser.pages(record, chainRange)
    self.record = record
    self.stamp = stamp
    self.kernelRange = kernelRange
    self.chainRange = chainRange
    self.registers = registers ?? Registers()
    self.stackRange = stackRange
    hasRegisters = registers != nil
  }

  /// Addresses of the kernel call chain, leaf first, with the kernel's context markers; 8 bytes each.
  public var kernelChain: RawSpan {
    @_lifetime(copy self) get { record.extracting(kernelRange) }
  }

  /// The Python chain record, cut to the size it states (python_chain.h).
  public var chain: RawSpan {
    @_lifetime(copy self) get { record.extracting(chainRange) }
  }

  /// Registers and stack.
  public var snapshot: StackSnapshot {
    @_lifetime(copy self) get {
      let stack = record.extracting(stackRange)
      guard !pagesRange.isEmpty else { return StackSnapshot(registers: registers, stack: stack) }
      let start = pagesRange.lowerBound + MemoryLayout<python_chain_pages>.size
      let pages = start..<pagesRange.upperBound
      let addresses = pagesRange.lowerBound + 8
      return StackSnapshot(
        registers: registers, stack: stack, pages: record.extracting(pages),
        pageAddresses: record.extracting(addresses..<(addresses + pages.count / StackSnapshot.pageBytes * 8)))
    }
  }
}

/// The parts of a sample that a clock event wrote itself.
struct ClockSample: ~Escapable {
  let record: RawSpan
  /// The kernel call chain with its length before it.
  let kernel: Range<Int>
  /// The registers with their ABI before them; empty for a thread that was exiting.
  let registers: Range<Int>
  /// The bytes of the user stack that were copied.
  let stack: Range<Int>

  @_lifetime(copy record)
  init(_ record: RawSpan, kernel: Range<Int>, registers: Range<Int>, stack: Range<Int>) {
    self.record = record
    self.kernel = kernel
    self.registers = registers
    self.stack = stack
  }
}

/// The names of one code object, as the program handed them over.
public struct NamesRecord: ~Escapable {
  /// When, and which thread.
  public let stamp: RecordStamp
  /// `struct python_chain_names` with the characters behind it, cut to the size it states.
  public let names: RawSpan

  @_lifetime(copy names)
  init(stamp: RecordStamp, names: RawSpan) {
    self.stamp = stamp
    self.names = names
  }
}

/// A mapping, program name, fork, exit or loss.
public enum SidebandRecord: Sendable {
  /// A file was mapped executable.
  case mapping(MappingRecord)
  /// A thread changed its name; `exec` when it began a new program.
  case command(name: String, exec: Bool)
  /// The thread of the stamp was created by `parent` of process `parentProcess`: a thread of the target, or a child
  /// process of its, whose id the stamp has.
  case fork(parentProcess: Int32, parent: Int32)
  /// The thread of the stamp ended.
  case exit
  /// Records were lost before this one; the count is not to be used (it does not say whose).
  case lost
}

/// PERF_RECORD_MMAP2.
public struct MappingRecord: Sendable {
  /// First address.
  public var start: UInt64
  /// Length in bytes.
  public var length: UInt64
  /// Offset in the file, in bytes.
  public var fileOffset: UInt64
  /// Device of the file.
  public var deviceMajor: UInt32
  /// Device of the file.
  public var deviceMinor: UInt32
  /// Inode of the file; 0 for anonymous memory.
  public var inode: UInt64
  /// mmap(2)'s protection bits.
  public var protection: UInt32
  /// Path as the target sees it, or a name in brackets, or `//anon`.
  public var path: String
}

/// Parsers; each returns nil for a record whose sizes do not fit.
package enum RecordParser {
  static let typeMMAP2: UInt32 = 10
  static let typeCOMM: UInt32 = 3
  static let typeFORK: UInt32 = 7
  static let typeEXIT: UInt32 = 4
  static let typeLOST: UInt32 = 2
  static let typeSAMPLE: UInt32 = 9
  /// Bytes of the identification behind every record that is no sample: tid, time, cpu, identifier.
  static let trailer = 32

  /// Layout: header 8, identifier 8, ip 8, pid/tid 8, time 8, cpu 8, then by sample type.
  static let sampleFixed = 48

  /// Takes one record apart, header and all, and hands it on. Records about other processes than `target` and
  /// of types that nobody needs are dropped.
  package static func dispatch(
    _ record: RawSpan, isNames: Bool, target: Int32, to handler: inout some RecordHandler
  ) {
    guard record.byteCount >= 8 else { return }
    // struct perf_event_header: type 32, misc 16, size 16.
    let type = record.word32(at: 0)
    guard type != typeSAMPLE else {
      if isNames {
        if let names = names(record) { handler.handle(names: names) }
      } else if let sample = sample(record) {
        handler.handle(sample: sample)
      } else {
        handler.handleMalformedSample()
      }
      return
    }
    guard record.byteCount >= 8 + trailer, let subject = subject(type: type, record),
      subject.pid == target || subject.pid == -1 || isChild(type: type, record, of: target),
      let sideband = sideband(type: type, misc: record.word16(at: 4), record)
    else { return }
    var stamp = sidebandStamp(record)
    stamp.pid = subject.pid
    stamp.tid = subject.tid
    handler.handle(sideband: sideband, stamp: stamp)
  }

  static func sampleStamp(_ record: RawSpan) -> RecordStamp {
    RecordStamp(
      time: record.word(at: 32), pid: Int32(bitPattern: record.word32(at: 24)),
      tid: Int32(bitPattern: record.word32(at: 28)))
  }

  static func sidebandStamp(_ record: RawSpan) -> RecordStamp {
    let at = record.byteCount - trailer
    return RecordStamp(
      time: record.word(at: at + 8), pid: Int32(bitPattern: record.word32(at: at)),
      tid: Int32(bitPattern: record.word32(at: at + 4)))
  }

  @_lifetime(copy record)
  static func names(_ record: RawSpan) -> NamesRecord? {
    guard let range = raw(record, at: sampleFixed, minimum: MemoryLayout<python_chain_names>.size) else {
      return nil
    }
    return NamesRecord(stamp: sampleStamp(record), names: record.extracting(range))
  }

  /// A sample, from the bytes of its record.
  @_lifetime(copy record)
  package static func sample(_ record: RawSpan) -> SampleRecord? {
    var at = sampleFixed
    guard record.byteCount >= at + 8 else { return nil }
    let depth = record.word(at: at)
    at += 8
    guard depth <= 4096, record.byteCount >= at + Int(depth) * 8 + 4 else { return nil }
    let kernelRange = at..<(at + Int(depth) * 8)
    at = kernelRange.upperBound
    guard let chainRange = raw(record, at: at, minimum: MemoryLayout<python_chain_sample>.size) else {
      return nil
    }
    at += 4 + Int(record.word32(at: at))
    guard at % 8 == 0, record.byteCount >= at + 8 else { return nil }
    var registers: Registers?
    var stackRange = at..<at
    if record.word(at: at) != 0 {  // the registers' ABI
      at += 8
      let registerBytes = Registers.count * 8
      guard record.byteCount >= at + registerBytes + 8 else { return nil }
      registers = Registers(perfWords: record.extracting(at..<(at + registerBytes)))
      at += registerBytes
      let size = record.word(at: at)
      at += 8
      stackRange = at..<at
      if size != 0 {
        guard size <= UInt64(record.byteCount), record.byteCount >= at + Int(size) + 8 else { return nil }
        let copied = record.word(at: at + Int(size))
        guard copied <= size else { return nil }
        stackRange = at..<(at + Int(copied))
      }
    }
    return SampleRecord(
      record, stamp: sampleStamp(record), kernelRange: kernelRange, chainRange: chainRange,
      registers: registers,
      stackRange: stackRange)
  }

  /// A sample that a clock event wrote itself: as one that the program wrote, without the program's record.
  @_lifetime(copy record)
  static func clockSample(_ record: RawSpan) -> ClockSample? {
    guard record.byteCount >= sampleFixed + 8 else { return nil }
    let depth = record.word(at: sampleFixed)
    guard depth <= 4096 else { return nil }
    let kernel = sampleFixed..<(sampleFixed + 8 + Int(depth) * 8)
    var at = kernel.upperBound
    let registerBytes = Registers.count * 8
    guard record.byteCount >= at + 8 + registerBytes + 8, record.word(at: at) != 0 else {
      return ClockSample(record, kernel: kernel, registers: at..<at, stack: at..<at)
    }
    let registers = at..<(at + 8 + registerBytes)
    at = registers.upperBound
    let size = record.word(at: at)
    at += 8
    guard size > 0 else { return ClockSample(record, kernel: kernel, registers: registers, stack: at..<at) }
    guard size <= UInt64(record.byteCount), record.byteCount >= at + Int(size) + 8 else { return nil }
    let copied = record.word(at: at + Int(size))
    guard copied <= size else { return nil }
    return ClockSample(
      record, kernel: kernel, registers: registers, stack: at..<(at + Int(copied)))
  }

  /// The part of a sample's stack copy that the kernel reserved and did not fill.
  package static func unusedBytes(of record: RawSpan) -> Range<Int>? {
    guard record.word32(at: 0) == typeSAMPLE, let sample = sample(record), sample.hasRegisters else {
      return nil
    }
    let copied = sample.stackRange.upperBound
    return copied < record.byteCount - 8 ? copied..<(record.byteCount - 8) : nil
  }

  /// The pages of the stack that follow the entries of a chain record; empty where they do not fit it.
  fileprivate static func pages(_ record: RawSpan, _ chain: Range<Int>) -> Range<Int> {
    let none = chain.upperBound..<chain.upperBound
    let fixed = MemoryLayout<python_chain_sample>.size
    guard chain.count >= fixed,
      record.word32(at: chain.lowerBound + 16) & PYTHON_CHAIN_HAS_PAGES.rawValue != 0
    else { return none }
    let entries = UInt64(record.word32(at: chain.lowerBound + 20))
    let start = chain.lowerBound + fixed + Int(entries) * MemoryLayout<python_chain_frame>.size
    guard chain.upperBound - start >= MemoryLayout<python_chain_pages>.size else { return none }
    let count = record.word(at: start)
    guard count <= UInt64(PYTHON_CHAIN_STACK_PAGES),
      chain.upperBound - start == MemoryLayout<python_chain_pages>.size + Int(count) * StackSnapshot.pageBytes
    else { return none }
    return start..<chain.upperBound
  }

  /// The raw part: a size that the kernel pads, then the program's record, whose second word is its true size.
  private static func raw(_ record: RawSpan, at: Int, minimum: Int) -> Range<Int>? {
    guard record.byteCount >= at + 4 else { return nil }
    let padded = Int(record.word32(at: at))
    guard padded >= minimum, record.byteCount >= at + 4 + padded else { return nil }
    let size = Int(record.word32(at: at + 8))
    guard size >= minimum, size <= padded else { return nil }
    return (at + 4)..<(at + 4 + size)
  }

  static func sideband(type: UInt32, misc: UInt16, _ record: RawSpan) -> SidebandRecord? {
    let end = record.byteCount - trailer
    switch type {
    case typeLOST: return .lost
    case typeFORK:
      guard end >= 32 else { return nil }
      return .fork(
        parentProcess: Int32(bitPattern: record.word32(at: 12)),
        parent: Int32(bitPattern: record.word32(at: 20)))
    case typeEXIT: return .exit
    case typeCOMM:
      guard end >= 16 else { return nil }
      // PERF_RECORD_MISC_COMM_EXEC
      return .command(name: text(record, 16, end), exec: misc & 0x2000 != 0)
    case typeMMAP2:
      guard end >= 72, misc & 0x4000 == 0 else { return nil }
      return .mapping(
        MappingRecord(
          start: record.word(at: 16), length: record.word(at: 24), fileOffset: record.word(at: 32),
          deviceMajor: record.word32(at: 40), deviceMinor: record.word32(at: 44), inode: record.word(at: 48),
          protection: record.word32(at: 64), path: text(record, 72, end)))
    default: return nil
    }
  }

  /// The process a side-band record is about; its own fields, not the trailer's (fork: the new thread).
  static func subject(type: UInt32, _ record: RawSpan) -> (pid: Int32, tid: Int32)? {
    switch type {
    case typeMMAP2, typeCOMM:
      guard record.byteCount >= 16 + trailer else { return nil }
      return (Int32(bitPattern: record.word32(at: 8)), Int32(bitPattern: record.word32(at: 12)))
    case typeFORK, typeEXIT:
      guard record.byteCount >= 32 + trailer else { return nil }
      return (Int32(bitPattern: record.word32(at: 8)), Int32(bitPattern: record.word32(at: 16)))
    default: return (-1, -1)
    }
  }

  /// Whether it tells of a process that the target created.
  static func isChild(type: UInt32, _ record: RawSpan, of target: Int32) -> Bool {
    type == typeFORK && record.byteCount >= 32 + trailer && Int32(bitPattern: record.word32(at: 12)) == target
  }

  private static func text(_ record: RawSpan, _ start: Int, _ end: Int) -> String {
    var bytes: [UInt8] = []
    for at in start..<max(start, end) {
      let byte = record.byte(at: at)
      if byte == 0 { break }
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
