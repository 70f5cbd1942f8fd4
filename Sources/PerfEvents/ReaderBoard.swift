// What a reader tells the rest of us: numbers that only grow, and threads that it has met. One writer, one reader, no lock.

import Accounting
import CPerfEvent

/// How a reader is scheduled.
public enum ReaderScheduling: UInt64, Sendable, Comparable {
  /// It has not begun.
  case starting
  /// Real-time class: it takes the CPU as soon as the interrupt is over.
  case realtime
  /// Normal class with a short slice: it is soon chosen.
  case shortSlice
  /// Normal class, as everything else.
  case normal

  /// From the most favourable to the least.
  public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// Shared by one reader and the thread that delivers records.
@safe final class ReaderBoard: @unchecked Sendable {
  /// What the words mean.
  enum Word: Int, CaseIterable {
    /// Position in the CPU's ring up to which everything has been handed on.
    case consumed
    /// Odd while the reader looks at shared things.
    case sequence
    /// `ReaderScheduling`.
    case scheduling
    /// Not 0: the reader is to hand on everything and end.
    case stop
    /// The kernel's number of the reader's thread; 0: it has not begun.
    case thread
    /// Not 0: it has handed on everything.
    case finished
    /// Clock samples met.
    case samples
    /// Samples without room in the ring to us.
    case lostSamples
    /// Samples of other processes.
    case filtered
    /// Names without room in the ring to us.
    case lostNames
    /// Side-band records without room in the ring to us.
    case lostSideband
    /// Samples whose thread is proven to have stood still, or for which there is evidence.
    case stoodStill
    /// Nanoseconds of CPU time of the reader.
    case cpu
    /// Nanoseconds from interrupts to the end of the reads that followed.
    case lag
    /// Calls that read the target's memory.
    case calls
    /// Times the watchdog took the reader out of the real-time class.
    case watchdog
    /// Largest share of its CPU, in percent, over `RealtimeShare.window`.
    case largestShare
    /// Position of the oldest notice that was not taken.
    case noticesTaken
    /// Position behind the youngest notice.
    case noticesGiven
  }

  private static let noticeCapacity = 256
  private static let refusalsAt = Word.allCases.count
  private static let noticesAt = refusalsAt + UnverifiedCause.allCases.count

  private let words: UnsafeMutablePointer<UInt64>

  init() {
    unsafe words = .allocate(capacity: Self.noticesAt + Self.noticeCapacity)
    unsafe words.initialize(repeating: 0, count: Self.noticesAt + Self.noticeCapacity)
  }

  deinit { unsafe words.deallocate() }

  subscript(word: Word) -> UInt64 {
    get { unsafe caduceus_load_shared(words + word.rawValue) }
    set { unsafe caduceus_store_shared(words + word.rawValue, newValue) }
  }

  /// Samples that were not proven, by cause.
  subscript(refusal: UnverifiedCause) -> UInt64 {
    get { unsafe caduceus_load_shared(words + Self.refusalsAt + refusal.rawValue) }
    set { unsafe caduceus_store_shared(words + Self.refusalsAt + refusal.rawValue, newValue) }
  }

  /// A thread that was met (its id) or that ended (its id, negative). Forgotten where there is no room.
  func give(notice: Int32) {
    let position = self[.noticesGiven]
    guard position &- self[.noticesTaken] < UInt64(Self.noticeCapacity) else { return }
    let slot = unsafe words + Self.noticesAt + Int(position) % Self.noticeCapacity
    unsafe caduceus_store_shared(slot, UInt64(bitPattern: Int64(notice)))
    self[.noticesGiven] = position + 1
  }

  /// The oldest notice that was not taken.
  func takeNotice() -> Int32? {
    let position = self[.noticesTaken]
    guard position != self[.noticesGiven] else { return nil }
    let slot = unsafe words + Self.noticesAt + Int(position) % Self.noticeCapacity
    let notice = unsafe Int64(bitPattern: caduceus_load_shared(slot))
    self[.noticesTaken] = position + 1
    return Int32(truncatingIfNeeded: notice)
  }
}
