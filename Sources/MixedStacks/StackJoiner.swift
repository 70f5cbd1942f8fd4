// Joins both halves of one instant by address. From 3.11 on the boundary between two evaluation loops lies inside
// the native frame of its loop (3.11: the C frame record, 3.12 and later: the entry frame is a local variable of
// _PyEval_EvalFrameDefault, Python/ceval.c). So the native frame whose memory holds the boundary's address is the
// loop that runs the Python frames before it. No symbol and no count is needed. Pure.

import Accounting
import NativeUnwinding
import PythonChain
import PythonFrames

/// Where the part of a thread's stack lies that was in use.
public struct StackExtent: Sendable {
  /// The stack pointer.
  public var start: UInt64
  /// Where the stack ends; 0 where that is not known.
  public var end: UInt64
  /// Whether it is another stack than the thread's own, as fibers have: what lies further out than its known frames is
  /// not on it.
  public var isOther: Bool

  /// A stack from its pointer to its end. An end that does not lie above the pointer is that of another stack.
  public init(start: UInt64, end: UInt64 = 0, isOther: Bool = false) {
    self.start = start
    self.end = end > start ? end : 0
    self.isOther = isOther
  }
}

/// Joins stacks of one process. It learns which functions are evaluation loops. Not thread safe.
public final class StackJoiner {
  /// First addresses of functions that were seen to hold a boundary.
  public private(set) var loopFunctions: Set<UInt64> = []
  /// Instruction pointers at which the chain is not to be believed (3.11, 3.12); empty for none.
  public var prologueHole: Range<UInt64> = 0..<0
  /// Answers whether a native frame belongs to a library that switches stacks inside of a thread, as greenlet does; nil
  /// where none is there. What lies outside of the start of such a stack are not its callers.
  public var isStackSwitcher: ((NativeFrame) -> Bool)?

  /// Answers whether a function is just being entered or left at a native frame's instruction; nil: it may be anywhere.
  public var isEnteredOrLeft: ((NativeFrame) -> Bool)?

  /// Answers whether an address lies in an evaluation loop; a cache in front of `functionStart`.
  private let loopAnswers = AddressCache(bits: 12, filler: false)
  private let functionStart: (UInt64) -> UInt64?
  /// Per group of the chain that was joined last, its loop's position among the native frames; negative where it has
  /// none.
  public var places: [Int] { placement.places }
  var placement = GroupPlacement()
  /// What a loop that no group is placed in says of the sample.
  var strayCause = DamageCause.joinMismatch
  /// Whether the leaf stands where the chain is not to be believed.
  var isInHole = false
  var pythonFrames: [PythonFrameID] = []
  /// Per group, where its frames end in `pythonFrames`, and where a part of them is missing.
  var groups: [ResolvedGroup] = []

  struct ResolvedGroup {
    /// In `pythonFrames`.
    var frames: Range<Int>
    /// Position in `pythonFrames` before which frames had no room in the record; -1: none.
    var gap: Int
    /// A frame's position lay outside of its code: which frames this loop ran is not known.
    var isTorn: Bool
  }

  /// `functionStart`: first address of the function with unwind information that covers an address.
  public init(functionStart: @escaping (UInt64) -> UInt64?) { self.functionStart = functionStart }

  /// To be called after every change of the address space. A function that is a loop stays one while it is there.
  public func mappingsChanged() {
    loopAnswers.removeAll()
    loopFunctions = loopFunctions.filter { functionStart($0) == $0 }
  }

  /// To be called when the program was replaced.
  public func forget() {
    loopAnswers.removeAll()
    loopFunctions.removeAll()
  }

  /// Whether a native frame's code belongs to a function that is known to be an evaluation loop.
  public func isLoop(_ frame: NativeFrame) -> Bool {
    let address = frame.lookupAddress
    if let known = loopAnswers.find(address) { return known }
    let answer = functionStart(address).map { loopFunctions.contains($0) } ?? false
    loopAnswers.store(answer, for: address)
    return answer
  }

  /// The function that covers an address is an evaluation loop.
  public func learnLoop(at address: UInt64) {
    guard loopAnswers.find(address) != true, let start = functionStart(address) else { return }
    if loopFunctions.insert(start).inserted { loopAnswers.removeAll() }
    loopAnswers.store(true, for: address)
  }

  /// Merges one sample's halves into `result`.
  ///
  /// - Parameters:
  ///   - native: The unwound native stack.
  ///   - chain: The decoded Python chain.
  ///   - table: Names the frames.
  ///   - memory: The running process, for names that were not handed over; nil where it is gone.
  ///   - stack: Where the thread's stack lies.
  ///   - pinned: Functions that the stack copy itself proves, for a chain that is unverified; leaf first.
  public func join(
    _ native: AddressStack, _ chain: borrowing DecodedChain, _ table: PythonFrameTable, memory: CodeMemory?,
    stack: StackExtent, pinned: [PinnedFunction] = [], into result: inout MixedStack
  ) {
    result.reset()
    if let remark = chain.remark { result.remarks.insert(remark) }
    result.damage = chain.damage
    if chain.header.flags & PYTHON_CHAIN_EVIDENCE.rawValue != 0 { result.remarks.insert(.evidenceOnly) }
    // Of the native frames only those count that are shown.
    defer { if native.guesses > 0 { noteGuesses(native, &result) } }
    switch chain.damage {
    case .pythonUnverified: return showNative(native, .unverified, table, pinned, &result)
    case .interpreterNotYetKnown: return showNative(native, .interpreterNotYetKnown, table, [], &result)
    case .staleLayout, .threadListLimit: return showNative(native, .unprovenFrames, table, [], &result)
    default: break
    }
    resolve(chain, table, memory, &result)
    isInHole = native.frames.first.map { prologueHole.contains($0.address) } ?? false
    if isInHole {
      // The chain begins with what was on the stack before.
      result.damage = .pythonTransient
      placement.reset(count: chain.groups.count)
    } else {
      placement.place(native, chain.groups.span, stack) { self.isLoop($0) }
    }
    learnLoops(native, chain)
    merge(native, chain, &result)
  }

  private func noteGuesses(_ native: AddressStack, _ result: inout MixedStack) {
    for frame in result.frames {
      guard case .native(let index) = frame, native.frames[index].isGuessed else { continue }
      result.remarks.insert(.guessedNativeFrame)
    }
  }

  private func learnLoops(_ native: AddressStack, _ chain: borrowing DecodedChain) {
    let reliable =
      native.guesses == 0 ? native.frames.count : native.frames.firstIndex(where: \.isGuessed) ?? 0
    for group in chain.groups.indices where placement.places[group] >= 0 && placement.places[group] < reliable
    {
      if !chain.groups[group].isLent { learnLoop(at: native.frames[placement.places[group]].lookupAddress) }
    }
  }

  /// Whether a frame outside of an evaluation loop is where a switched stack begins: what lies further out are not its
  /// callers.
  private func isStackStart(_ frame: NativeFrame) -> Bool { isStackSwitcher?(frame) ?? false }

  /// Whether a frame is a guess that nothing confirms: from there outwards to the next proven frame this may be a stack
  /// that never was, and a marker stands for it.
  func isUnconfirmed(_ frame: NativeFrame, _ result: inout MixedStack) -> Bool {
    guard frame.isGuessed, !frame.isConfirmed else { return false }
    result.frames.append(.marker(.unconfirmedCallers))
    if result.damage == nil { result.damage = .unconfirmedCaller }
    return true
  }

  /// A stack whose native frames are those of the interrupt and whose Python frames are not known: a marker in the
  /// place of what each evaluation loop ran, but for the function at its top where that is pinned.
  private func showNative(
    _ native: AddressStack, _ marker: Marker, _ table: PythonFrameTable, _ pinned: [PinnedFunction],
    _ result: inout MixedStack
  ) {
    var next = 0
    for index in native.frames.indices {
      if isUnconfirmed(native.frames[index], &result) { return }
      guard isLoop(native.frames[index]) else {
        result.frames.append(.native(index))
        if result.outermostLoop != nil, isStackStart(native.frames[index]) { return }
        continue
      }
      while next < pinned.count, pinned[next].loop < index { next += 1 }
      if next < pinned.count, pinned[next].loop == index {
        let code = table.codes.index(of: pinned[next].code.key, memory: nil)
        result.frames.append(.python(table.frame(for: code, offset: pinned[next].offset)))
        result.remarks.insert(.pinnedFunctions)
      }
      result.frames.append(.marker(marker))
      result.frames.append(.evaluationLoop(index))
      result.outermostLoop = index
    }
    // No loop is known yet, or none was reached: all the same there may have been one.
    if result.outermostLoop == nil { result.frames.append(.marker(marker)) }
    if native.frames.isEmpty || native.end != .outermost { markEnd(native, &result) }
  }

  /// Fills `pythonFrames` and `groups`.
  private func resolve(
    _ chain: borrowing DecodedChain, _ table: PythonFrameTable, _ memory: CodeMemory?,
    _ result: inout MixedStack
  ) {
    pythonFrames.removeAll(keepingCapacity: true)
    groups.removeAll(keepingCapacity: true)
    for index in chain.groups.indices {
      let group = chain.groups[index]
      let start = pythonFrames.count
      var gap = -1
      var isTorn = false
      for position in group.frames {
        if position == group.gap { gap = pythonFrames.count }
        if let id = table.recentFrame(chain.frames[position], interpreter: group.interpreter) {
          pythonFrames.append(id)
          continue
        }
        switch table.answer(chain.frames[position], interpreter: group.interpreter, memory: memory) {
        case .frame(let id):
          pythonFrames.append(id)
          if let remark = table.remark(id) { result.remarks.insert(remark) }
        case .incomplete: continue
        case .torn: isTorn = true
        }
      }
      if group.gap == group.frames.upperBound { gap = pythonFrames.count }
      groups.append(ResolvedGroup(frames: start..<pythonFrames.count, gap: gap, isTorn: isTorn))
    }
  }

  /// Marks where the known native frames end, and counts it unless something else is wrong already.
  func markEnd(_ native: AddressStack, _ result: inout MixedStack) {
    if !result.isEndMarked { result.frames.append(.marker(.truncatedNativeStack)) }
    result.isEndMarked = true
    guard result.damage == nil else { return }
    result.damage = damage(of: native.end)
  }

  func damage(of end: UnwindEnd) -> DamageCause {
    switch end {
    case .outermost, .didNotAdvance: .unwindingFailed
    case .snapshotExhausted: .nativeStackTruncated
    case .noUnwindInformation: .noUnwindInformation
    case .depthLimit: .nativeDepthLimit
    }
  }
}
