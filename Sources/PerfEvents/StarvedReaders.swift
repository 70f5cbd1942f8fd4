// Readers that do not get their CPU because a real-time thread of a higher priority does not give it up. Their samples
// would be lost, and the end of sampling would wait for them.

import CChainReader

/// Watches from another thread whether the readers come to their work, and takes those that do not to other CPUs.
struct StarvedReaders {
  /// Nanoseconds without progress, after the reader was told of records, that are too many.
  static let patience: UInt64 = 100_000_000
  /// Nanoseconds after which a reader tries its own CPU again; twice as many after each time.
  static let firstPause: UInt64 = 1_000_000_000

  /// What is to be done with a reader.
  enum Step: Equatable {
    case nothing
    /// It may run on any CPU: what it reads then is rarely proven, but not lost.
    case leaveCPU
    /// On any CPU, real-time threads keep it from running: as everything else it takes what they leave.
    case leaveClass
    /// It tries its own CPU again.
    case comeBack
  }

  /// One reader.
  struct Watch {
    private var consumed: UInt64 = 0
    private var behindSince: UInt64?
    private var leftAt: UInt64?
    private var hasLeftClass = false
    private var pause = StarvedReaders.firstPause

    /// `isBehind`: it was told of records that it has not handed on. `consumed`: its position.
    mutating func look(isBehind: Bool, consumed: UInt64, clock: UInt64) -> Step {
      if !isBehind || consumed != self.consumed {
        self.consumed = consumed
        behindSince = isBehind ? clock : nil
        guard let left = leftAt, clock - left >= pause else { return .nothing }
        leftAt = nil
        pause *= 2
        return .comeBack
      }
      guard let since = behindSince else {
        behindSince = clock
        return .nothing
      }
      guard clock - since >= StarvedReaders.patience else { return .nothing }
      behindSince = clock
      if leftAt == nil {
        leftAt = clock
        return .leaveCPU
      }
      if hasLeftClass { return .nothing }
      hasLeftClass = true
      return .leaveClass
    }
  }

  private var watches: [Watch]
  /// How many times a reader left its CPU.
  private(set) var departures: UInt64 = 0
  /// Readers that left the real-time class.
  private(set) var classDepartures: UInt64 = 0

  init(count: Int) { watches = Array(repeating: Watch(), count: count) }

  /// Looks at all readers; call it every few milliseconds. `isBehind`: by position, whether one has been told of
  /// records that it has not handed on.
  mutating func look(at readers: [SampleReader], clock: UInt64, isBehind: (Int) -> Bool) {
    for (index, reader) in readers.enumerated() where index < watches.count {
      let step = watches[index].look(
        isBehind: isBehind(index), consumed: reader.board[.consumed], clock: clock)
      switch step {
      case .nothing: break
      case .leaveCPU:
        departures += 1
        reader.leaveCPU()
      case .leaveClass: if reader.leaveClass() { classDepartures += 1 }
      case .comeBack: reader.comeBack()
      }
    }
  }
}
