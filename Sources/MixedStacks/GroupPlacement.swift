// Which native frame each group of Python frames was run by, told by the addresses of the boundaries. Pure.

import NativeUnwinding
import PythonFrames

/// The places of the groups of one chain. One value is used for sample after sample.
struct GroupPlacement {
  /// Nothing is proven of the group: it has no boundary, or one that contradicts another.
  static let unknown = -1
  /// The group's boundary lies on another stack than this one: its frames belong to whoever runs there.
  static let elsewhere = -2
  /// The group's loop lies further out than the native frames that are known.
  static let beyond = -3
  /// The group's loop lies where native frames are missing between others: before the frame in `gaps`.
  static let inGap = -4

  /// The farthest that a boundary may lie from the last native frame that is known and still be taken for one of the same
  /// stack, in bytes: stacks of threads are smaller, and other kinds of memory lie farther apart.
  private static let farthest: UInt64 = 1 << 28

  /// Per group: a position among the native frames, or one of the above.
  private(set) var places: [Int] = []
  /// Per group that is `inGap`: the native frame before which frames are missing.
  private(set) var gaps: [Int] = []

  /// No group has a place.
  mutating func reset(count: Int) {
    places.removeAll(keepingCapacity: true)
    gaps.removeAll(keepingCapacity: true)
    for _ in 0..<count {
      places.append(Self.unknown)
      gaps.append(0)
    }
  }

  /// Finds each group's native frame. Groups are in the order of their boundaries, and so must their frames be.
  mutating func place(
    _ native: AddressStack, _ groups: Span<ChainGroup>, _ stack: StackExtent, isLoop: (NativeFrame) -> Bool
  ) {
    reset(count: groups.count)
    var from = 0
    var last: UInt64 = 0
    for index in groups.indices {
      let group = groups[index]
      guard group.isClosed else { continue }
      guard group.boundary >= stack.start else {
        places[index] = Self.elsewhere
        continue
      }
      // Boundaries that do not lie further and further out contradict each other: none of them says anything.
      guard group.boundary > last else { return reset(count: groups.count) }
      last = group.boundary
      while from < native.frames.count, group.boundary >= native.frames[from].canonicalFrameAddress {
        from += 1
      }
      guard from < native.frames.count else {
        places[index] = outside(group, native, stack)
        continue
      }
      let frame = native.frames[from]
      guard group.boundary >= lowest(from, native, stack) else {
        places[index] = Self.inGap
        gaps[index] = from
        continue
      }
      // The C frame is in the same native frame. Of one at which unwinding began anew the lower end is not known.
      let inner = from == 0 ? stack.start : native.frames[from - 1].canonicalFrameAddress
      if group.cFrame != 0, group.cFrame != group.boundary,
        group.cFrame < inner || group.cFrame >= frame.canonicalFrameAddress
      {
        continue
      }
      // A state that is only lent must prove that it is used here.
      if group.isLent, !isLoop(frame) {
        places[index] = Self.elsewhere
        continue
      }
      if index > 0, places[..<index].contains(from) { return reset(count: groups.count) }
      places[index] = from
    }
  }

  /// The lowest address of a native frame's own memory.
  private func lowest(_ index: Int, _ native: AddressStack, _ stack: StackExtent) -> UInt64 {
    if native.frames[index].restartedAt != 0 { return native.frames[index].restartedAt }
    return index == 0 ? stack.start : native.frames[index - 1].canonicalFrameAddress
  }

  /// What is known of a boundary that lies further out than all native frames.
  private func outside(_ group: ChainGroup, _ native: AddressStack, _ stack: StackExtent) -> Int {
    // The whole stack is known, so this is another one.
    if native.end == .outermost || stack.isOther { return Self.elsewhere }
    if stack.end != 0 { return group.boundary < stack.end ? near(group, native, stack) : Self.elsewhere }
    return group.isLent ? Self.elsewhere : near(group, native, stack)
  }

  private func near(_ group: ChainGroup, _ native: AddressStack, _ stack: StackExtent) -> Int {
    let known = native.frames.last?.canonicalFrameAddress ?? stack.start
    return group.boundary &- known < Self.farthest ? Self.beyond : Self.elsewhere
  }
}
