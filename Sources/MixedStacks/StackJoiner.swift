// Joins both halves of one instant by address. From 3.11 on the boundary between two evaluation loops lies inside
// the native frame of its loop (3.11: the C frame record, 3.12 and later: the entry frame is a local variable of
// _PyEval_EvalFrameDefault, Python/ceval.c). So the native frame whose memory holds the boundary's address is the
// loop that runs the Python frames before it. No symbol and no count is needed. Pure.

import Accounting
import NativeUnwinding
import PythonChain
import PythonFrames

/// Joins stacks of one process. It learns which functions are evaluation loops. Not thread safe.
public final class StackJoiner {
  /// First addresses of functions that were seen to hold a boundary.
  public private(set) var loopFunctions: Set<UInt64> = []
  /// Instruction pointers at which the chain is not to be believed (3.11, 3.12); empty for none.
  public var prologueHole: Range<UInt64> = 0..<0

  /// Answers whether an address lies in an evaluation loop; a cache in front of `functionStart`.
  private let loopAnswers = AddressCache(bits: 12, filler: false)
  private let functionStart: (UInt64) -> UInt64?
  /// Per group of the chain that was joined last, its loop's position among the native frames; -1 where it has none.
  public private(set) var places: [Int] = []
  private var pythonFrames: [PythonFrameID] = []
  private var groupEnds: [Int] = []

  /// `functionStart`: first address of the function with unwind information that covers an address.
  public init(functionStart: @escaping (UInt64) -> UInt64?) { self.functionStart = functionStart }

  /// To be called after every change of the address space.
  public func mappingsChanged() {
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

  private func learnLoop(_ frame: NativeFrame) {
    guard loopAnswers.find(frame.lookupAddress) != true, let start = functionStart(frame.lookupAddress) else {
      return
    }
    if loopFunctions.insert(start).inserted { loopAnswers.removeAll() }
    loopAnswers.store(true, for: frame.lookupAddress)
  }

  /// Merges one sample's halves into `result`.
  ///
  /// - Parameters:
  ///   - native: The unwound native stack.
  ///   - chain: The decoded Python chain.
  ///   - table: Names the frames.
  ///   - memory: The running process, for names that were not handed over; nil where it is gone.
  ///   - pinned: Functions that the stack copy itself proves, for a chain that is unverified; leaf first.
  public func join(
    _ native: AddressStack, _ chain: borrowing DecodedChain, _ table: PythonFrameTable, memory: CodeMemory?,
    pinned: [PinnedFunction] = [], into result: inout MixedStack
  ) {
    result.reset()
    if native.guesses > 0 { result.remarks.insert(.guessedNativeFrame) }
    if let remark = chain.remark { result.remarks.insert(remark) }
    result.damage = chain.damage
    if chain.header.flags & PYTHON_CHAIN_EVIDENCE.rawValue != 0 { result.remarks.insert(.evidenceOnly) }
    switch chain.damage {
    case .pythonUnverified: return showUnverified(native, table, pinned, &result)
    case .interpreterNotYetKnown, .staleLayout, .threadListLimit: return showNative(native, chain, &result)
    case nil where chain.groups.isEmpty: return showNative(native, chain, &result)
    default: break
    }
    if let leaf = native.frames.first, prologueHole.contains(leaf.address) {
      result.damage = .pythonTransient
    }
    resolve(chain, table, memory, &result)
    switch result.damage {
    case nil:
      place(native, chain, &result)
    case .pythonDepthLimit:
      place(native, chain, &result)
    case .pythonTransient where chain.damage == .pythonTransient:
      place(native, chain, &result)
    default:
      places.removeAll(keepingCapacity: true)
      for _ in chain.groups.indices { places.append(-1) }
    }
    merge(native, chain, &result)
  }

  /// A stack without Python frames.
  private func showNative(_ native: AddressStack, _ chain: borrowing DecodedChain, _ result: inout MixedStack)
  {
    var loops = 0
    for index in native.frames.indices {
      if isLoop(native.frames[index]) {
        loops += 1
        result.frames.append(.evaluationLoop(index))
      } else {
        result.frames.append(.native(index))
      }
    }
    if native.frames.isEmpty || native.end != .outermost { markEnd(native, &result) }
    if result.damage == nil, loops > 1 { result.damage = .joinMismatch }
    if result.damage == nil, loops == 1 { result.remarks.insert(.enteringEvaluationLoop) }
  }

  /// A stack whose native frames are those of the interrupt and whose Python frames are not known: a marker in the
  /// place of what each evaluation loop ran, but for the function at its top where that is pinned.
  private func showUnverified(
    _ native: AddressStack, _ table: PythonFrameTable, _ pinned: [PinnedFunction],
    _ result: inout MixedStack
  ) {
    var next = 0
    for index in native.frames.indices {
      guard isLoop(native.frames[index]) else {
        result.frames.append(.native(index))
        continue
      }
      while next < pinned.count, pinned[next].loop < index { next += 1 }
      if next < pinned.count, pinned[next].loop == index {
        let code = table.codes.index(of: pinned[next].code.key, memory: nil)
        result.frames.append(.python(table.frame(for: code, offset: pinned[next].offset)))
        result.remarks.insert(.pinnedFunctions)
      }
      result.frames.append(.marker(.unverified))
      result.frames.append(.evaluationLoop(index))
      result.outermostLoop = index
    }
    // No loop is known yet, or none was reached: all the same there may have been one.
    if result.outermostLoop == nil { result.frames.append(.marker(.unverified)) }
    if native.frames.isEmpty || native.end != .outermost { markEnd(native, &result) }
  }

  /// Fills `pythonFrames` and, per group, where its frames end there.
  private func resolve(
    _ chain: borrowing DecodedChain, _ table: PythonFrameTable, _ memory: CodeMemory?,
    _ result: inout MixedStack
  ) {
    pythonFrames.removeAll(keepingCapacity: true)
    groupEnds.removeAll(keepingCapacity: true)
    for index in chain.groups.indices {
      for position in chain.groups[index].frames {
        if let id = table.recentFrame(chain.frames[position], interpreter: chain.header.interpreter) {
          pythonFrames.append(id)
          continue
        }
        switch table.answer(chain.frames[position], interpreter: chain.header.interpreter, memory: memory) {
        case .frame(let id):
          pythonFrames.append(id)
          if let remark = table.remark(id) { result.remarks.insert(remark) }
        case .incomplete: continue
        case .torn: if result.damage == nil { result.damage = .pythonBadCode }
        }
      }
      groupEnds.append(pythonFrames.count)
    }
  }

  /// Finds each group's native frame; -1 where it has none. Boundaries must lie further and further out.
  private func place(_ native: AddressStack, _ chain: borrowing DecodedChain, _ result: inout MixedStack) {
    places.removeAll(keepingCapacity: true)
    var from = 0
    for index in chain.groups.indices {
      let group = chain.groups[index]
      guard group.isClosed, let place = Self.frame(holding: group.boundary, native, from) else {
        places.append(-1)
        continue
      }
      if group.cFrame != 0, group.cFrame != group.boundary,
        Self.frame(holding: group.cFrame, native, from) != place
      {
        places.append(-1)
        continue
      }
      places.append(place)
      from = place + 1
    }
  }

  /// The native frame, at or outside of position `from`, whose memory holds an address: from where the next inner
  /// frame's caller continues up to its own canonical frame address.
  private static func frame(holding address: UInt64, _ native: AddressStack, _ from: Int) -> Int? {
    var index = from
    while index < native.frames.count {
      if address < native.frames[index].canonicalFrameAddress {
        let low = index == 0 ? 0 : native.frames[index - 1].canonicalFrameAddress
        return address >= low ? index : nil
      }
      index += 1
    }
    return nil
  }

  /// Puts the frames in order, as far as they are proven.
  private func merge(_ native: AddressStack, _ chain: borrowing DecodedChain, _ result: inout MixedStack) {
    let groups = chain.groups.count
    // The outermost groups that all have their place: what is proven from the root.
    var proven = groups
    while proven > 0, places[proven - 1] >= 0 { proven -= 1 }
    if result.damage == nil || result.damage == .pythonDepthLimit || native.end != .outermost {
      // Placed from the leaf outwards: the native stack or the record ended before the root.
      var inner = 0
      while inner < groups, places[inner] >= 0 { inner += 1 }
      let isCut = result.damage == .pythonDepthLimit
      if inner == groups, let loop = outermostStrayLoop(native, isCut: isCut) {
        // A loop outside of the innermost one whose Python frames are missing: nothing inside of it is proven.
        proven = places.firstIndex { $0 > loop } ?? groups
      } else if inner == groups {
        if result.damage == nil || isCut { return mergeFromLeaf(native, chain, groups, &result) }
      } else if isCut && inner == groups - 1 && !chain.groups[inner].isClosed {
        if let loop = outermostStrayLoop(native, isCut: true) {
          proven = places.firstIndex { $0 > loop } ?? groups
        } else {
          return mergeFromLeaf(native, chain, inner, &result)
        }
      } else if result.damage == nil || isCut, native.end != .outermost, isBeyond(native, chain, from: inner)
      {
        return mergeFromLeaf(native, chain, inner, &result)
      }
    }
    if result.damage == nil { result.damage = .joinMismatch }
    if chain.damage == .pythonTransient, proven < groups, chain.groups[proven].isBroken { proven += 1 }
    mergeFromRoot(native, chain, proven, &result)
  }

  /// The outermost evaluation loop that no boundary was found for and that is not just being entered or left: only
  /// the innermost loop can be, and it does so itself or in a function that it calls. `isCut`: the record ended at its
  /// depth limit, so that the loops outside of the last boundary are not known.
  private func outermostStrayLoop(_ native: AddressStack, isCut: Bool) -> Int? {
    var stray: Int?
    var innermost: Int?
    var group = 0
    for index in native.frames.indices {
      if group < places.count, places[group] == index {
        group += 1
      } else if isCut, group == places.count || places[group] < 0 {
        break
      } else if isLoop(native.frames[index]) {
        if group == 0 && innermost == nil && index <= 1 { innermost = index } else { stray = index }
      }
    }
    return stray
  }

  /// Whether all boundaries from a group on lie outside of the native frames that are known.
  private func isBeyond(_ native: AddressStack, _ chain: borrowing DecodedChain, from group: Int) -> Bool {
    guard let last = native.frames.last else { return true }
    for index in group..<chain.groups.count where chain.groups[index].isClosed {
      if chain.groups[index].boundary < last.canonicalFrameAddress { return false }
    }
    return true
  }

  /// All groups below `count` are placed; those from `count` on lie beyond the end of the native stack.
  private func mergeFromLeaf(
    _ native: AddressStack, _ chain: borrowing DecodedChain, _ count: Int, _ result: inout MixedStack
  ) {
    var index = 0
    for group in 0..<count {
      appendNative(native, index..<places[group], isInnermost: group == 0, &result)
      appendPython(group, &result)
      result.frames.append(.evaluationLoop(places[group]))
      learnLoop(native.frames[places[group]])
      result.outermostLoop = places[group]
      index = places[group] + 1
    }
    if result.damage == .pythonDepthLimit, native.end == .outermost {
      return appendCut(native, from: index, count, groups: chain.groups.count, &result)
    }
    appendNative(native, index..<native.frames.count, isInnermost: count == 0, &result)
    if native.end != .outermost { markEnd(native, &result) }
    for group in count..<chain.groups.count { appendPython(group, &result) }
    if result.damage == .pythonDepthLimit { result.frames.append(.marker(.deeperPythonFrames)) }
  }

  /// Where the record reached its depth limit: what it still has of a loop whose end it does not have, and the marker.
  private func appendCut(
    _ native: AddressStack, from index: Int, _ group: Int, groups: Int, _ result: inout MixedStack
  ) {
    if group < groups {
      // It is the next loop there is.
      let next = native.frames[index...].firstIndex(where: { isLoop($0) }) ?? index
      for position in index..<next { result.frames.append(.native(position)) }
      appendPython(group, &result)
    }
    result.frames.append(.marker(.deeperPythonFrames))
  }

  /// Shows what is proven from the root: groups from `proven` on, then one marker at the leaf's side.
  private func mergeFromRoot(
    _ native: AddressStack, _ chain: borrowing DecodedChain, _ proven: Int, _ result: inout MixedStack
  ) {
    result.frames.append(.marker(.unprovenFrames))
    var index = native.frames.count
    if proven < chain.groups.count {
      index = places[proven]
      for group in proven..<chain.groups.count {
        let place = places[group]
        if place < 0 { return appendCut(native, from: index, group, groups: chain.groups.count, &result) }
        for position in index..<place { result.frames.append(.native(position)) }
        appendPython(group, &result)
        result.frames.append(.evaluationLoop(place))
        learnLoop(native.frames[place])
        result.outermostLoop = place
        index = place + 1
      }
    } else if let loop = native.frames.lastIndex(where: { isLoop($0) }) {
      index = loop + 1
    }
    guard native.end == .outermost else { return }
    for position in index..<native.frames.count { result.frames.append(.native(position)) }
  }

  /// Native frames between two loops. A loop without a boundary may only be the innermost one, which is just being
  /// entered or left.
  private func appendNative(
    _ native: AddressStack, _ range: Range<Int>, isInnermost: Bool, _ result: inout MixedStack
  ) {
    var loops = 0
    for index in range {
      if isLoop(native.frames[index]) {
        // Of the frame at which the stack copy ended it is not known how far it reaches.
        let isOpen = native.end != .outermost && index == native.frames.count - 1
        if !isOpen { loops += 1 }
        result.frames.append(.evaluationLoop(index))
      } else {
        result.frames.append(.native(index))
      }
    }
    guard loops > 0 else { return }
    if isInnermost && loops == 1 {
      result.remarks.insert(.enteringEvaluationLoop)
    } else if result.damage == nil {
      result.damage = .joinMismatch
    }
  }

  private func appendPython(_ group: Int, _ result: inout MixedStack) {
    let start = group == 0 ? 0 : groupEnds[group - 1]
    for position in start..<groupEnds[group] { result.frames.append(.python(pythonFrames[position])) }
  }

  private func markEnd(_ native: AddressStack, _ result: inout MixedStack) {
    result.frames.append(.marker(.truncatedNativeStack))
    guard result.damage == nil else { return }
    result.damage =
      switch native.end {
      case .outermost, .didNotAdvance: .unwindingFailed
      case .snapshotExhausted: .nativeStackTruncated
      case .noUnwindInformation: .noUnwindInformation
      case .depthLimit: .nativeDepthLimit
      }
  }
}
