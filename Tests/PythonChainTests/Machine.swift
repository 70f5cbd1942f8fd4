// The eBPF program on a fake kernel, as Swift values: one interrupt in, records out.

import HostPythonChain
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

/// Everything here runs on one fake machine, so one test at a time.
@Suite(.serialized) struct PythonChainTests {}

/// What tests say about an entry of a chain, and compare.
struct Entry: Equatable, CustomStringConvertible {
  var address: UInt64
  var code: UInt64
  var instruction: UInt64 = 0
  var fingerprint: UInt64 = 0
  var isLoopEnd = false
  var owner: UInt8 = 0
  var isEntry = false

  var description: String {
    (isLoopEnd ? "end" : "frame")
      + " \(hex(address)) \(hex(code)) \(hex(instruction)) \(hex(fingerprint)) \(owner)"
      + (isEntry ? " entry" : "")
  }

  /// The same but for a fingerprint that could not be read.
  func isSame(asClean clean: Entry) -> Bool {
    var copy = self
    if fingerprint == CodeFingerprint.none { copy.fingerprint = clean.fingerprint }
    return copy == clean
  }
}

/// A record of a stack, decoded by the program's reader and, entry by entry, here.
struct ChainRecord {
  var slot: Int
  var header: python_chain_sample
  var entries: [Entry]
  var chain: DecodedChain

  var status: python_chain_status { python_chain_status(header.status) }
  var flags: UInt32 { header.flags }
}

/// Records of one interrupt.
struct Output {
  var samples: [ChainRecord] = []
  var names: [NamesRecord] = []
  /// Kinds of the records in the order in which they reached the ring.
  var order: [Bool] = []

  /// The one record of the stack.
  var sample: ChainRecord {
    get throws { try #require(samples.count == 1 ? samples.first : nil, "\(samples.count) records") }
  }
}

/// The fake kernel, CPU and target memory.
final class Machine: ByteSource {
  static let tgid: UInt32 = 700
  static let stackEnd: UInt64 = 0x7fff_ffff_0000

  var config = host_config(
    device: 5, inode: 77, tgid: Machine.tgid, main_thread_only: 0, stack_bytes: (4096, 16384, 32768, 65528))
  var thread = host_thread(
    device: 5, inode: 77, pid: Machine.tgid, tgid: Machine.tgid, cpu: 0, in_kernel: 0,
    sp: Machine.stackEnd - 2000, fsbase: 0, start_stack: Machine.stackEnd)
  /// Offset of the first instruction in a code object, for decoding.
  var codeAdaptive: UInt32 = 0

  init() {
    host_reset()
  }

  func use(_ layout: python_layout, slot: UInt32 = 1) {
    let done = unsafe withUnsafeBytes(of: layout) { unsafe host_set_layout(slot, $0.baseAddress) }
    #expect(done == 1)
    host_set_target(slot)
  }

  /// The lists of our own and others' events of the thread.
  func events(_ list: [(isOurs: Bool, isActive: Bool, fired: Bool)]) {
    let events = list.map {
      host_event(is_ours: $0.isOurs ? 1 : 0, is_active: $0.isActive ? 1 : 0, fired: $0.fired ? 1 : 0)
    }
    unsafe events.withUnsafeBufferPointer { unsafe host_set_events($0.baseAddress, UInt32($0.count)) }
  }

  // Memory.

  func write(_ address: UInt64, _ bytes: [UInt8]) {
    unsafe bytes.withUnsafeBytes { unsafe host_write(address, $0.baseAddress, UInt64($0.count)) }
  }

  func write<T: FixedWidthInteger>(_ address: UInt64, _ value: T) {
    unsafe withUnsafeBytes(of: value.littleEndian) {
      unsafe host_write(address, $0.baseAddress, UInt64($0.count))
    }
  }

  func write(_ address: UInt64, words: [UInt64]) {
    unsafe words.withUnsafeBytes { unsafe host_write(address, $0.baseAddress, UInt64($0.count)) }
  }

  func remove(_ address: UInt64, count: UInt64 = 1) { host_remove(address, count) }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    unsafe host_read(address, buffer.baseAddress, UInt64(buffer.count)) == 1
  }

  // One interrupt.

  /// Sizes and kinds are checked on the way, as the program's readers do.
  @discardableResult
  func run(failingRead: Int = -1) throws -> Output {
    unsafe withUnsafePointer(to: config) { unsafe host_configure($0) }
    unsafe withUnsafePointer(to: thread) { unsafe host_set_thread($0) }
    host_fail_read(Int64(failingRead))
    host_run()
    host_fail_read(-1)
    var output = Output()
    for number in 0..<host_records() {
      let record = unsafe host_record_at(number)
      #expect(unsafe record.cpu == UInt64(thread.cpu))
      let bytes = unsafe RawSpan(_unsafeStart: record.bytes, byteCount: Int(record.size))
      let isSample = unsafe record.slot < UInt64(PYTHON_CHAIN_STACK_CLASSES)
      output.order.append(isSample)
      if isSample {
        output.samples.append(try chain(bytes, slot: unsafe Int(record.slot)))
      } else {
        let size = unsafe bytes.unsafeLoad(as: python_chain_names.self).size
        #expect(Int(size) == bytes.byteCount)
        output.names.append(try NamesRecord(bytes))
      }
    }
    return output
  }

  private func chain(_ bytes: RawSpan, slot: Int) throws -> ChainRecord {
    var decoded = DecodedChain()
    try decoded.decode(bytes, codeAdaptive: codeAdaptive)
    let header = decoded.header
    #expect(Int(header.size) == bytes.byteCount)
    #expect(header.frame_count <= UInt32(PYTHON_CHAIN_MAX_FRAMES))
    #expect(header.status <= PYTHON_CHAIN_THREAD_LIMIT.rawValue)
    let entries = (0..<Int(header.frame_count)).map { index in
      let raw = unsafe bytes.unsafeLoadUnaligned(
        fromByteOffset: MemoryLayout<python_chain_sample>.size + index
          * MemoryLayout<python_chain_frame>.size,
        as: python_chain_frame.self)
      return Entry(
        address: raw.address, code: raw.code, instruction: raw.instruction, fingerprint: raw.fingerprint,
        isLoopEnd: UInt32(raw.entry) == PYTHON_CHAIN_LOOP_END.rawValue, owner: raw.owner,
        isEntry: raw.is_entry != 0)
    }
    return ChainRecord(slot: slot, header: header, entries: entries, chain: decoded)
  }

  /// User reads of the last run.
  var reads: [(address: UInt64, size: UInt64)] {
    (0..<host_reads()).map { number in
      var address: UInt64 = 0
      var size: UInt64 = 0
      unsafe host_read_at(number, &address, &size)
      return (address, size)
    }
  }

  /// Counters of one CPU.
  func counters(cpu: UInt32 = 0) -> python_chain_counters {
    var counters = python_chain_counters()
    unsafe withUnsafeMutableBytes(of: &counters) { unsafe host_counters(cpu, $0.baseAddress) }
    return counters
  }

  /// Each run is in exactly one counter.
  func checkLaw(_ location: SourceLocation = #_sourceLocation) {
    for cpu in 0..<UInt32(HOST_CPUS) {
      let c = counters(cpu: cpu)
      let ends: [UInt64] = [c.filtered, c.emitted, c.ring_full, c.output_errors]
      #expect(c.runs == ends.reduce(0, +), sourceLocation: location)
      #expect(c.duplicates <= c.filtered && c.reduced <= c.emitted, sourceLocation: location)
    }
  }
}
