// Which native frames a reader of a mixed stack does not want to see. That is a question of names, which are known when
// sampling is over: until then stacks carry a mark where it will have to be asked.

import Profiles

/// The marks in the stacks of a profile, which frames they concern, and the end of both.
struct HiddenFrames {
  /// In a stack with Python code: frames that only carry calls are to be hidden.
  let plumbing: FrameID
  /// The same, and from here outward the way from the process's entry to the first Python frame is, too.
  let startUp: FrameID
  /// What a stack shows that has nothing left.
  let nothing: FrameID

  /// Puts the marks into the profile's table.
  init(_ profile: inout Profile, nothing: FrameID) {
    let mark = Frame(kind: .marker, name: .empty, file: .empty, line: 0)
    plumbing = profile.addProvisional(frame: mark)
    startUp = profile.addProvisional(frame: mark)
    self.nothing = nothing
  }

  /// Gives the frames of `profile` their final form and takes out what the marks hide. `roles` by position.
  func apply(to profile: inout Profile, _ final: [Frame?], _ roles: [FrameRole]) -> [FrameID?] {
    var final = final
    let kinds = final.map { $0?.kind }
    for mark in [plumbing, startUp] { final[Int(mark.index)] = nil }
    var emptied: UInt64 = 0
    let ids = profile.resolve(final) { stack, count in
      guard let mark = stack.lastIndex(where: { $0 == plumbing || $0 == startUp }) else { return }
      if stack[mark] == startUp { hideStartUp(&stack, outside: mark, kinds, roles) }
      stack.removeAll {
        $0 == plumbing || $0 == startUp || roles[Int($0.index)] == .callPlumbing
      }
      guard !stack.contains(where: { kinds[Int($0.index)] != .marker }) else { return }
      if stack.isEmpty { stack.append(nothing) }
      emptied += count
    }
    profile.ledger.empty += emptied
    return ids
  }

  /// A program that embeds the interpreter keeps its own frames, and what led from them to the interpreter.
  private func hideStartUp(
    _ stack: inout [FrameID], outside mark: Int, _ kinds: [FrameKind?], _ roles: [FrameRole]
  ) {
    var index = stack.count - 1
    while index > mark {
      let frame = Int(stack[index].index)
      if kinds[frame] == .native {
        if roles[frame] == .ordinary { return }
        stack.remove(at: index)
      }
      index -= 1
    }
  }
}
