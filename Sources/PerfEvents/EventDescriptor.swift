// Owners of perf event descriptors.

import CPerfEvent
import Glibc

/// Owner of one perf event descriptor; closes it at the end of its life.
struct EventDescriptor: ~Copyable {
  let descriptor: Int32

  init(owning descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// The event's id as it stands in records.
  var id: UInt64 { caduceus_event_id(descriptor) }
}

/// Owner of the perf event descriptors of many threads, in the order of opening.
struct EventDescriptors: ~Copyable {
  private(set) var descriptors: [Int32] = []
  /// Threads the descriptors were opened for, in the same order.
  private(set) var threads: [Int32] = []

  init() {}

  deinit { for descriptor in descriptors { close(descriptor) } }

  mutating func append(owning descriptor: Int32, thread: Int32) {
    descriptors.append(descriptor)
    threads.append(thread)
  }

  /// Closes the descriptor that was opened for `thread`, if there is one; its index otherwise unused.
  mutating func remove(thread: Int32) -> Bool {
    guard let index = threads.firstIndex(of: thread) else { return false }
    close(descriptors[index])
    descriptors.swapAt(index, descriptors.count - 1)
    threads.swapAt(index, threads.count - 1)
    descriptors.removeLast()
    threads.removeLast()
    return true
  }

  /// Lets all of them count and interrupt.
  func enable() { for descriptor in descriptors { _ = caduceus_event_enable(descriptor) } }

  /// None of them interrupts after this returns.
  func disable() { for descriptor in descriptors { _ = caduceus_event_disable(descriptor) } }

  /// What they counted, all together.
  var count: EventCount {
    var sum = EventCount()
    for descriptor in descriptors { if let count = EventCount.read(descriptor) { sum = sum + count } }
    return sum
  }

  mutating func removeAll() {
    for descriptor in descriptors { close(descriptor) }
    descriptors = []
    threads = []
  }
}

/// Sums over a set of counting or sampling events, in nanoseconds.
public struct EventCount: Sendable, Equatable {
  /// CPU time counted.
  public var value: UInt64 = 0
  /// Time the events were scheduled.
  public var timeRunning: UInt64 = 0
  /// Records that had no room in a ring.
  public var lost: UInt64 = 0

  /// Nothing counted.
  public init() {}

  static func + (left: EventCount, right: EventCount) -> EventCount {
    var sum = left
    sum.value &+= right.value
    sum.timeRunning &+= right.timeRunning
    sum.lost &+= right.lost
    return sum
  }

  /// Reads one event, children included; nil when it cannot be read.
  static func read(_ descriptor: Int32) -> EventCount? {
    var raw = caduceus_event_count()
    guard unsafe caduceus_read_clock_event(descriptor, &raw) == 0 else { return nil }
    var count = EventCount()
    count.value = raw.value
    count.timeRunning = raw.time_running
    count.lost = raw.lost
    return count
  }
}
