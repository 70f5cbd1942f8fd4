// The records of several rings in the order of time. Knows rings and bytes, no events: it runs on rings in memory, too.

import Snapshots

/// A ring that is read record by record.
final class IndexedRing {
  let ring: Ring
  /// Id of the event whose samples carry names.
  let namesID: UInt64
  /// Position behind the last record that was seen.
  fileprivate(set) var indexed: UInt64 = 0

  init(_ ring: consuming Ring, namesID: UInt64) {
    self.ring = ring
    self.namesID = namesID
  }
}

/// Merges the records of all rings. A record is written some time after its own time was read, so that only what the
/// previous round's clock had already passed is complete: each round delivers what is older than that.
struct RecordMerge: ~Copyable {
  /// A record that has been seen in a ring and not been delivered.
  private struct Pending {
    let time: UInt64
    let position: UInt64
    let size: UInt16
    let misc: UInt16
    let type: UInt8
    let isNames: Bool
    let ring: UInt16
  }

  private let rings: [IndexedRing]
  private let target: Int32
  private var pending: [Pending] = []
  private var previousClock: UInt64
  private var lastDelivered: UInt64 = 0
  private let scratch = RecordScratch()
  /// Records that arrived after younger ones had been delivered.
  private(set) var lateRecords: UInt64 = 0
  /// The clock up to which everything has been delivered.
  private(set) var deliveredUpTo: UInt64 = 0

  /// `target`: process id whose side-band records are wanted. `clock`: now, by the clock of the records.
  init(_ rings: [IndexedRing], target: Int32, clock: UInt64) {
    self.rings = rings
    self.target = target
    previousClock = clock
  }

  /// Delivers the records that are older than the previous round's clock, all of them when `draining` (nothing
  /// writes any more). `clock`: now, read before this call looks at any ring.
  mutating func deliver(to handler: inout some RecordHandler, clock: UInt64, draining: Bool) {
    deliver(to: &handler, olderThan: draining ? UInt64.max : previousClock)
    deliveredUpTo = previousClock
    previousClock = clock
  }

  /// Delivers the records that are older than `horizon`, when nothing older can come any more.
  mutating func deliver(to handler: inout some RecordHandler, olderThan horizon: UInt64) {
    for index in rings.indices {
      for _ in 0..<indexRecords(of: index) { handler.handleMalformedSample() }
    }
    pending.sort { ($0.time, $0.ring, $0.position) < ($1.time, $1.ring, $1.position) }
    var delivered = 0
    while delivered < pending.count, pending[delivered].time < horizon {
      let record = pending[delivered]
      if record.time < lastDelivered { lateRecords += 1 } else { lastDelivered = record.time }
      deliver(record, to: &handler)
      delivered += 1
    }
    pending.removeFirst(delivered)
    var oldest = rings.map(\.indexed)
    for record in pending { oldest[Int(record.ring)] = min(oldest[Int(record.ring)], record.position) }
    for index in rings.indices { rings[index].ring.release(upTo: oldest[index]) }
  }

  /// Notes the records that have come into a ring. Returns how many samples there were that are too short to have a
  /// time; what follows a size that cannot be is not found any more, and counts as one.
  private mutating func indexRecords(of index: Int) -> Int {
    let box = rings[index]
    let head = box.ring.head
    var position = box.indexed
    var malformed = 0
    while position < head {
      guard let (type, misc, size) = box.ring.header(at: position, before: head) else {
        malformed += 1
        position = head
        break
      }
      let isSample = type == RecordParser.typeSAMPLE
      let timeAt = isSample ? 32 : size - RecordParser.trailer + 8
      if size >= (isSample ? RecordParser.sampleFixed : 8 + RecordParser.trailer) {
        let identifier = isSample ? box.ring.word(at: position + 8) : 0
        pending.append(
          Pending(
            time: box.ring.word(at: position + UInt64(timeAt)), position: position, size: UInt16(size),
            misc: misc, type: UInt8(truncatingIfNeeded: type),
            isNames: isSample && identifier == box.namesID, ring: UInt16(index)))
      } else if isSample {
        malformed += 1
      }
      position += UInt64(size)
    }
    box.indexed = position
    return malformed
  }

  private func deliver(_ entry: Pending, to handler: inout some RecordHandler) {
    rings[Int(entry.ring)].ring.withRecord(at: entry.position, size: Int(entry.size), scratch: scratch) {
      record in
      handler.handle(raw: record, isNames: entry.isNames)
      RecordParser.dispatch(record, isNames: entry.isNames, target: target, to: &handler)
    }
  }
}
