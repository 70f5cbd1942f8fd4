// Interning of whole stacks and of (stack, thread) counts, by open addressing: the per-sample part of
// the profile, so no allocation happens for a stack that was seen before.

/// All distinct strings of a profile; position 0 is the empty string.
public struct StringTable: Sendable {
  private var strings: [String] = [""]
  private var positions: [ExactString: UInt32] = [ExactString(""): 0]

  mutating func intern(_ string: String) -> StringID {
    if let known = positions[ExactString(string)] { return StringID(index: known) }
    let index = UInt32(strings.count)
    strings.append(string)
    positions[ExactString(string)] = index
    return StringID(index: index)
  }

  /// The string at `id`.
  public subscript(id: StringID) -> String { strings[Int(id.index)] }

  /// Number of strings, the empty one included.
  public var count: Int { strings.count }
}

/// Distinct stacks, their frames packed into one array.
struct StackTable: Sendable {
  private var storage: [FrameID] = []
  private var ends: [Int] = []
  private var hashes: [UInt64] = []
  /// Position + 1 of a stack; 0 is a free slot. Its size is a power of two.
  private var slots: [UInt32] = Array(repeating: 0, count: 1024)

  /// How many stacks there are; their ids are the numbers below.
  var count: Int { ends.count }

  subscript(id: StackID) -> ArraySlice<FrameID> {
    let position = Int(id.index)
    return storage[(position == 0 ? 0 : ends[position - 1])..<ends[position]]
  }

  mutating func intern(_ stack: Span<FrameID>) -> StackID {
    let hash = Self.hash(stack)
    var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
    while slots[slot] != 0 {
      let position = Int(slots[slot] - 1)
      if hashes[position] == hash, equals(position, stack) { return StackID(index: UInt32(position)) }
      slot = (slot + 1) & (slots.count - 1)
    }
    let position = UInt32(ends.count)
    for index in stack.indices { storage.append(stack[index]) }
    ends.append(storage.count)
    hashes.append(hash)
    slots[slot] = position + 1
    if ends.count * 2 > slots.count { grow() }
    return StackID(index: position)
  }

  private func equals(_ position: Int, _ stack: Span<FrameID>) -> Bool {
    let start = position == 0 ? 0 : ends[position - 1]
    guard ends[position] - start == stack.count else { return false }
    for index in stack.indices where storage[start + index] != stack[index] { return false }
    return true
  }

  private mutating func grow() {
    let size = slots.count * 2
    slots = Array(repeating: 0, count: size)
    for (position, hash) in hashes.enumerated() {
      var slot = Int(truncatingIfNeeded: hash) & (size - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
      slots[slot] = UInt32(position + 1)
    }
  }

  private static func hash(_ stack: Span<FrameID>) -> UInt64 {
    var hash: UInt64 = 0x9E37_79B9_7F4A_7C15 ^ UInt64(stack.count)
    for index in stack.indices {
      hash = (hash ^ UInt64(stack[index].index)) &* 0xD6E8_FEB8_6659_FD93
      hash ^= hash >> 32
    }
    return hash
  }
}

/// Counts per (stack, thread), in the order of first sight.
struct SampleCounts: Sendable {
  private var keys: [UInt64] = []
  private var counts: [UInt64] = []
  private var slots: [UInt32] = Array(repeating: 0, count: 1024)

  mutating func add(stack: StackID, thread: UInt32, count: UInt64) {
    let key = UInt64(thread) << 32 | UInt64(stack.index)
    var slot = Self.slot(key, slots.count)
    while slots[slot] != 0 {
      let position = Int(slots[slot] - 1)
      if keys[position] == key {
        counts[position] += count
        return
      }
      slot = (slot + 1) & (slots.count - 1)
    }
    keys.append(key)
    counts.append(count)
    slots[slot] = UInt32(keys.count)
    if keys.count * 2 > slots.count { grow() }
  }

  var samples: [Profile.Sample] {
    zip(keys, counts).map { key, count in
      Profile.Sample(
        stack: StackID(index: UInt32(truncatingIfNeeded: key)), thread: Int(key >> 32), count: count)
    }
  }

  private mutating func grow() {
    let size = slots.count * 2
    slots = Array(repeating: 0, count: size)
    for (position, key) in keys.enumerated() {
      var slot = Self.slot(key, size)
      while slots[slot] != 0 { slot = (slot + 1) & (size - 1) }
      slots[slot] = UInt32(position + 1)
    }
  }

  private static func slot(_ key: UInt64, _ size: Int) -> Int {
    let mixed = key &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed ^ (mixed >> 32)) & (size - 1)
  }
}
