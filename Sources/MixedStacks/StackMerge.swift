// Puts both halves in one order. Each group whose boundary lies in its native loop is proven, wherever it is; a loop
// without a group has a marker in the place of what it ran. Native frames are those of the thread as far out as a proven
// boundary, and from there to the next loop that no chain knows of: there the stack was switched.

import Accounting
import NativeUnwinding
import PythonFrames

extension StackJoiner {
  func merge(_ native: AddressStack, _ chain: borrowing DecodedChain, _ result: inout MixedStack) {
    mergeGroups(native, chain, &result)
    // What contradicts itself is not shown.
    if result.damage == nil, placement.places.contains(GroupPlacement.unknown) {
      result.damage = .joinMismatch
    }
  }

  private func mergeGroups(
    _ native: AddressStack, _ chain: borrowing DecodedChain, _ result: inout MixedStack
  ) {
    strayCause = chain.groups.isEmpty ? .noThreadState : .joinMismatch
    var index = 0
    // Whether a loop that no group is placed in may be the innermost one, which has no frame yet, or none any more.
    var isInnermost = mayBeEntering(chain)
    var hasPlace = false
    var hasBeyond = false
    for group in chain.groups.indices {
      if chain.groups[group].gapHidesLoops, groups[group].gap >= 0, placement.places[group] >= 0 {
        // The loops that had no room in the record, and what called them, are missing in one piece.
        index = max(index, placement.places[group])
      }
      switch placement.places[group] {
      case GroupPlacement.elsewhere: continue
      case GroupPlacement.beyond: hasBeyond = true
      case GroupPlacement.inGap:
        appendNative(native, index..<placement.gaps[group], isInnermost: isInnermost, &result)
        index = placement.gaps[group]
        markGap(native, before: index, &result)
        appendPython(group, chain.groups[group].isBroken, &result)
        hasPlace = true
        isInnermost = false
      case GroupPlacement.unknown:
        guard isContinued(group, chain), !hasBeyond else { continue }
        // It is the next loop there is.
        let loop = native.frames[index...].firstIndex { isLoop($0) } ?? native.frames.count
        appendNative(native, index..<loop, isInnermost: isInnermost, &result)
        if loop == native.frames.count, native.end != .outermost { markEnd(native, &result) }
        index = loop
        appendPython(group, false, &result)
        hasPlace = true
        isInnermost = false
        guard chain.isCut else { continue }
        result.frames.append(.marker(.deeperPythonFrames))
        return
      case let place:
        appendNative(native, index..<place, isInnermost: isInnermost, &result)
        if native.frames[place].restartedAt != 0 { markGap(native, before: place, &result) }
        appendPython(group, chain.groups[group].isBroken, &result)
        result.frames.append(.evaluationLoop(place))
        result.outermostLoop = place
        index = place + 1
        hasPlace = true
        isInnermost = false
      }
    }
    if chain.isCut, !hasBeyond {
      result.frames.append(.marker(.deeperPythonFrames))
      return
    }
    appendRoot(
      native, chain, from: index, hasPlace: hasPlace, isInnermost: isInnermost, hasBeyond: hasBeyond, &result)
  }

  /// Whether the innermost loop may be one that is just being entered or left: nothing is there that it could have run.
  private func mayBeEntering(_ chain: borrowing DecodedChain) -> Bool {
    if isInHole { return true }
    switch chain.damage {
    case nil, .pythonDepthLimit: break
    default: if chain.groups.isEmpty { return false }
    }
    guard let first = placement.places.first else { return true }
    return first != GroupPlacement.unknown && first != GroupPlacement.elsewhere
  }

  /// Whether a group without a boundary is a true part of its chain: the record ended in it, or has a gap behind it.
  private func isContinued(_ group: Int, _ chain: borrowing DecodedChain) -> Bool {
    guard !chain.groups[group].isClosed, chain.damage == .pythonDepthLimit else { return false }
    if chain.isCut { return group == chain.groups.count - 1 }
    return group + 1 < chain.groups.count && chain.groups[group + 1].gapHidesLoops
  }

  /// What lies further out than the last loop that is proven.
  private func appendRoot(
    _ native: AddressStack, _ chain: borrowing DecodedChain, from index: Int, hasPlace: Bool,
    isInnermost: Bool, hasBeyond: Bool, _ result: inout MixedStack
  ) {
    let end = native.frames.count
    if chain.reachesRoot, hasPlace, !hasBeyond {
      let stray = strayLoop(native, from: index) ?? end
      if let isStackSwitcher,
        let start = native.frames[index..<stray].firstIndex(where: { isStackSwitcher($0) })
      {
        // A stack's own start: what called it once is gone, or runs on another stack.
        for position in index...start { result.frames.append(.native(position)) }
        return
      }
      if stray < end {
        result.frames.append(.marker(.rootNotKnown))
        if result.damage == nil { result.damage = .rootNotKnown }
        return
      }
    }
    var last = end
    if isStackSwitcher != nil, let stray = strayLoop(native, from: isInnermost ? max(index, 2) : index) {
      last = stray
    }
    if !appendNative(native, index..<last, isInnermost: isInnermost, &result) { result.isEndMarked = true }
    if last < end {
      // Of another stack, maybe.
      result.frames.append(.marker(.unprovenFrames))
      if result.damage == nil { result.damage = strayCause }
      return
    }
    if end == 0 || native.end != .outermost { markEnd(native, &result) }
    var isBeyond = false
    for group in chain.groups.indices {
      if placement.places[group] == GroupPlacement.beyond { isBeyond = true }
      guard isBeyond, placement.places[group] == GroupPlacement.beyond || isContinued(group, chain) else {
        continue
      }
      appendPython(group, chain.groups[group].isBroken, &result)
    }
    if chain.isCut { result.frames.append(.marker(.deeperPythonFrames)) }
  }

  /// The first loop from a position on that no group is placed in. Of the frame at which the known native stack ends it
  /// is not known how far it reaches.
  private func strayLoop(_ native: AddressStack, from index: Int) -> Int? {
    let end = native.end == .outermost ? native.frames.count : native.frames.count - 1
    return index < end ? native.frames[index..<end].firstIndex { isLoop($0) } : nil
  }

  /// Native frames between two proven loops, or outside of the last one. A loop that no group is placed in may only be the innermost one, which is just
  /// being entered or left, itself or in a function that it calls; what another one ran is not known.
  ///
  /// False where the rest of the range is left out because it rests on a guess.
  @discardableResult
  private func appendNative(
    _ native: AddressStack, _ range: Range<Int>, isInnermost: Bool, _ result: inout MixedStack
  ) -> Bool {
    var mayEnter = isInnermost
    for index in range {
      if isUnconfirmed(native.frames[index], &result) { return false }
      if native.frames[index].restartedAt != 0 { markGap(native, before: index, &result) }
      guard isLoop(native.frames[index]) else {
        result.frames.append(.native(index))
        continue
      }
      // Of the frame at which the known stack ends it is not known how far it reaches.
      let isOpen = native.end != .outermost && index == native.frames.count - 1
      if mayEnter, index <= 1, isEnteredOrLeft?(native.frames[index]) ?? true {
        result.remarks.insert(.enteringEvaluationLoop)
        mayEnter = false
      } else if !isOpen {
        result.frames.append(.marker(.unprovenFrames))
        if result.damage == nil { result.damage = strayCause }
        result.outermostLoop = index
      }
      result.frames.append(.evaluationLoop(index))
    }
    return true
  }

  private func markGap(_ native: AddressStack, before index: Int, _ result: inout MixedStack) {
    // Several groups may lie in one gap.
    if result.gapMarkedAt == index { return }
    result.gapMarkedAt = index
    result.frames.append(.marker(.truncatedNativeStack))
    let cause =
      result.gapsMarked < native.gapCauses.count ? native.gapCauses[result.gapsMarked] : .snapshotExhausted
    result.gapsMarked += 1
    if result.damage == nil { result.damage = damage(of: cause) }
  }

  private func appendPython(_ group: Int, _ isBroken: Bool, _ result: inout MixedStack) {
    let resolved = groups[group]
    if resolved.isTorn {
      result.frames.append(.marker(.unprovenFrames))
      if result.damage == nil { result.damage = .pythonBadCode }
      return
    }
    for position in resolved.frames {
      if position == resolved.gap { result.frames.append(.marker(.deeperPythonFrames)) }
      result.frames.append(.python(pythonFrames[position]))
    }
    if resolved.gap == resolved.frames.upperBound { result.frames.append(.marker(.deeperPythonFrames)) }
    if isBroken {
      result.frames.append(.marker(.unprovenFrames))
      if result.damage == nil { result.damage = .pythonTransient }
    }
  }
}
