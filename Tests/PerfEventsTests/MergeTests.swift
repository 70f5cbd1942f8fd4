// The merging of several rings, on rings in memory that a test writes as the kernel does.

import Glibc
import Snapshots
import TestSupport
import Testing

@testable import PerfEvents

/// A ring in memory. Control page by include/uapi/linux/perf_event.h: data_head at 1024, data_tail, data_offset.
@safe final class MadeRing {
  static let capacity = 4096
  private static let page = 4096
  private let mapping: UnsafeMutableRawPointer
  private var head: UInt64 = 0
  let indexed: IndexedRing

  init(namesID: UInt64 = 1000) {
    let bytes = Self.page + Self.capacity
    let address = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else { fatalError("no memory") }
    unsafe mapping = address
    unsafe mapping.storeBytes(of: UInt64(Self.page), toByteOffset: 1040, as: UInt64.self)
    indexed = unsafe IndexedRing(
      Ring(owning: mapping, mappedBytes: bytes, capacity: Self.capacity), namesID: namesID)
  }

  /// Bytes given back.
  var tail: UInt64 { unsafe mapping.load(fromByteOffset: 1032, as: UInt64.self) }
  /// Bytes that may still be written.
  var room: Int { Self.capacity - Int(head - tail) }

  /// Writes one record; false, as in the kernel, when it has no room.
  @discardableResult func write(_ record: [UInt8]) -> Bool {
    if record.count > room { return false }
    for byte in record {
      unsafe mapping.storeBytes(
        of: byte, toByteOffset: Self.page + Int(head) % Self.capacity, as: UInt8.self)
      head += 1
    }
    unsafe mapping.storeBytes(of: head, toByteOffset: 1024, as: UInt64.self)
    return true
  }

  /// An exit of thread `number` at a time: the smallest record that says which it is.
  @discardableResult func exit(_ number: Int32, at time: UInt64) -> Bool {
    write(
      RecordMaker.sideband(type: RecordType.exit, time: time) { maker in
        maker.add(Int32(7), 7, number, 8)
        maker.add(time)
      })
  }
}

@Suite final class MergeTests {
  private let rings: [MadeRing]
  private var merge: RecordMerge

  init() {
    rings = (0..<3).map { _ in MadeRing() }
    merge = RecordMerge(rings.map(\.indexed), target: 7, clock: 100)
  }

  /// Keeps the bytes of what is delivered.
  private struct Raw: RecordHandler {
    var records: [[UInt8]] = []

    mutating func handle(raw record: borrowing RawSpan, isNames: Bool) {
      records.append((0..<record.byteCount).map { record.byte(at: $0) })
    }
    mutating func handle(sample: borrowing SampleRecord) {}
    mutating func handle(names: borrowing NamesRecord) {}
    mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {}
    mutating func handleMalformedSample() {}
  }

  /// What one round delivers.
  private func round(_ clock: UInt64, draining: Bool = false) -> [String] {
    var log = Log()
    merge.deliver(to: &log, clock: clock, draining: draining)
    return log.lines
  }

  /// The threads and times of exits as `Log` writes them.
  private func exits(_ records: (Int, UInt64)...) -> [String] {
    records.map { "exit 7/\($0.0) \($0.1)" }
  }

  @Test func onlyWhatIsOlderThanThePreviousRoundsClock() {
    rings[0].exit(1, at: 99)
    rings[0].exit(2, at: 100)
    rings[0].exit(3, at: 199)
    #expect(round(200) == exits((1, 99)))
    #expect(merge.deliveredUpTo == 100)
    #expect(round(200) == exits((2, 100), (3, 199)))
    #expect(merge.deliveredUpTo == 200)
    // What is younger than the clock itself waits as long as it must.
    rings[0].exit(4, at: 1000)
    for clock in stride(from: UInt64(300), through: 1000, by: 100) { #expect(round(clock) == []) }
    #expect(round(1001) == [])
    #expect(round(1002) == exits((4, 1000)))
    #expect(merge.lateRecords == 0)
  }

  @Test func inTheOrderOfTimeOverAllRings() {
    rings[2].exit(1, at: 10)
    rings[0].exit(2, at: 20)
    rings[1].exit(3, at: 15)
    rings[2].exit(4, at: 30)
    rings[1].exit(5, at: 30)
    rings[1].exit(6, at: 30)
    rings[0].exit(7, at: 31)
    // At one time: by ring, then as they lie.
    #expect(
      round(200) == exits((1, 10), (3, 15), (2, 20), (5, 30), (6, 30), (4, 30), (7, 31)))
    #expect(merge.lateRecords == 0)
  }

  /// A record is written after its time was read: it may come a round later than a younger one of another CPU.
  @Test func aRecordThatIsWrittenLateIsStillInOrder() {
    rings[0].exit(1, at: 150)
    #expect(round(200) == [])
    rings[1].exit(2, at: 140)
    #expect(round(300) == exits((2, 140), (1, 150)))
    #expect(merge.lateRecords == 0)
  }

  /// Samples nest: an interrupt in the middle of a record's writing lies behind it and may be older or younger.
  @Test func oneRingNeedNotBeInOrder() {
    for (number, time) in [(1, 30), (2, 10), (3, 20)] as [(Int32, UInt64)] { rings[0].exit(number, at: time) }
    #expect(round(200) == exits((2, 10), (3, 20), (1, 30)))
    #expect(merge.lateRecords == 0)
  }

  @Test func whatComesTooLateIsDeliveredAndCounted() {
    rings[0].exit(1, at: 150)
    _ = round(200)
    #expect(round(300) == exits((1, 150)))
    rings[1].exit(2, at: 120)
    rings[1].exit(3, at: 149)
    rings[1].exit(4, at: 150)
    #expect(round(400) == exits((2, 120), (3, 149), (4, 150)))
    #expect(merge.lateRecords == 2)
    // The youngest delivered one stays the measure.
    rings[0].exit(5, at: 149)
    #expect(round(500) == exits((5, 149)))
    #expect(merge.lateRecords == 3)
  }

  @Test func drainingDeliversEverything() {
    rings[0].exit(1, at: 5000)
    rings[1].exit(2, at: 4000)
    #expect(round(200, draining: true) == exits((2, 4000), (1, 5000)))
    #expect(round(300, draining: true) == [])
  }

  /// The room of a record is given back when it and all before it have been delivered, not before.
  @Test func roomIsGivenBackUpToTheOldestThatWaits() {
    let size = UInt64(RecordMaker.exit.count)
    rings[0].exit(1, at: 10)
    rings[0].exit(2, at: 1000)
    rings[0].exit(3, at: 20)
    #expect(round(200) == exits((1, 10), (3, 20)))
    #expect(rings[0].tail == size)
    #expect(rings[1].tail == 0)
    _ = round(2000)
    #expect(round(2001) == exits((2, 1000)))
    #expect(rings[0].tail == 3 * size)
  }

  /// Records of many sizes, written for as long as there is room: each comes out as it went in, across the end of the
  /// ring, too.
  @Test func recordsThatWrap() {
    var clock: UInt64 = 100
    var expected: [[UInt8]] = []
    var found = Raw()
    var wraps = 0
    var position = 0
    for length in 1...2000 {
      let stack = (0..<length * 8 % 1000).map { UInt8(truncatingIfNeeded: $0) }
      // Every second one has 72 bytes: sooner or later it wraps by each multiple of 8.
      let record =
        length % 2 == 0
        ? RecordMaker.sideband(type: RecordType.exit, time: clock + 1) { $0.add(UInt64(0), 1, 2, 3) }
        : RecordMaker.sample(
          raw: RecordMaker.chain(entries: length % 5), stack: stack, time: clock + 1)
      if !rings[1].write(record) {
        // Full: two rounds make room for it.
        clock += 10
        for _ in 0..<2 { merge.deliver(to: &found, clock: clock, draining: false) }
        #expect(rings[1].room == MadeRing.capacity)
        let isWritten = rings[1].write(record)
        #expect(isWritten)
      }
      if position % MadeRing.capacity + record.count > MadeRing.capacity { wraps += 1 }
      position += record.count
      expected.append(record)
    }
    merge.deliver(to: &found, clock: clock, draining: true)
    #expect(found.records == expected && expected.count == 2000)
    #expect(wraps > 100, "\(wraps)")
    #expect(merge.lateRecords == 0)
  }

  /// Names are known by the event they came from.
  @Test func namesAreThoseOfTheNamesEvent() {
    rings[0].write(RecordMaker.names(identifier: 1000))
    rings[0].write(RecordMaker.names(identifier: 999))
    _ = round(2000)
    #expect(round(2000) == ["names 83", "malformed"])
  }

  /// Sizes that cannot be: nothing behind them is found, and the ring goes on with what is written next.
  @Test(arguments: [0, 4, 7, 9, 12, 65528] as [UInt16])
  func aSizeThatCannotBe(_ size: UInt16) {
    rings[0].exit(1, at: 10)
    var broken = RecordMaker.exit
    broken[6] = UInt8(truncatingIfNeeded: size)
    broken[7] = UInt8(truncatingIfNeeded: size >> 8)
    rings[0].write(broken)
    rings[0].exit(2, at: 20)
    rings[1].exit(3, at: 15)
    #expect(round(200) == ["malformed"] + exits((1, 10), (3, 15)))
    rings[0].exit(4, at: 30)
    #expect(round(300) == exits((4, 30)))
    #expect(rings[0].room == MadeRing.capacity)
  }

  /// Samples that end before their time; side-band records that do are of no use, and no sample is lost with them.
  @Test func recordsWithoutATime() {
    for bytes in stride(from: 8, to: 48, by: 8) {
      var maker = RecordMaker()
      maker.bytes = [UInt8](repeating: 0, count: bytes)
      rings[0].write(maker.finished(type: RecordType.sample))
      rings[0].write(maker.finished(type: RecordType.exit))
    }
    rings[0].exit(1, at: 10)
    #expect(round(200) == [String](repeating: "malformed", count: 5) + exits((1, 10)))
  }
}
