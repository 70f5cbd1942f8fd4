// A thread's switch ring: what the kernel wrote at its last switches. The ring is mapped read-only, so that the kernel
// overwrites the oldest records, and is written backwards, so that the newest lies at the head (perf_event_open(2),
// write_backward).

import CPerfEvent
import Glibc
import Snapshots
import SwitchProof

/// Owner of one thread's switch event and its ring.
@safe final class SwitchRing {
  /// Bytes of records: one page holds more than the three records that are looked at.
  static let capacity = 4096

  private let event: EventDescriptor
  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int
  /// When it had begun to record.
  let since: UInt64

  /// Opens the event of a thread; nil: the thread has ended.
  init?(thread: Int32, userOnly: Bool) throws(PerfEventsError) {
    let descriptor = caduceus_open_switch_event(thread, userOnly ? CADUCEUS_EVENT_USER_ONLY.rawValue : 0)
    if descriptor == -ESRCH { return nil }
    if descriptor < 0 { throw .open(what: "the switch event of thread \(thread)", errno: -descriptor) }
    event = EventDescriptor(owning: descriptor)
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    mappedBytes = page + Self.capacity
    guard let address = unsafe mmap(nil, mappedBytes, PROT_READ, MAP_SHARED, descriptor, 0),
      unsafe address != MAP_FAILED
    else { throw .mapRing(bytes: mappedBytes, errno: errno) }
    unsafe mapping = address
    since = RecordStream.clock()
  }

  deinit { unsafe munmap(mapping, mappedBytes) }

  /// For as long as this lives.
  var view: SwitchRingView { unsafe SwitchRingView(control: UnsafeRawPointer(mapping), since: since) }
}

/// A switch ring as a reader on another thread sees it; whoever hands it out keeps the ring alive.
@safe struct SwitchRingView {
  private let control: UnsafeRawPointer
  private let since: UInt64

  init(control: UnsafeRawPointer, since: UInt64) {
    unsafe self.control = control
    self.since = since
  }

  /// Address and time, for a table of words.
  var words: (UInt64, UInt64) { unsafe (UInt64(UInt(bitPattern: control)), since) }

  /// From `words`.
  init?(words: (UInt64, UInt64)) {
    guard let control = unsafe UnsafeRawPointer(bitPattern: UInt(words.0)) else { return nil }
    unsafe self.init(control: control, since: words.1)
  }

  /// The ring's head, behind all that this thread has read before.
  var head: UInt64 {
    caduceus_full_fence()
    return unsafe caduceus_ring_head(control)
  }

  /// The newest three records of a thread; one of another thread is `.other`: its number was used again.
  func history(of thread: Int32) -> SwitchHistory {
    let head = self.head
    let (newest, afterNewest) = record(at: head, head, thread)
    let (second, afterSecond) = record(at: afterNewest, head, thread)
    let (third, _) = record(at: afterSecond, head, thread)
    // The head starts at 0 and goes down: from here to 0 is what was ever written.
    let isComplete = 0 &- head <= UInt64(SwitchRing.capacity)
    return SwitchHistory(
      head: head, newest: newest, second: second, third: third, isComplete: isComplete, since: since)
  }

  /// The record at a position and the position of the next older one; nil where none lies whole in the ring.
  private func record(at position: UInt64, _ head: UInt64, _ thread: Int32) -> (SwitchRecord?, UInt64) {
    let written = min(0 &- head, UInt64(SwitchRing.capacity))
    let offset = position &- head
    guard offset &+ 24 <= written else { return (nil, position) }
    let header = word(position)
    let size = header >> 48
    guard size >= 24, size % 8 == 0, offset + size <= written else { return (nil, position) }
    // PERF_SAMPLE_TID: process, then thread.
    let isOwn = Int32(truncatingIfNeeded: word(position &+ 8) >> 32) == thread
    let record: SwitchRecord
    switch UInt32(truncatingIfNeeded: header) {
    case _ where !isOwn: record = SwitchRecord(.other, time: word(position &+ 16))
    case 14 where size == 24:  // PERF_RECORD_SWITCH: tid and time follow
      // PERF_RECORD_MISC_SWITCH_OUT
      let isOut = header >> 32 & 0x2000 != 0
      record = SwitchRecord(isOut ? .out : .in, time: word(position &+ 16))
    case 9 where size == UInt64(32 + Registers.count * 8) && word(position &+ 24) != 0:
      // PERF_RECORD_SAMPLE: tid, time, ABI of the registers, registers
      record = SwitchRecord(.registers, time: word(position &+ 16), registers: registers(position &+ 32))
    default:
      record = SwitchRecord(.other, time: word(position &+ 16))
    }
    return (record, position &+ size)
  }

  private func word(_ position: UInt64) -> UInt64 {
    let data = unsafe control + Int(caduceus_ring_data_offset(control))
    return unsafe data.load(
      fromByteOffset: Int(position & UInt64(SwitchRing.capacity - 1)), as: UInt64.self)
  }

  private func registers(_ position: UInt64) -> Registers {
    var words = InlineArray<17, UInt64>(repeating: 0)
    for index in 0..<Registers.count { words[index] = word(position &+ UInt64(index * 8)) }
    return unsafe Registers(perfWords: words.span.bytes)
  }
}
