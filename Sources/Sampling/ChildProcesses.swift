// The processes that the target started, which are not sampled: how many, how much CPU time they used, which run Python.

import Glibc
import ProcessImages

/// What is known about the descendants of one process. What a process and those it waited for used reaches its parent
/// when that waits for it (times(2)); of those that live it is asked at the end.
struct ChildProcesses {
  private struct Child {
    /// With the id an identity.
    let startTime: UInt64
    /// Clock ticks of CPU time that it and those it had waited for had used when it was first seen.
    let usedBefore: UInt64
    var isPython = false
  }

  /// Processes that are remembered, and that are looked at in one look.
  private static let remembered = 4096
  private static let perLook = 32

  private let target: Int32
  private let targetFacts: ProcessFacts
  /// The target's program, when it was last seen.
  private var program: String?
  private var known: [Int32: Child] = [:]
  /// Of these, those in which no interpreter has been seen.
  private var unclear: [Int32] = []
  private var waitedBefore: UInt64 = 0
  private var waited: UInt64 = 0
  private var lastScan: UInt64 = 0
  /// Processes that were there at the start or were created since, as far as they were seen.
  private(set) var count: UInt64 = 0
  /// Of these, those that had a Python interpreter mapped when they were looked at.
  private(set) var pythonCount: UInt64 = 0

  /// Those that are there now have used CPU time that is not counted.
  init(of target: TargetProcess) {
    self.target = target.processID
    targetFacts = target.facts
    waitedBefore = (try? targetFacts.waitedTime()) ?? 0
    waited = waitedBefore
    for child in descendants() { add(child, usedBefore: Self.used(child)) }
  }

  /// Remembers processes that the target has just created.
  mutating func began(_ children: [Int32]) {
    for child in children {
      if let before = known[child]?.startTime, before == Self.startTime(child) ?? before { continue }
      add(child, usedBefore: 0)
    }
  }

  private mutating func add(_ child: Int32, usedBefore: UInt64) {
    count += 1
    guard known.count < Self.remembered, let start = Self.startTime(child) else { return }
    known[child] = Child(startTime: start, usedBefore: usedBefore)
    unclear.append(child)
  }

  /// Looks for interpreters in those that have none yet, and for processes that were created by others than the target.
  /// `clock`: now, in nanoseconds; `knowsPython`: the target runs an interpreter.
  mutating func look(_ clock: UInt64, knowsPython: Bool) {
    if let now = try? targetFacts.waitedTime() { waited = max(waited, now) }
    guard count > 0 else { return }
    if knowsPython, let now = targetFacts.program() { program = now }
    if clock &- lastScan > 1_000_000_000 {
      lastScan = clock
      for child in descendants() where known[child] == nil { add(child, usedBefore: 0) }
    }
    let looked = unclear.prefix(Self.perLook)
    unclear.removeFirst(looked.count)
    for child in looked {
      guard let start = known[child]?.startTime, Self.startTime(child) == start else {
        known[child] = nil
        continue
      }
      if runsPython(child, knowsPython) {
        known[child]?.isPython = true
        pythonCount += 1
      } else {
        unclear.append(child)
      }
    }
  }

  /// Clock ticks that they used; those that run Python and live.
  mutating func finish(_ clock: UInt64, knowsPython: Bool) -> (ticks: UInt64, alive: [Int32]) {
    lastScan = 0
    look(clock, knowsPython: knowsPython)
    var ticks = waited - waitedBefore
    var alive: [Int32] = []
    for (process, child) in known where Self.startTime(process) == child.startTime {
      let used = Self.used(process)
      ticks += used - min(used, child.usedBefore)
      if child.isPython, !ProcessEnd(of: process).hasCome { alive.append(process) }
    }
    return (ticks, alive.sorted())
  }

  private static func startTime(_ process: Int32) -> UInt64? { try? ProcessFacts(pid: process).startTime() }

  /// By itself and by those it waited for, in clock ticks.
  private static func used(_ process: Int32) -> UInt64 {
    let facts = ProcessFacts(pid: process)
    return ((try? facts.ownTime()) ?? 0) + ((try? facts.waitedTime()) ?? 0)
  }

  /// An interpreter by its usual names, or the program of the target, if that is one.
  private func runsPython(_ process: Int32, _ knowsPython: Bool) -> Bool {
    let facts = ProcessFacts(pid: process)
    if knowsPython, let program, facts.program() == program { return true }
    return ((try? ProcessMaps.read(process)) ?? []).contains { mapping in
      let name = mapping.path.split(separator: "/").last ?? ""
      return mapping.isExecutable && (name.hasPrefix("python") || name.hasPrefix("libpython"))
    }
  }

  /// Processes below the target and below those that are known: a parent may have ended.
  private func descendants() -> [Int32] {
    var children: [Int32: [Int32]] = [:]
    for process in ProcessFacts.processes() {
      guard let parent = try? ProcessFacts(pid: process).parent() else { continue }
      children[parent, default: []].append(process)
    }
    var found: [Int32] = []
    var seen: Set<Int32> = [target]
    var pending = [target] + known.keys
    while let parent = pending.popLast() {
      for child in children[parent] ?? [] where seen.insert(child).inserted {
        found.append(child)
        pending.append(child)
      }
    }
    return found
  }
}
