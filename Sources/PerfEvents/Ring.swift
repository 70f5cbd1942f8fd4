// One CPU's ring buffer of perf records (perf_event_open(2), "MMAP layout").

import CPerfEvent
import Glibc
import Snapshots

/// Owner of a mapped ring. Positions are bytes since the ring was made; they never wrap.
@safe struct Ring: ~Copyable {
  private let control: UnsafeMutableRawPointer
  private let data: UnsafeRawPointer
  private let mappedBytes: Int
  /// Bytes of records the ring holds; a power of two.
  let capacity: Int

  /// Maps the ring of `event`. `capacity` is a power of two of whole pages.
  init(event: Int32, capacity: Int) throws(PerfEventsError) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let bytes = capacity + page
    guard let address = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, event, 0),
      unsafe address != MAP_FAILED
    else { throw .mapRing(bytes: bytes, errno: errno) }
    unsafe self.init(owning: address, mappedBytes: bytes, capacity: capacity)
  }

  /// Takes over a mapping that has the form of a ring: its control page says where the data begin.
  @unsafe init(owning mapping: UnsafeMutableRawPointer, mappedBytes: Int, capacity: Int) {
    unsafe control = mapping
    unsafe data = UnsafeRawPointer(mapping) + Int(caduceus_ring_data_offset(mapping))
    self.mappedBytes = mappedBytes
    self.capacity = capacity
  }

  /// A ring in memory of our own, of the same form, which `writer` fills. `capacity` is a power of two of whole pages.
  init(ownCapacity capacity: Int) throws(PerfEventsError) {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let bytes = capacity + page
    guard
      let address = unsafe mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      unsafe address != MAP_FAILED
    else { throw .mapRing(bytes: bytes, errno: errno) }
    unsafe caduceus_ring_set_data_offset(address, UInt64(page))
    unsafe self.init(owning: address, mappedBytes: bytes, capacity: capacity)
  }

  /// Opens what needs rings of `bytes` each, or, where no more memory may be locked, of the half, the quarter and so on,
  /// of at least `least` bytes.
  static func largest<Opened>(
    _ bytes: Int, least: Int, _ open: (_ bytes: Int) throws(PerfEventsError) -> Opened
  ) throws(PerfEventsError) -> Opened {
    var size = bytes
    while true {
      do throws(PerfEventsError) {
        return try open(size)
      } catch {
        guard case .mapRing(_, EPERM) = error, size / 2 >= least else { throw error }
        size /= 2
      }
    }
  }

  deinit { unsafe munmap(control, mappedBytes) }

  /// Fills a ring of our own; valid as long as the ring.
  var writer: RingWriter {
    unsafe RingWriter(control: control, data: UnsafeMutableRawPointer(mutating: data), capacity: capacity)
  }

  /// Position behind the youngest complete record.
  var head: UInt64 { unsafe caduceus_ring_head(control) }

  /// Gives the room of all records before `position` back to the kernel.
  func release(upTo position: UInt64) { unsafe caduceus_ring_set_tail(control, position) }

  /// The 64-bit word at a position; records are 8-byte aligned, so that no word wraps.
  func word(at position: UInt64) -> UInt64 {
    unsafe data.load(fromByteOffset: Int(position) & (capacity - 1), as: UInt64.self)
  }

  /// The header of the record at a position (struct perf_event_header: type 32, misc 16, size 16); nil where its size
  /// cannot be: too small, uneven, or beyond `head`.
  func header(at position: UInt64, before head: UInt64) -> (type: UInt32, misc: UInt16, size: Int)? {
    let word = word(at: position)
    let size = Int(word >> 48)
    guard size >= 8, size % 8 == 0, position + UInt64(size) <= head else { return nil }
    return (UInt32(truncatingIfNeeded: word), UInt16(truncatingIfNeeded: word >> 32), size)
  }

  /// Lends the bytes of one record, which must not have been released; `scratch` holds it where it wraps.
  func withRecord(at position: UInt64, size: Int, scratch: borrowing RecordScratch, _ body: (RawSpan) -> Void)
  {
    let offset = Int(position) & (capacity - 1)
    let start: UnsafeRawPointer
    if offset + size <= capacity {
      unsafe start = data + offset
    } else {
      let first = capacity - offset
      unsafe scratch.bytes.copyMemory(from: data + offset, byteCount: first)
      unsafe (scratch.bytes + first).copyMemory(from: data, byteCount: size - first)
      unsafe start = UnsafeRawPointer(scratch.bytes)
    }
    body(unsafe RawSpan(_unsafeStart: start, byteCount: size))
  }
}

/// The one writer of a ring of our own.
@safe struct RingWriter {
  private let control: UnsafeMutableRawPointer
  private let data: UnsafeMutableRawPointer
  private let capacity: Int
  private var head: UInt64 = 0

  fileprivate init(control: UnsafeMutableRawPointer, data: UnsafeMutableRawPointer, capacity: Int) {
    unsafe self.control = control
    unsafe self.data = data
    self.capacity = capacity
  }

  /// Adds one record, a multiple of 8 bytes; false where it has no room.
  mutating func write(_ record: UnsafeRawBufferPointer) -> Bool {
    let used = unsafe head - caduceus_ring_tail(control)
    guard UInt64(capacity) - used >= UInt64(record.count), let from = record.baseAddress else {
      return false
    }
    let offset = Int(head) & (capacity - 1)
    let first = min(record.count, capacity - offset)
    unsafe (data + offset).copyMemory(from: from, byteCount: first)
    if first < record.count { unsafe data.copyMemory(from: from + first, byteCount: record.count - first) }
    head += UInt64(record.count)
    unsafe caduceus_ring_set_head(control, head)
    return true
  }
}

/// Room for one record that wraps around the end of its ring.
@safe struct RecordScratch: ~Copyable {
  fileprivate let bytes: UnsafeMutableRawPointer

  init() { unsafe bytes = .allocate(byteCount: 1 << 16, alignment: 8) }

  deinit { unsafe bytes.deallocate() }
}
