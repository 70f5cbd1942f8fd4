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

  deinit { unsafe munmap(control, mappedBytes) }

  /// Position behind the youngest complete record.
  var head: UInt64 { unsafe caduceus_ring_head(control) }

  /// Gives the room of all records before `position` back to the kernel.
  func release(upTo position: UInt64) { unsafe caduceus_ring_set_tail(control, position) }

  /// The 64-bit word at a position; records are 8-byte aligned, so that no word wraps.
  func word(at position: UInt64) -> UInt64 {
    unsafe data.load(fromByteOffset: Int(position) & (capacity - 1), as: UInt64.self)
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

/// Room for one record that wraps around the end of its ring.
@safe struct RecordScratch: ~Copyable {
  fileprivate let bytes: UnsafeMutableRawPointer

  init() { unsafe bytes = .allocate(byteCount: 1 << 16, alignment: 8) }

  deinit { unsafe bytes.deallocate() }
}
