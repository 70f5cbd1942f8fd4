// With or without eBPF: what the kernel and our rights allow, and why it is not more.

import Glibc
import PerfEvents

enum CaptureChoice {
  /// Throws where neither way is allowed, before anything else is done. `process`: an existing one that is to be
  /// sampled.
  static func check(_ options: SamplingOptions, process: Int32?) throws(SamplingError) {
    try InvokingUser.check()
    try Rights.checkPlace()
    guard options.withoutBPF == nil else { return try checkPerf(nil) }
    do throws(SamplingError) {
      try Rights.check()
    } catch {
      // An event per CPU sees every process: that needs the same rights. And so does a process that is not ours.
      if options.perCPU || process.map(Rights.isHidden) ?? false { throw error }
      try checkPerf(error)
    }
  }

  /// Throws where not even an event of our own may be opened. `otherwise`: what to say then.
  private static func checkPerf(_ otherwise: SamplingError?) throws(SamplingError) {
    do throws(PerfEventsError) {
      try UnassistedCapture.checkRights()
    } catch {
      throw otherwise ?? Rights.explain(error)
    }
  }

  /// Opens what is allowed, with eBPF first; with it the reason why it is without.
  static func open(_ target: TargetProcess, _ options: SamplingOptions) throws(SamplingError) -> (
    Capture, String?
  ) {
    var reason = options.withoutBPF
    if reason == nil {
      do throws(SamplingError) {
        try Rights.check()
      } catch {
        reason = short(error)
      }
    }
    if reason == nil {
      do throws(PerfEventsError) {
        return (.program(try ProgramCapture.open(target, options)), nil)
      } catch {
        if options.perCPU || error == .noSuchProcess { throw Rights.explain(error) }
        reason = short(Rights.explain(error))
      }
    }
    do throws(PerfEventsError) {
      return (.unassisted(try UnassistedCapture(UnassistedConfiguration(target, options))), reason)
    } catch {
      throw Rights.explain(error)
    }
  }

  /// A reason without the advice that follows it: there is another way now.
  private static func short(_ error: SamplingError) -> String {
    let text = error.description
    return text.split(separator: ";").first.map(String.init) ?? text
  }
}

extension UnassistedConfiguration {
  init(_ target: TargetProcess, _ options: SamplingOptions) {
    self.init(target: target.processID, period: options.period, ringBytes: options.chosenRingBytes)
    mainThreadOnly = options.mainThreadOnly
    stackBytes = options.stackBytes
  }
}
