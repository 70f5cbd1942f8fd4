// What a stack copy alone proves about Python: the function at the top of each evaluation loop that had called out of
// itself when it was copied.
//
// A loop keeps the address of its next bytecode instruction in a register or in a slot of its frame; where, is the
// compiler's choice, and may be another one at each of its call sites. So it is learned from stacks whose Python half
// is proven: at each call site, the places whose value lay in the code of the function at the top, each single time,
// at one distance from the instruction that the Python frame itself names. What is found there in a copy whose Python
// half is not proven was copied in the interrupt, as the registers and the stack were. The address belongs to one
// function, if its code object still lived, which is asked afterwards. The frames below that function in the same
// loop lie on the heap only: of them a copy says nothing.
//
// Of a loop that was interrupted in its own code nothing is said: it may have been between two functions.

import NativeUnwinding
import PythonFrames
import Snapshots

/// The function that an evaluation loop was running.
public struct PinnedFunction: Equatable, Sendable {
  /// The loop's position in the `AddressStack`.
  public var loop: Int
  /// The code object's instructions.
  public var code: CodeRanges.Range
  /// Bytes from the first instruction to the current one.
  public var offset: Int32
}

/// Learns where evaluation loops keep their instruction pointers, and reads it there. Not thread safe.
public final class LoopPins {
  /// DWARF numbers of the registers that a call preserves (System V ABI, AMD64 supplement, 3.2.1).
  private static let preserved = [3, 6, 12, 13, 14, 15]
  /// Places that are looked at: the registers, then words below the return address.
  private static let places = 64
  /// Proven stacks that a call site needs before it is believed.
  public let leastStacks: Int
  /// Of these: stacks with another function than the one before. A value that stays behind is found out by a change.
  public let leastChanges: Int

  /// What is known of one call site of a loop.
  private final class Site {
    /// Places that always held an address at the same distance.
    var places: UInt64 = 0
    /// Per place, bytes from the frame's own instruction to the address found.
    var distances = InlineArray<64, Int32>(repeating: 0)
    var stacks = 0
    var changes = 0
    var lastCode: UInt64 = 0
  }

  /// By return address into the loop.
  private var sites: [UInt64: Site] = [:]
  private var ranges = CodeRanges()

  /// Nothing is known yet.
  public init(leastStacks: Int = 32, leastChanges: Int = 8) {
    self.leastStacks = leastStacks
    self.leastChanges = leastChanges
  }

  /// To be called when the program was replaced.
  public func forget() {
    sites.removeAll()
    ranges = CodeRanges()
  }

  /// Learns from a stack whose Python half is proven.
  ///
  /// - Parameters:
  ///   - native: The unwound stack, with its registers.
  ///   - snapshot: What it was unwound from.
  ///   - chain: The Python half.
  ///   - places: Per group of the chain, its loop's position in `native`; negative where it has none.
  ///   - table: Knows the code objects.
  ///   - codeAdaptive: `InterpreterLayout.codeAdaptive`.
  public func learn(
    _ native: AddressStack, _ snapshot: borrowing StackSnapshot, _ chain: borrowing DecodedChain,
    places: [Int],
    _ table: PythonFrameTable, codeAdaptive: UInt32
  ) {
    let known = Self.reliable(native)
    for group in chain.groups.indices where group < places.count {
      let place = places[group]
      guard place > 0, place < known, let top = chain.groups[group].frames.first else { continue }
      let frame = chain.frames[top]
      let start = frame.code &+ UInt64(codeAdaptive)
      let instruction = start &+ UInt64(bitPattern: Int64(frame.offset))
      var code = ranges.find(instruction)
      if code?.start != start || code?.key.fingerprint != frame.fingerprint {
        code = table.range(of: frame, interpreter: chain.header.interpreter, codeAdaptive: codeAdaptive)
        if let code { ranges.add(code) }
      }
      if let code { learn(native, snapshot, place, code, instruction) }
    }
  }

  private func learn(
    _ native: AddressStack, _ snapshot: borrowing StackSnapshot, _ place: Int, _ code: CodeRanges.Range,
    _ instruction: UInt64
  ) {
    let site = sites[native.frames[place].address] ?? Site()
    if site.stacks == 0 { sites[native.frames[place].address] = site }
    var found: UInt64 = 0
    for index in 0..<Self.places {
      guard site.stacks == 0 || site.places >> UInt64(index) & 1 == 1,
        let value = Self.value(native, snapshot, place, index), value >= code.start, value <= code.end
      else { continue }
      let distance = Int32(truncatingIfNeeded: Int64(bitPattern: value &- instruction))
      if site.stacks == 0 { site.distances[index] = distance }
      if site.distances[index] == distance { found |= 1 << UInt64(index) }
    }
    site.places = found
    site.stacks += 1
    if site.lastCode != code.start { site.changes += 1 }
    site.lastCode = code.start
  }

  /// The functions that are certain in a stack whose Python half is not proven, leaf first.
  ///
  /// - Parameter isAlive: Whether a code object is still the one that it was.
  public func functions(
    _ native: AddressStack, _ snapshot: borrowing StackSnapshot, isAlive: (CodeRanges.Range) -> Bool
  ) -> [PinnedFunction] {
    var result: [PinnedFunction] = []
    for place in 1..<max(1, Self.reliable(native)) {
      guard let site = sites[native.frames[place].address], isKnown(site),
        let instruction = instruction(native, snapshot, place, site), let code = ranges.find(instruction),
        isAlive(code)
      else { continue }
      let offset = Int32(truncatingIfNeeded: Int64(bitPattern: instruction &- code.start))
      result.append(PinnedFunction(loop: place, code: code, offset: offset))
    }
    return result
  }

  private func isKnown(_ site: Site) -> Bool {
    site.places != 0 && site.stacks >= leastStacks && site.changes >= leastChanges
  }

  /// What all of a call site's places say; nil where they do not say the same.
  private func instruction(
    _ native: AddressStack, _ snapshot: borrowing StackSnapshot, _ place: Int, _ site: Site
  ) -> UInt64? {
    var result: UInt64?
    for index in 0..<Self.places where site.places >> UInt64(index) & 1 == 1 {
      guard let value = Self.value(native, snapshot, place, index) else { return nil }
      let instruction = value &- UInt64(bitPattern: Int64(site.distances[index]))
      if let result, result != instruction { return nil }
      result = instruction
    }
    return result
  }

  /// Frames up to the first that is only guessed or stands behind a gap: outside of it the registers are not known.
  private static func reliable(_ native: AddressStack) -> Int {
    let guess =
      native.frames.firstIndex { $0.isGuessed || $0.restartedAt != 0 } ?? native.frames.count
    return min(guess, native.registers.count, native.frames.count)
  }

  private static func value(
    _ native: AddressStack, _ snapshot: borrowing StackSnapshot, _ place: Int, _ index: Int
  ) -> UInt64? {
    if index < preserved.count { return native.registers[place][preserved[index]] }
    // Behind the return address, down to where the callee's frame begins.
    let address = native.frames[place].canonicalFrameAddress &- UInt64(index - preserved.count + 2) * 8
    guard address >= native.frames[place - 1].canonicalFrameAddress else { return nil }
    return snapshot.stackWord(address)
  }
}
