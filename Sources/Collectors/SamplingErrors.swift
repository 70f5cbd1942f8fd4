// What is said of time that is not in the profile: of child processes, and where interrupts contradict the target's CPU
// time.

import Accounting

extension SamplingSummary {
  /// A line about threads that ended, or that sampling ended for, in the period of their event's that they had begun,
  /// where that is more than a twentieth of all; empty elsewhere.
  var shortThreadsText: String {
    let events = ledger.threadsLived * ledger.eventsPerThread
    let unfinished = min(UInt64(clamping: ledger.missing), events)
    guard ledger.threadsLived > 1, unfinished > 20, unfinished * 20 > ledger.askedFor else { return "" }
    return
      "Short threads: \(grouped(unfinished)) of \(counted(ledger.askedFor, "period")) were begun and not finished "
      + "in \(counted(ledger.threadsLived, "thread")), and are not in the profile; "
      + (isUnassisted
        ? "that needs eBPF: with it CPUs are sampled instead" : "--per-cpu samples CPUs instead") + "\n"
  }

  /// A line about the target's child processes, which are not sampled; empty where they used no CPU time worth a tick.
  var childrenText: String {
    guard ledger.childCPU > 0 || !livingPythonChildren.isEmpty else { return "" }
    var text = "Children: "
    text += ledger.children == 1 ? "1 process" : "\(grouped(ledger.children)) processes"
    if ledger.pythonChildren > 0 { text += " (\(grouped(ledger.pythonChildren)) seen with Python)" }
    text += " used \(cpu(ledger.childCPU)) of CPU time and"
    text += ledger.children == 1 ? " was not sampled; " : " were not sampled; "
    guard let first = livingPythonChildren.first else {
      return text + "caduceus attach PID samples one while it runs\n"
    }
    let others = livingPythonChildren.dropFirst().prefix(4).map { ", \($0)" }.joined()
    let more = livingPythonChildren.count > 5 ? " ..." : ""
    return text + "still there: caduceus attach \(first)\(others)\(more)\n"
  }

  /// A line for each contradiction; empty for every run that can be believed.
  var rateErrorText: String {
    ledger.rateErrors.map { error in
      if case .tooMany = error { return "SAMPLING ERROR: \(error.explanation)\n" }
      return "SAMPLING ERROR: \(error.explanation)\(reason)\n"
    }.joined()
  }

  /// What may have kept interrupts from coming, where that is known.
  private var reason: String {
    if ledger.throttled > ledger.askedFor / 50 {
      return ": the kernel held sampling back (kernel.perf_event_max_sample_rate)"
    }
    return ledger.period < 50_000 ? ": the interval may be too short for this machine" : ""
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
