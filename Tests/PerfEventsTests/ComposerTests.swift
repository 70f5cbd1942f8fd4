// Records that are put together here, read by the parser of the kernel's.

import Glibc
import PythonChain
import Snapshots
import TestSupport
import Testing

@testable import PerfEvents

/// In CI nothing is skipped: what is missing fails.
private let isCI = unsafe getenv("CI") != nil

@Suite struct ComposerTests {
  private static let kernel: [UInt64] = [0xffff_ffff_ffff_ff80, 0xffff_ffff_8100_0000]

  /// A sample as a clock event writes it: nothing between kernel chain and registers.
  private func clockSample(abi: UInt64 = 2, stack: [UInt8], copied: Int) -> [UInt8] {
    var maker = RecordMaker()
    maker.add(UInt64(0), 77, 0x1000)  // header, identifier, ip
    maker.add(Int32(7), 8)
    maker.add(UInt64(1234), 3)  // time, cpu
    maker.add(UInt64(Self.kernel.count))
    for address in Self.kernel { maker.add(address) }
    maker.add(abi)
    if abi != 0 {
      for number in 0..<17 { maker.add(UInt64(0x100 + number)) }
      maker.add(UInt64(stack.count))
      if !stack.isEmpty {
        maker.bytes += stack
        maker.add(UInt64(copied))
      }
    }
    return maker.finished(type: RecordParser.typeSAMPLE)
  }

  private func chain(entries: Int) -> [UInt8] {
    var maker = RecordMaker()
    maker.add(PYTHON_CHAIN_SAMPLE.rawValue, UInt32(64 + entries * 40))
    while maker.bytes.count < 64 + entries * 40 { maker.add(UInt64(maker.bytes.count)) }
    return maker.bytes
  }

  /// What the parser makes of the composed record.
  private struct Parsed {
    var chain: [UInt8] = []
    var stack: [UInt8] = []
    var kernel: [UInt8] = []
    var registers = Registers()
    var hasRegisters = false
    var stamp = RecordStamp(time: 0, pid: 0, tid: 0)
    var size = 0
  }

  private func compose(_ record: [UInt8], chain: [UInt8], stack: [UInt8]?) throws -> Parsed {
    let composer = SampleComposer()
    guard let parts = unsafe RecordParser.clockSample(record.span.bytes) else { throw Failure() }
    unsafe chain.withUnsafeBytes { chain in
      if let stack {
        unsafe stack.withUnsafeBytes { unsafe composer.compose(parts, chain: chain, stack: $0) }
      } else {
        unsafe composer.compose(parts, chain: chain, stack: nil)
      }
    }
    let bytes = unsafe [UInt8](composer.composed)
    var parsed = Parsed()
    parsed.size = bytes.count
    // struct perf_event_header: the size is its last two bytes.
    #expect(Int(bytes[6]) | Int(bytes[7]) << 8 == bytes.count)
    guard let result = unsafe RecordParser.sample(bytes.span.bytes) else { throw Failure() }
    func copy(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span.byte(at: $0) } }
    parsed.chain = copy(result.chain)
    parsed.stack = copy(result.snapshot.stack)
    parsed.kernel = copy(result.kernelChain)
    parsed.registers = result.registers
    parsed.hasRegisters = result.hasRegisters
    parsed.stamp = result.stamp
    return parsed
  }

  private struct Failure: Error {}

  @Test(arguments: [0, 1, 7, 50]) func theParserFindsEverything(_ entries: Int) throws {
    let stack = (0..<64).map { UInt8($0) }
    let chain = chain(entries: entries)
    let parsed = try compose(clockSample(stack: stack, copied: 40), chain: chain, stack: nil)
    #expect(parsed.chain == chain)
    #expect(parsed.stack == Array(stack[..<40]))
    #expect(parsed.kernel.count == 16)
    #expect(parsed.registers[0] == 0x100 && parsed.registers[Registers.rip] == 0x108)
    #expect(parsed.stamp.time == 1234 && parsed.stamp.pid == 7 && parsed.stamp.tid == 8)
  }

  @Test func theStackThatWasReadAgainTakesThePlaceOfTheCopy() throws {
    let again = (0..<1024).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    let record = clockSample(stack: Array(repeating: 0xee, count: 64), copied: 64)
    #expect(try compose(record, chain: chain(entries: 2), stack: again).stack == again)
  }

  /// A record states its size in 16 bits: the stack gives way, the chain does not.
  @Test func aRecordThatWouldBeTooLarge() throws {
    let again = (0..<65528).map { UInt8(truncatingIfNeeded: $0 / 8) }
    let chain = chain(entries: 1024)
    let parsed = try compose(clockSample(stack: [], copied: 0), chain: chain, stack: again)
    #expect(parsed.size <= 65528 && parsed.size > 65500)
    #expect(parsed.chain == chain)
    #expect(parsed.stack == Array(again[..<parsed.stack.count]) && parsed.stack.count > 20000)
  }

  /// Names and samples are told apart by their identifiers: 1 and 0.
  @Test func namesAreNoSamples() throws {
    let record = clockSample(stack: [], copied: 0)
    let composer = SampleComposer()
    guard let parts = unsafe RecordParser.clockSample(record.span.bytes) else { throw Failure() }
    // Behind the fixed part and the raw part's size.
    let names = [UInt8](RecordMaker.names()[52..<52 + MemoryLayout<python_chain_names>.size + 3])
    unsafe names.withUnsafeBytes { unsafe composer.compose(parts, names: $0) }
    let composed = unsafe [UInt8](composer.composed)
    #expect(composed[8..<16] == [1, 0, 0, 0, 0, 0, 0, 0])
    #expect(Log.of(composed, isNames: true) == ["names \(names.count)"])
    let chain = chain(entries: 1)
    unsafe chain.withUnsafeBytes { unsafe composer.compose(parts, chain: $0, stack: nil) }
    let sample = unsafe [UInt8](composer.composed)
    #expect(sample[8..<16] == [0, 0, 0, 0, 0, 0, 0, 0])
    // Thread and time are the interrupt's.
    #expect(sample[24..<40] == composed[24..<40] && sample[32..<40] == [0xd2, 4, 0, 0, 0, 0, 0, 0])
  }

  @Test func aThreadThatWasExiting() throws {
    let parsed = try compose(clockSample(abi: 0, stack: [], copied: 0), chain: chain(entries: 0), stack: nil)
    #expect(!parsed.hasRegisters && parsed.stack.isEmpty)
  }

  @Test func aClockSampleThatIsCut() {
    let record = clockSample(stack: Array(repeating: 1, count: 64), copied: 64)
    for count in stride(from: 0, to: record.count, by: 8) where count > 80 + 17 * 8 {
      let cut = Array(record[..<count])
      let isThere = unsafe RecordParser.clockSample(cut.span.bytes) != nil
      #expect(!isThere, "\(count) bytes")
    }
  }

  /// Records of changing sizes around the end of a ring of our own come out as they went in; a full ring takes none.
  @Test func aRingOfOurOwn() throws {
    let ring = try Ring(ownCapacity: 4096)
    var writer = ring.writer
    let scratch = RecordScratch()
    var position: UInt64 = 0
    for number in 0..<500 {
      let record = (0..<(8 * (1 + number % 90))).map { UInt8(truncatingIfNeeded: $0 &+ number) }
      let isWritten = unsafe record.withUnsafeBytes { unsafe writer.write($0) }
      #expect(isWritten)
      #expect(ring.head == position + UInt64(record.count))
      var found: [UInt8] = []
      ring.withRecord(at: position, size: record.count, scratch: scratch) { bytes in
        found = (0..<bytes.byteCount).map { bytes.byte(at: $0) }
      }
      #expect(found == record)
      position = ring.head
      ring.release(upTo: position)
    }
    let large = Array(repeating: UInt8(1), count: 2048)
    let results = (0..<3).map { _ in unsafe large.withUnsafeBytes { unsafe writer.write($0) } }
    #expect(results == [true, true, false])
    ring.release(upTo: position + 2048)
    let again = unsafe large.withUnsafeBytes { unsafe writer.write($0) }
    #expect(again)
  }

  @Test func noticesComeInOrderAndAreBounded() {
    let board = ReaderBoard()
    #expect(board.takeNotice() == nil)
    for thread in 1...300 { board.give(notice: Int32(thread % 2 == 0 ? thread : -thread)) }
    for thread in 1...256 { #expect(board.takeNotice() == Int32(thread % 2 == 0 ? thread : -thread)) }
    #expect(board.takeNotice() == nil)
  }

  /// The kernel's number of the calling thread: /proc/thread-self leads to `PID/task/TID`.
  private static func thread() -> Int32 {
    var target = [CChar](repeating: 0, count: 64)
    let count = unsafe readlink("/proc/thread-self", &target, target.count)
    let text = String(decoding: target.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.split(separator: "/").last.flatMap { Int32($0) } ?? -1
  }

  /// What the kernel writes when a thread leaves its CPU and comes back: this thread, which blocks for a moment.
  @Test(.enabled(if: geteuid() == 0 || isCI, "needs the kernel's part of perf events"))
  func aSwitchAsTheKernelWritesIt()
    throws
  {
    // 0: the calling thread.
    let ring = try #require(try SwitchRing(thread: 0, userOnly: false))
    var value = poll(nil, 0, 1)
    #expect(value == 0)
    let history = ring.view.history(of: Self.thread())
    let clock = RecordStream.clock()
    let newest = try #require(history.newest)
    let second = try #require(history.second)
    let third = try #require(history.third)
    #expect(newest.kind == .in && second.kind == .out && third.kind == .registers)
    // Of a thread that was given the number later they say nothing.
    let others = ring.view.history(of: 1)
    #expect(others.newest?.kind == .other && others.second?.kind == .other)
    #expect(history.since < third.time && third.time <= second.time && second.time <= newest.time)
    #expect(newest.time <= clock)
    // The thread stood in poll(2): its stack pointer lies in this very stack.
    let here = unsafe withUnsafePointer(to: &value) { UInt64(UInt(bitPattern: $0)) }
    let distance = Int64(bitPattern: here &- third.registers.stackPointer)
    #expect(abs(distance) < 1 << 16)
  }

  /// Without the kernel's part there are no registers.
  @Test(.enabled(if: geteuid() == 0 || isCI, "needs perf events")) func aSwitchAsAnOrdinaryUserSeesIt() throws
  {
    let ring = try #require(try SwitchRing(thread: 0, userOnly: true))
    _ = poll(nil, 0, 1)
    let history = ring.view.history(of: Self.thread())
    #expect(history.newest?.kind == .in && history.second?.kind == .out)
    #expect(history.third == nil || history.third?.kind == .in)
  }

  @Test(.enabled(if: geteuid() == 0 || isCI, "needs the kernel's part of perf events")) func watchedThreads()
    throws
  {
    let threads = WatchedThreads()
    let own = getpid()
    #expect(threads.find(own) == nil)
    let isWatched = try threads.watch(own, own: 5, userOnly: false)
    #expect(isWatched == .watched && threads.contains(own))
    let entry = try #require(threads.find(own))
    #expect(entry.ownThread == 5)
    threads.forget(own, sequences: { [3] })
    #expect(threads.find(own) == nil && threads.hasRetired)
    threads.free(sequences: [3])
    #expect(threads.hasRetired)
    threads.free(sequences: [4])
    #expect(!threads.hasRetired)
  }
}
