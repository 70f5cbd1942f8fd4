// What is said of a run whose interrupts contradict the target's CPU time.

import Accounting

extension SamplingSummary {
  /// A line for each contradiction; empty for every run that can be believed.
  var rateErrorText: String {
    ledger.rateErrors.map { "SAMPLING ERROR: \($0.explanation)\n" }.joined()
  }
}

extension Ledger.RateError {
  /// What happened, and what it means for the profile.
  var explanation: String {
    switch self {
    case .tooFew(let came, let asked):
      "of \(counted(asked, "interrupt")) that the target's CPU time asks for \(grouped(came)) came "
        + "(\(share(came, of: asked))); the time of the others is not in the profile"
    case .blind(let nanoseconds):
      "hardly any interrupt came during \(cpu(nanoseconds)) of the target's CPU time, "
        + "which is not in the profile"
    case .tooMany(let came, let asked):
      "\(counted(came, "interrupt")) came where the target's CPU time asks for \(grouped(asked)): "
        + "some of its time was sampled more than once"
    }
  }
}
