// Which threads have a switch ring: written by one thread of ours, read by the readers without a lock.

import CPerfEvent
import Glibc

/// Owns the switch rings. All but `find` is for one thread only.
@safe final class WatchedThreads: @unchecked Sendable {
  /// Slots; a thread is looked for in a few of them only.
  private static let slots = 1 << 15
  private static let probes = 32
  private static let vacated = UInt64.max

  /// What a reader learns about a thread.
  struct Entry {
    /// Thread id as the target numbers it.
    let ownThread: UInt32
    /// Its switches.
    let ring: SwitchRingView
  }

  /// Three words per slot: our thread id (0: free) with the target's above it, then the ring's.
  private let words: UnsafeMutablePointer<UInt64>
  private var rings: [Int32: SwitchRing] = [:]
  /// Threads for whose rings there was no room.
  private var withoutRing: Set<Int32> = []
  /// How many such threads there were.
  private(set) var refused: UInt64 = 0
  /// Rings that a reader may still be looking at.
  private var retired: [(ring: SwitchRing, sequences: [UInt64])] = []

  init() {
    unsafe words = .allocate(capacity: Self.slots * 3)
    unsafe words.initialize(repeating: 0, count: Self.slots * 3)
  }

  deinit { unsafe words.deallocate() }

  private static func start(_ thread: Int32) -> Int { Int((UInt32(bitPattern: thread) &* 0x9E37_79B9) >> 17) }

  /// The thread's entry; nil where it is not watched.
  func find(_ thread: Int32) -> Entry? {
    let start = Self.start(thread)
    for probe in 0..<Self.probes {
      let slot = unsafe words + ((start + probe) & (Self.slots - 1)) * 3
      let key = unsafe caduceus_load_shared(slot)
      if key == 0 { return nil }
      guard UInt32(truncatingIfNeeded: key) == UInt32(bitPattern: thread), key != Self.vacated,
        let ring = unsafe SwitchRingView(
          words: (caduceus_load_shared(slot + 1), caduceus_load_shared(slot + 2))),
        unsafe caduceus_load_shared(slot) == key
      else { continue }
      return Entry(ownThread: UInt32(key >> 32), ring: ring)
    }
    return nil
  }

  /// Whether a thread is watched.
  func contains(_ thread: Int32) -> Bool { rings[thread] != nil }

  /// Threads that are watched, or would be if there were room.
  var all: [Int32] { Array(rings.keys) + withoutRing }

  /// How watching a thread ended.
  enum Watching {
    case watched
    /// The thread has ended.
    case vanished
    /// No memory may be locked for one more ring, or the table is full: the thread's samples cannot be proven.
    case noRoom
  }

  /// Watches a thread.
  func watch(_ thread: Int32, own: Int32, userOnly: Bool) throws(PerfEventsError) -> Watching {
    if rings[thread] != nil { return .watched }
    if withoutRing.contains(thread) { return .noRoom }
    let start = Self.start(thread)
    for probe in 0..<Self.probes {
      let slot = unsafe words + ((start + probe) & (Self.slots - 1)) * 3
      let key = unsafe caduceus_load_shared(slot)
      guard key == 0 || key == Self.vacated else { continue }
      let ring: SwitchRing
      do throws(PerfEventsError) {
        guard let opened = try SwitchRing(thread: thread, userOnly: userOnly) else { return .vanished }
        ring = opened
      } catch .mapRing {
        break
      } catch .open(_, EMFILE) {
        break
      }
      let view = ring.view.words
      unsafe caduceus_store_shared(slot + 1, view.0)
      unsafe caduceus_store_shared(slot + 2, view.1)
      unsafe caduceus_store_shared(
        slot, UInt64(UInt32(bitPattern: own)) << 32 | UInt64(UInt32(bitPattern: thread)))
      rings[thread] = ring
      return .watched
    }
    withoutRing.insert(thread)
    refused += 1
    return .noRoom
  }

  /// Forgets a thread that has ended. `sequences`: of all readers, taken by `free` to know when they have moved on.
  func forget(_ thread: Int32, sequences: () -> [UInt64]) {
    withoutRing.remove(thread)
    guard let ring = rings.removeValue(forKey: thread) else { return }
    let start = Self.start(thread)
    for probe in 0..<Self.probes {
      let slot = unsafe words + ((start + probe) & (Self.slots - 1)) * 3
      let key = unsafe caduceus_load_shared(slot)
      guard UInt32(truncatingIfNeeded: key) == UInt32(bitPattern: thread), key != Self.vacated else {
        continue
      }
      unsafe caduceus_store_shared(slot, Self.vacated)
      break
    }
    caduceus_full_fence()
    retired.append((ring, sequences()))
  }

  /// Unmaps the rings that no reader can be looking at any more: one that was idle (even) or has begun anew since.
  func free(sequences: [UInt64]) {
    retired.removeAll { entry in
      zip(entry.sequences, sequences).allSatisfy { $0 % 2 == 0 || $0 != $1 }
    }
  }

  var hasRetired: Bool { !retired.isEmpty }
}
