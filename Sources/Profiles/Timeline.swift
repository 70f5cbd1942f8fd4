// The time line: when which thread had which stack. 12 bytes per sample, kept only when an output wants it.

/// A sample on the time line.
public struct TimedSample: Sendable, Hashable {
  /// Nanoseconds since the start of the time line, in steps of 1000.
  public let time: UInt64
  /// Position in `Profile.threads`.
  public let thread: Int
  /// The stack, for `Profile.frames(of:)`.
  public let stack: StackID

  /// A sample from its parts.
  public init(time: UInt64, thread: Int, stack: StackID) {
    self.time = time
    self.thread = thread
    self.stack = stack
  }
}

/// All samples in the order in which they were recorded, which is that of time.
///
/// A time is kept as the microseconds since the sample before it, the fraction carried on, so that errors do not add
/// up. Memory grows by blocks; none is ever copied.
public struct Timeline: Sendable, Sequence {
  struct Entry: Sendable {
    /// Since the entry before.
    var microseconds: UInt32
    /// `gap` for a pause that is longer than `microseconds` can say: no sample.
    var thread: UInt32
    var stack: UInt32

    static let gap = UInt32.max
  }

  static let blockSize = 1 << 13

  private var blocks: [[Entry]] = []
  private var last: UInt64 = 0

  /// The clock's nanoseconds at the start; nil until the first sample where it was not given.
  public private(set) var start: UInt64?
  /// Number of samples.
  public private(set) var count = 0

  /// A time line without samples. `start` is in nanoseconds of the clock that the samples are stamped with; where it is
  /// nil, the first sample is at 0.
  public init(start: UInt64? = nil) { self.start = start }

  /// Bytes that the samples take, the room for the next ones included.
  public var memory: Int { blocks.reduce(0) { $0 + $1.capacity } * MemoryLayout<Entry>.stride }

  /// Adds a sample. One that is older than the last sample, or than the start, counts as simultaneous with it.
  mutating func append(time: UInt64, thread: UInt32, stack: StackID) {
    let origin = start ?? time
    start = origin
    let now = Swift.max(time > origin ? (time - origin) / 1000 : 0, last)
    var passed = now - last
    last = now
    while passed > UInt64(UInt32.max) {
      push(Entry(microseconds: .max, thread: Entry.gap, stack: 0))
      passed -= UInt64(UInt32.max)
    }
    push(Entry(microseconds: UInt32(passed), thread: thread, stack: stack.index))
    count += 1
  }

  /// Gives every sample the stack that became of its own: `ids` by the old id.
  mutating func renameStacks(_ ids: [StackID]) {
    for block in blocks.indices {
      for position in blocks[block].indices where blocks[block][position].thread != Entry.gap {
        blocks[block][position].stack = ids[Int(blocks[block][position].stack)].index
      }
    }
  }

  private mutating func push(_ entry: Entry) {
    if blocks.isEmpty || blocks[blocks.count - 1].count == Self.blockSize {
      var block: [Entry] = []
      block.reserveCapacity(Self.blockSize)
      blocks.append(block)
    }
    blocks[blocks.count - 1].append(entry)
  }

  /// The samples, oldest first.
  public func makeIterator() -> Iterator { Iterator(blocks) }

  /// Walks over the samples.
  public struct Iterator: IteratorProtocol {
    private let blocks: [[Entry]]
    private var block = 0
    private var position = 0
    private var microseconds: UInt64 = 0

    init(_ blocks: [[Entry]]) { self.blocks = blocks }

    /// The next sample; nil at the end.
    public mutating func next() -> TimedSample? {
      while block < blocks.count {
        guard position < blocks[block].count else {
          (block, position) = (block + 1, 0)
          continue
        }
        let entry = blocks[block][position]
        position += 1
        microseconds += UInt64(entry.microseconds)
        guard entry.thread != Entry.gap else { continue }
        return TimedSample(
          time: microseconds * 1000, thread: Int(entry.thread), stack: StackID(index: entry.stack))
      }
      return nil
    }
  }
}
