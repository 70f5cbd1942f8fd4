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
  /// PYTHON_CHAIN_STATE or PYTHON_CHAIN_GAP, else 0.
  var note: UInt32 = 0
  var owner: UInt8 = 0
  var isEntry = false

  var description: String {
    (note != 0 ? "note \(note)" : isLoopEnd ? "end" : "frame")
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
  /// Pages of the stack besides the kernel's copy, by address.
  var pages: [(address: UInt64, bytes: [UInt8])] = []

  var status: python_chain_status { python_chain_status(header.status) }
  /// The entries of each chain, by its thread state.
  var chainsByState: [UInt64: [Entry]] {
    var chains: [UInt64: [Entry]] = [:]
    var state = header.thread_state
    for entry in entries {
      if entry.note == PYTHON_CHAIN_STATE.rawValue {
        state = entry.address
      } else {
        chains[state, default: []].append(entry)
      }
    }
    return chains
  }

  /// But for the one that every record has.
  var flags: UInt32 { header.flags & ~(PYTHON_CHAIN_STACK_END.rawValue | PYTHON_CHAIN_OTHER_STACK.rawValue) }
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
    touchStack()
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
    #expect(header.flags & PYTHON_CHAIN_STACK_END.rawValue != 0)
    #expect(header.frame_count <= UInt32(PYTHON_CHAIN_MAX_FRAMES))
    #expect(header.status <= PYTHON_CHAIN_THREAD_LIMIT.rawValue)
    let entries = (0..<Int(header.frame_count)).map { index in
      let raw = unsafe bytes.unsafeLoadUnaligned(
        fromByteOffset: MemoryLayout<python_chain_sample>.size + index
          * MemoryLayout<python_chain_frame>.size,
        as: python_chain_frame.self)
      return Entry(
        address: raw.address, code: raw.code, instruction: raw.instruction, fingerprint: raw.fingerprint,
        isLoopEnd: UInt32(raw.entry) == PYTHON_CHAIN_LOOP_END.rawValue,
        note: UInt32(raw.entry) > PYTHON_CHAIN_LOOP_END.rawValue ? UInt32(raw.entry) : 0, owner: raw.owner,
        isEntry: raw.is_entry != 0)
    }
    return ChainRecord(
      slot: slot, header: header, entries: entries, chain: decoded, pages: pages(bytes, header))
  }

  private func pages(_ bytes: RawSpan, _ header: python_chain_sample) -> [(address: UInt64, bytes: [UInt8])] {
    guard header.flags & PYTHON_CHAIN_HAS_PAGES.rawValue != 0 else { return [] }
    let start =
      MemoryLayout<python_chain_sample>.size + Int(header.frame_count) * MemoryLayout<python_chain_frame>.size
    let first = start + MemoryLayout<python_chain_pages>.size
    func word(_ at: Int) -> UInt64 { unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self) }
    return (0..<Int(word(start))).map { page in
      let place = first + page * 4096
      let content = (0..<4096).map { unsafe bytes.unsafeLoad(fromByteOffset: place + $0, as: UInt8.self) }
      return (word(start + 8 + page * 8), content)
    }
  }

  /// Pages of the stack that were never touched.
  var holes: Set<UInt64> = []

  /// A stack's pages are there, as far as it is in use and can be copied in one piece.
  private func touchStack() {
    let end = thread.pid == thread.tgid ? thread.start_stack : thread.fsbase
    guard end > thread.sp, end - thread.sp <= 65528 else { return }
    for page in stride(from: thread.sp & ~4095, to: end, by: 4096) where !holes.contains(page) {
      if bytes(page, count: 1) == nil { write(page, 0 as UInt8) }
    }
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
