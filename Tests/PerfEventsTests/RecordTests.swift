// Hand-made records of each type, whole, cut at every byte, and lying.

import PythonChain
import Snapshots
import Testing

@testable import PerfEvents

/// Builds records as the kernel writes them (perf_event_open(2), "Overflow handling").
struct RecordMaker {
  var bytes: [UInt8] = []

  mutating func add<T: FixedWidthInteger>(_ values: T...) {
    for value in values {
      for byte in 0..<T.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> T(8 * byte))) }
    }
  }

  mutating func add(text: String) {
    bytes += [UInt8](text.utf8) + [0]
    while bytes.count % 8 != 0 { bytes.append(0) }
  }

  /// Writes the header over the first 8 bytes.
  func finished(type: UInt32, misc: UInt16 = 0) -> [UInt8] {
    var header = RecordMaker()
    header.add(type)
    header.add(misc, UInt16(bytes.count))
    return header.bytes + bytes[8...]
  }

  /// A side-band record: header, own fields, then pid/tid, time, cpu, identifier.
  static func sideband(
    type: UInt32, misc: UInt16 = 0, pid: Int32 = 7, tid: Int32 = 8, time: UInt64 = 99,
    _ fields: (inout RecordMaker) -> Void
  ) -> [UInt8] {
    var maker = RecordMaker()
    maker.add(UInt64(0))
    fields(&maker)
    maker.add(pid, tid)
    maker.add(time, UInt64(0), UInt64(1))
    return maker.finished(type: type, misc: misc)
  }

  /// A sample with a kernel chain, a raw part, registers and a stack.
  static func sample(
    kernel: [UInt64] = [0xffff_ffff_ffff_ff80, 0xffff_ffff_8100_0000], raw: [UInt8], abi: UInt64 = 2,
    stack: [UInt8]? = Array(1...64), copied: UInt64? = nil
  ) -> [UInt8] {
    var maker = RecordMaker()
    maker.add(UInt64(0), 1, 0x1000)  // header, identifier, ip
    maker.add(Int32(7), 8)
    maker.add(UInt64(1234), 0)  // time, cpu
    if kernel.isEmpty, raw.isEmpty { return maker.finished(type: RecordParser.typeSAMPLE) }
    maker.add(UInt64(kernel.count))
    for address in kernel { maker.add(address) }
    var padded = raw
    while (padded.count + 4) % 8 != 0 { padded.append(0) }
    maker.add(UInt32(padded.count))
    maker.bytes += padded
    maker.add(abi)
    if abi != 0 {
      for register in 0..<17 { maker.add(UInt64(register + 100)) }
      maker.add(UInt64(stack?.count ?? 0))
      if let stack {
        maker.bytes += stack
        maker.add(copied ?? UInt64(stack.count))
      }
    }
    return maker.finished(type: RecordParser.typeSAMPLE)
  }

  /// A chain record of `entries` entries, all zero but its sizes.
  static func chain(entries: Int = 1) -> [UInt8] {
    let size = MemoryLayout<python_chain_sample>.size + entries * MemoryLayout<python_chain_frame>.size
    var maker = RecordMaker()
    maker.add(PYTHON_CHAIN_SAMPLE.rawValue, UInt32(size))
    maker.bytes += [UInt8](repeating: 0, count: size - 8)
    return maker.bytes
  }

  static func names() -> [UInt8] {
    var maker = RecordMaker()
    maker.add(UInt64(0), 1, 0x1000)
    maker.add(Int32(7), 8)
    maker.add(UInt64(1234), 0)
    let size = MemoryLayout<python_chain_names>.size + 3
    maker.add(UInt32(size + 1))
    maker.add(PYTHON_CHAIN_NAMES.rawValue, UInt32(size))
    maker.bytes += [UInt8](repeating: 5, count: size - 8 + 1)
    return maker.finished(type: RecordParser.typeSAMPLE)
  }

  static let mapping = sideband(type: RecordParser.typeMMAP2) { maker in
    maker.add(Int32(7), 8)
    maker.add(UInt64(0x7f00_0000_0000), 0x3000, 0x1000)
    maker.add(UInt32(8), 1)
    maker.add(UInt64(4711), 0)
    maker.add(UInt32(5), 2)
    maker.add(text: "/opt/é.so")
  }
  static let command = sideband(type: RecordParser.typeCOMM, misc: 0x2000) { maker in
    maker.add(Int32(7), 8)
    maker.add(text: "python")
  }
  static let fork = sideband(type: RecordParser.typeFORK) { maker in
    maker.add(Int32(7), 7, 12, 8)
    maker.add(UInt64(99))
  }
  static let exit = sideband(type: RecordParser.typeEXIT) { maker in
    maker.add(Int32(7), 7, 12, 8)
    maker.add(UInt64(99))
  }
  static let lost = sideband(type: RecordParser.typeLOST) { $0.add(UInt64(1), 17) }
}

/// Remembers what was handed on.
struct Log: RecordHandler {
  var lines: [String] = []

  mutating func handle(sample: borrowing SampleRecord) {
    let stack = sample.snapshot.stack.byteCount
    lines.append(
      "sample \(sample.stamp.pid)/\(sample.stamp.tid) \(sample.stamp.time) kernel \(sample.kernelChain.byteCount) "
        + "chain \(sample.chain.byteCount) stack \(stack) ip \(sample.registers.instructionPointer)")
  }
  mutating func handle(names: borrowing NamesRecord) { lines.append("names \(names.names.byteCount)") }
  mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {
    lines.append("\(sideband) \(stamp.pid)/\(stamp.tid) \(stamp.time)")
  }
  mutating func handleMalformedSample() { lines.append("malformed") }

  static func of(_ bytes: [UInt8], isNames: Bool = false, target: Int32 = 7) -> [String] {
    var log = Log()
    unsafe RecordParser.dispatch(bytes.span.bytes, isNames: isNames, target: target, to: &log)
    return log.lines
  }
}

@Suite struct RecordTests {
  @Test func aWholeSample() {
    #expect(
      Log.of(RecordMaker.sample(raw: RecordMaker.chain())) == [
        // The eighth register in perf's order is the instruction pointer.
        "sample 7/8 1234 kernel 16 chain 104 stack 64 ip 108"
      ])
    // Only what was copied belongs to the stack.
    #expect(Log.of(RecordMaker.sample(raw: RecordMaker.chain(), copied: 24))[0].contains("stack 24 "))
    #expect(Log.of(RecordMaker.sample(raw: RecordMaker.chain(), stack: nil))[0].contains("stack 0 "))
    #expect(Log.of(RecordMaker.sample(kernel: [], raw: RecordMaker.chain()))[0].contains("kernel 0 "))
    // A thread that is exiting has no registers: ABI 0.
    #expect(Log.of(RecordMaker.sample(raw: RecordMaker.chain(), abi: 0))[0].contains("stack 0 ip 0"))
  }

  @Test func registersHaveTheirDwarfNumbers() throws {
    let bytes = RecordMaker.sample(raw: RecordMaker.chain())
    let sample = try #require(unsafe RecordParser.sample(bytes.span.bytes) != nil ? bytes : nil)
    let record = unsafe RecordParser.sample(sample.span.bytes)
    let registers = record?.registers ?? Registers()
    // arch/x86/include/uapi/asm/perf_regs.h: ax bx cx dx si di bp sp ip flags cs ss ds es fs gs r8 ...; of these the
    // sample type asks for ax..ip and r8..r15. DWARF: rax rdx rcx rbx rsi rdi rbp rsp r8..r15 rip.
    #expect((0..<17).map { registers[$0] } == [100, 103, 102, 101] + (104...107) + (109...116) + [108])
  }

  @Test func sizesThatLieAreMalformed() {
    let raw = RecordMaker.chain()
    let whole = RecordMaker.sample(raw: raw)
    func with(_ at: Int, _ value: UInt64) -> [String] {
      var lying = whole
      for byte in 0..<8 { lying[at + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * byte)) }
      return Log.of(lying)
    }
    // The depth of the kernel's chain.
    for depth: UInt64 in [3, 4096, 4097, .max, 1 << 61] {
      #expect(with(48, depth) == ["malformed"], "\(depth)")
    }
    // The size of the raw part, then the one the program wrote: more than there is, less than a header.
    for size: UInt32 in [0, 63, 108 + 8, .max] {
      #expect(with(72, UInt64(size) | UInt64(PYTHON_CHAIN_SAMPLE.rawValue) << 32) == ["malformed"], "\(size)")
    }
    for size: UInt64 in [0, 63, 109, 0xffff_ffff] { #expect(with(80, size) == ["malformed"], "\(size)") }
    let stackSize = whole.count - 64 - 16
    for size: UInt64 in [65, 72, .max, 1 << 63] { #expect(with(stackSize, size) == ["malformed"], "\(size)") }
    for copied: UInt64 in [65, .max] { #expect(with(whole.count - 8, copied) == ["malformed"], "\(copied)") }
  }

  @Test func sideband() {
    #expect(Log.of(RecordMaker.fork) == ["fork(parentProcess: 7, parent: 8) 7/12 99"])
    #expect(Log.of(RecordMaker.exit) == ["exit 7/12 99"])
    #expect(Log.of(RecordMaker.lost) == ["lost -1/-1 99"])
    #expect(Log.of(RecordMaker.command) == ["command(name: \"python\", exec: true) 7/8 99"])
    let mapping = Log.of(RecordMaker.mapping)
    for part in ["start: 139637976727552", "length: 12288", "fileOffset: 4096", "inode: 4711", "/opt/é.so"] {
      #expect(mapping[0].contains(part), "\(part)")
    }
  }

  @Test func otherProcessesAndTypesAreDropped() {
    for record in [RecordMaker.fork, RecordMaker.exit, RecordMaker.command, RecordMaker.mapping] {
      #expect(Log.of(record, target: 6).isEmpty)
    }
    // Losses are nobody's.
    #expect(Log.of(RecordMaker.lost, target: 6).count == 1)
    #expect(Log.of(RecordMaker.sideband(type: 5) { $0.add(UInt64(0), 0, 0, 0, 0) }).isEmpty)
  }

  @Test func names() {
    #expect(Log.of(RecordMaker.names(), isNames: true) == ["names 83"])
  }

  /// Every record cut at every byte is nothing or malformed, and never more than that.
  @Test func cutRecords() {
    let sample = RecordMaker.sample(raw: RecordMaker.chain(entries: 2))
    for count in 0..<sample.count {
      let lines = Log.of(Array(sample[..<count]))
      #expect(lines == (count < 8 ? [] : ["malformed"]), "\(count)")
    }
    let names = RecordMaker.names()
    for count in 0..<names.count { #expect(Log.of(Array(names[..<count]), isNames: true).isEmpty) }
    for record in [
      RecordMaker.mapping, RecordMaker.command, RecordMaker.fork, RecordMaker.exit, RecordMaker.lost,
    ] {
      // A cut side-band record has another record's bytes for a trailer, so that only crashes can be seen.
      for count in 0..<record.count { #expect(Log.of(Array(record[..<count])).count <= 1) }
    }
  }

  /// Bytes without any sense do no harm.
  @Test func noise() {
    var state: UInt64 = 1
    func random() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    for type in [UInt32(2), 3, 4, 7, 9, 10] {
      for _ in 0..<2000 {
        var record = (0..<Int(random() % 300)).map { _ in
          UInt8(truncatingIfNeeded: random() % 3 == 0 ? random() : 0)
        }
        if record.count >= 4 { record.replaceSubrange(0..<4, with: [UInt8(type), 0, 0, 0]) }
        #expect(Log.of(record).count <= 1)
        #expect(Log.of(record, isNames: true).count <= 1)
      }
    }
  }
}
