// Finds the target's interpreter, when it appears and again after each exec, and decides when to look.

import NativeUnwinding
import PerfEvents
import ProcessImages
import PythonFrames

/// Looks for an interpreter until it has found one; made anew after an exec.
///
/// A program may be idle for long before it runs Python code: the longer it has been looked at in vain, the rarer the
/// looks, so that they cost next to nothing and what is missed at the start of Python code is a small part of what
/// came before. A file that is mapped is a reason to look at once.
final class InterpreterWatch {
  /// What looking has shown so far.
  enum State {
    case searching(SamplingError)
    case found(InterpreterLayout)
    /// It will not be found: no Python at all, or a version we do not read.
    case refused(SamplingError)
  }

  private let target: TargetProcess
  private let finder: InterpreterFinder
  private(set) var state: State
  private var foundAt: UInt64 = 0
  /// Found in the files, its layout not proven yet.
  private var interpreter: FoundInterpreter?
  private var began: UInt64
  private var nextLook: UInt64 = 0
  private var pause = InterpreterWatch.shortestPause

  private static let shortestPause: UInt64 = 1_000_000
  private static let longestPause: UInt64 = 100_000_000

  init(target: TargetProcess) {
    self.target = target
    began = RecordStream.clock()
    finder = InterpreterFinder(images: LiveImages(pid: target.processID), memory: target.memory)
    state = .searching(.interpreter(target.processID, .noPython(program: target.shortCommand)))
  }

  var layout: InterpreterLayout? {
    if case .found(let layout) = state { layout } else { nil }
  }

  var isSearching: Bool {
    if case .searching = state { true } else { false }
  }

  /// Whether the process maps an interpreter, whatever it does with it.
  var mapsInterpreter: Bool {
    if case .searching(.interpreter(_, .unknownVersion)) = state { return true }
    return interpreter != nil
  }

  /// Whether it is looked for so often that samples had better wait for what is found.
  var isUrgent: Bool { isSearching && pause < 10_000_000 }

  /// Milliseconds until the next look, 1 to 10.
  var wait: Int32 {
    let clock = RecordStream.clock()
    return nextLook > clock ? Int32(min(10, (nextLook - clock) / 1_000_000 + 1)) : 1
  }

  /// From now on it is to be expected: the program is being started.
  func begin() {
    began = RecordStream.clock()
    nextLook = 0
    pause = Self.shortestPause
  }

  /// A file was mapped executable; `isPython`: it has a usual name of an interpreter.
  func fileWasMapped(isPython: Bool) {
    nextLook = 0
    if isPython { begin() }
  }

  /// Looks when it is time to; true when this look found the interpreter.
  func lookIfDue() -> Bool {
    guard isSearching, RecordStream.clock() >= nextLook else { return false }
    return look()
  }

  /// Looks once; true when this look found the interpreter.
  func look() -> Bool {
    guard case .searching = state else { return false }
    let clock = RecordStream.clock()
    defer {
      // A sixteenth of the time that it takes to appear may be missed; and looking takes half of ours at most.
      let end = RecordStream.clock()
      pause = min(max((end - began) / 16, end - clock, Self.shortestPause), Self.longestPause)
      nextLook = end + pause
    }
    do throws(InterpreterProblem) {
      let wasKnown = interpreter != nil
      if !wasKnown {
        guard let mappings = try? ProcessMaps.read(target.processID), !mappings.isEmpty else { return false }
        interpreter = try finder.find(in: mappings)
      }
      guard let interpreter else { return false }
      do throws(LayoutError) {
        let layout = try InterpreterLayout(
          validating: interpreter, memory: target.memory, threads: target.ownThreads)
        state = .found(layout)
        foundAt = clock
        return true
      } catch {
        if wasKnown, !error.isTemporary {
          // It may have been unloaded since.
          self.interpreter = nil
          return false
        }
        state =
          error.isTemporary
          ? .searching(.layout(target.processID, error)) : .refused(.layout(target.processID, error))
      }
    } catch {
      let failure = SamplingError.interpreter(target.processID, error)
      state = error.mayChange ? .searching(failure) : .refused(failure)
    }
    return false
  }

  /// Ends the search.
  func refuse(_ problem: SamplingError) { state = .refused(problem) }

  /// What the recorder needs to read this interpreter's frames.
  func context() -> InterpreterContext? {
    guard let layout else { return nil }
    let hole = EvaluationPrologue.hole(of: layout, memory: target.memory)?.addresses ?? 0..<0
    return InterpreterContext(
      layout: layout, frames: PythonFrameTable(codes: CodeTable()),
      memory: CodeMemory(layout: layout, memory: target.memory), hole: hole, foundAt: foundAt)
  }
}
