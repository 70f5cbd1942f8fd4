// Hand-made records of each type, whole, cut at every byte, and lying.

import PythonChain
import Snapshots
import TestSupport
import Testing

@testable import PerfEvents

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

  /// PERF_RECORD_MISC_MMAP_BUILD_ID: where device and inode would be there is a build-id.
  @Test func aMappingWithABuildIDIsNone() {
    var record = RecordMaker.mapping
    record[4] = 0
    record[5] = 0x40
    #expect(Log.of(record).isEmpty)
  }

  /// Bytes behind the end of a text are whatever the kernel's buffer had.
  @Test func textsEndAtTheirZero() {
    let command = RecordMaker.sideband(type: RecordType.command) { maker in
      maker.add(Int32(7), 8)
      maker.bytes += [0x61, 0x62, 0, 0x63, 0x64, 0, 0, 0]
    }
    #expect(Log.of(command) == ["command(name: \"ab\", exec: false) 7/8 99"])
  }

  @Test func otherProcessesAndTypesAreDropped() {
    for record in [RecordMaker.fork, RecordMaker.exit, RecordMaker.command, RecordMaker.mapping] {
      #expect(Log.of(record, target: 6).isEmpty)
    }
    // Losses are nobody's.
    #expect(Log.of(RecordMaker.lost, target: 6).count == 1)
    #expect(Log.of(RecordMaker.sideband(type: 5) { $0.add(UInt64(0), 0, 0, 0, 0) }).isEmpty)
  }

  /// A process that the target creates is its child; what that creates is not.
  @Test func children() {
    func fork(_ pid: Int32, of parent: Int32) -> [UInt8] {
      RecordMaker.sideband(type: RecordType.fork) { maker in
        maker.add(pid, parent, pid, parent)
        maker.add(UInt64(99))
      }
    }
    #expect(Log.of(fork(20, of: 7)) == ["fork(parentProcess: 7, parent: 7) 20/20 99"])
    #expect(Log.of(fork(21, of: 20)).isEmpty)
  }

  /// Two events interrupt as often as one, and no small multiple of a period is near to a small multiple of theirs.
  @Test(arguments: [10_000, 100_000, 1_000_000, 10_000_000_000] as [UInt64])
  func periodsOfCPUs(_ period: UInt64) {
    let periods = ClockEvents.periodsOfCPU(period).map { Double($0) }
    #expect(abs(periods.reduce(0) { $0 + Double(period) / $1 } - 1) < 1e-4)
    for own in periods {
      for (cycle, count) in [(1, 1), (1, 2), (1, 5), (1, 10), (2, 1), (5, 1), (10, 1)] {
        // Where 100 interrupts meet a cycle: no gap is more than four times the mean.
        let length = Double(period) * Double(cycle) / Double(count)
        let places = (0..<100).map { (Double($0) * own).truncatingRemainder(dividingBy: length) / length }
          .sorted()
        let gaps = zip(places, places.dropFirst() + [places[0] + 1]).map { $1 - $0 }
        #expect(gaps.max() ?? 1 < 0.04, "\(own) in \(length): \(gaps.max() ?? 1)")
      }
    }
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
    // Own fields that must be there, and the 32 bytes of identification behind them. What is cut behind those has other
    // bytes of the record for its identification: it is one record or none.
    for (record, least) in [
      (RecordMaker.mapping, 104), (RecordMaker.command, 48), (RecordMaker.fork, 64), (RecordMaker.exit, 64),
      (RecordMaker.lost, 40),
    ] {
      for count in 0..<least { #expect(Log.of(Array(record[..<count])) == [], "\(count) of \(least)") }
      #expect(Log.of(record).count == 1)
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
        let lines = Log.of(record)
        // What says that it is a sample is one or is counted as malformed: none vanishes.
        if type == 9, record.count >= 8 {
          #expect(lines.count == 1 && (lines == ["malformed"] || lines[0].hasPrefix("sample ")))
        } else {
          #expect(!lines.contains { $0 == "malformed" || $0.hasPrefix("sample ") || $0.hasPrefix("names ") })
        }
      }
    }
  }
}
