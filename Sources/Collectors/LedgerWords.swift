// What the causes of the ledger are called when people read them. All of these words are here.

import Accounting

extension DropCause {
  /// The cause in words that follow "lost because of".
  public var explanation: String {
    switch self {
    case .malformedRecord: "a malformed record"
    case .noUserRegisters: "no user registers (the thread was exiting)"
    case .notPermitted: "not permitted (more rights by exec, or the permission could not be proven)"
    case .pythonUnverified: "unverified Python frames (--strict)"
    }
  }
}

extension DamageCause {
  /// What went wrong, in words that stand for themselves.
  public var explanation: String {
    switch self {
    case .interpreterNotYetKnown: "interpreter not yet known"
    case .staleLayout: "program replaced by exec"
    case .pythonReadFault: "interpreter memory not readable in the interrupt"
    case .pythonBadCode: "code pointer without a code object"
    case .pythonDepthLimit: "more Python frames than a record holds"
    case .pythonTransient: "Python frame chain in the middle of a change"
    case .pythonUnverified: "Python frames unverified: the thread may have run on before they were read"
    case .threadListLimit: "too many Python threads to search"
    case .nativeStackTruncated: "copy of the native stack too short"
    case .nativeStackReduced: "copy of the native stack reduced because the ring was nearly full"
    case .noUnwindInformation: "no unwind information"
    case .unwindingFailed: "unwinding failed"
    case .nativeDepthLimit: "more native frames than are followed"
    case .joinMismatch: "Python and native frames could not be joined"
    case .noThreadState: "evaluation loop without a thread state that was found"
    case .rootNotKnown: "stack switched (greenlet, fiber): its root is not known"
    case .fileGone: "library gone before it could be read"
    case .tooManyOpenFiles: "too many libraries open to read another"
    case .unconfirmedCaller: "callers of code without unwind information not confirmed"
    }
  }
}

extension UnverifiedCause {
  /// What happened, in words that stand for themselves.
  public var explanation: String {
    switch self {
    case .notWatched: "the thread was not watched yet"
    case .running: "the thread may have been running"
    case .switchedAgain: "the thread ran again before it left its CPU"
    case .registersDiffer: "the thread ran on before it left its CPU"
    case .historyBroken: "a record of a switch was missing"
    case .switchedMeanwhile: "the thread came back to a CPU while it was read"
    case .leftTooLate: "the thread left its CPU too long after the interrupt"
    case .stackUnreadable: "the thread's stack could not be read"
    case .stackDiffers: "the thread's stack had changed"
    }
  }
}

extension Remark {
  /// What is doubtful, in words that stand for themselves.
  public var explanation: String {
    switch self {
    case .guessedNativeFrame: "with a native frame that is a guess"
    case .namelessPythonFrame: "with a Python frame whose name was gone"
    case .firstLineOnly: "with a Python line number that is the function's first line"
    case .enteringEvaluationLoop: "taken while an evaluation loop was entered or left"
    case .nonPythonThread: "of threads that do not run Python"
    case .evidenceOnly: "whose Python frames rest on evidence, not on proof"
    case .pinnedFunctions:
      "with no Python functions but those that had called native code, by the copied stack itself"
    }
  }
}
