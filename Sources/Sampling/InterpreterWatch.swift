// Finds the target's interpreter, when it appears and again after each exec.

import NativeUnwinding
import PerfEvents
import ProcessImages
import PythonFrames

/// Looks for an interpreter until it has found one; made anew after an exec.
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

  init(target: TargetProcess) {
    self.target = target
    finder = InterpreterFinder(images: LiveImages(pid: target.processID), memory: target.memory)
    state = .searching(.interpreter(target.processID, .noPython(program: target.shortCommand)))
  }

  var layout: InterpreterLayout? {
    if case .found(let layout) = state { layout } else { nil }
  }

  /// Looks once; true when this look found the interpreter.
  func look() -> Bool {
    guard case .searching = state else { return false }
    let clock = RecordStream.clock()
    guard let mappings = try? ProcessMaps.read(target.processID), !mappings.isEmpty else { return false }
    do throws(InterpreterProblem) {
      let interpreter = try finder.find(in: mappings)
      do throws(LayoutError) {
        let layout = try InterpreterLayout(
          validating: interpreter, memory: target.memory, threads: target.ownThreads)
        state = .found(layout)
        foundAt = clock
        return true
      } catch {
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
