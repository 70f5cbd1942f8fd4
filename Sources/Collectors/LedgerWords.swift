// What the causes of the ledger are called when people read them. All of these words are here.

import Accounting

extension DropCause {
  /// The cause in words that follow "lost because of".
  public var explanation: String {
    switch self {
    case .malformedRecord: "a malformed record"
    case .noUserRegisters: "no user registers (the thread was exiting)"
    case .notPermitted: "not permitted (the program got more rights by exec)"
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
    case .threadListLimit: "too many Python threads to search"
    case .nativeStackTruncated: "copy of the native stack too short"
    case .nativeStackReduced: "copy of the native stack reduced because the ring was nearly full"
    case .noUnwindInformation: "no unwind information"
    case .unwindingFailed: "unwinding failed"
    case .nativeDepthLimit: "more native frames than are followed"
    case .joinMismatch: "Python and native frames could not be joined"
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
    }
  }
}
