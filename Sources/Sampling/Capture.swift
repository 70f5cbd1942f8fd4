// How samples are taken: by the eBPF program in the interrupt, or, where that is not allowed, from perf samples alone.

import Accounting
import PerfEvents
import PythonChain
import PythonFrames

/// The eBPF program with its rings and its events.
struct ProgramCapture {
  let program: SamplingProgram
  let stream: RecordStream
  let events: ClockEvents

  /// Loads the program and opens everything but the target's own events.
  static func open(_ target: TargetProcess, _ options: SamplingOptions) throws(PerfEventsError) -> Self {
    var configuration = ProgramConfiguration(
      processID: target.ownProcessID, namespaceDevice: target.namespace.device,
      namespaceInode: target.namespace.inode)
    configuration.mainThreadOnly = options.mainThreadOnly
    configuration.stackBytes = ProgramConfiguration.stackClasses(largest: options.stackBytes)
    let program = try SamplingProgram(configuration)
    let stream = try RecordStream.largest(
      program: program, ringBytes: options.chosenRingBytes, target: target.processID)
    let events = ClockEvents(
      program: program, period: options.period, mainThreadOnly: options.mainThreadOnly)
    // Where the kernel attaches no program to events that is known only from trying: now, while there is another way.
    _ = try ClockEvents(program: program, period: options.period, mainThreadOnly: true).open(thread: 0)
    return Self(program: program, stream: stream, events: events)
  }
}

/// One of the two ways, with what the sampler asks of either.
enum Capture {
  case program(ProgramCapture)
  case unassisted(UnassistedCapture)

  // MARK: Events

  /// Opens the events of one thread of the target.
  func open(thread: Int32, of target: TargetProcess, onExec: Bool = false) throws(PerfEventsError)
    -> ClockEvents.Opening
  {
    switch self {
    case .program(let own): return try own.events.open(thread: thread, onExec: onExec)
    case .unassisted(let capture):
      guard let own = target.own(thread: thread) else { return .vanished }
      return try capture.open(thread: thread, own: own, onExec: onExec)
    }
  }

  /// Opens events until no thread is found that has none: threads that are created meanwhile inherit one, or are found
  /// by the next look. False where there is no thread.
  func openThreads(of target: TargetProcess, mainThreadOnly: Bool) throws(PerfEventsError) -> Bool {
    if mainThreadOnly { return try open(thread: target.processID, of: target) != .vanished }
    var known: Set<Int32> = []
    for look in 0..<8 {
      let fresh = target.threads.filter { known.insert($0).inserted }
      if fresh.isEmpty { break }
      for thread in fresh {
        switch self {
        case .unassisted(let capture) where look > 0:
          // Its creator may have had events already: a second event would sample it twice. If it has none, the audit
          // finds it.
          if let own = target.own(thread: thread) { try capture.watch(thread: thread, own: own) }
        default: _ = try open(thread: thread, of: target)
        }
      }
    }
    return !known.isEmpty
  }

  func enable() {
    switch self {
    case .program(let own): own.events.enable()
    case .unassisted(let capture): capture.enable()
    }
  }

  /// The same where the target's exec enables the events.
  func leaveToExec() {
    switch self {
    case .program(let own): own.events.leaveToExec()
    case .unassisted(let capture): capture.leaveToExec()
    }
  }

  /// No interrupt happens after this returns.
  func disable() {
    switch self {
    case .program(let own): own.events.disable()
    case .unassisted(let capture): capture.disable()
    }
  }

  /// Whether sampling is done by events of the CPUs, filtered by process.
  var samplesPerCPU: Bool {
    if case .program(let own) = self { own.events.samplesPerCPU } else { false }
  }

  /// What the events counted.
  var count: EventCount {
    switch self {
    case .program(let own): own.events.count
    case .unassisted(let capture): capture.count
    }
  }

  // MARK: Layouts

  func use(layout: python_layout) -> UInt32? {
    switch self {
    case .program(let own): own.program.use(layout: layout)
    case .unassisted(let capture): capture.use(layout: layout)
    }
  }

  func forgetLayout() {
    switch self {
    case .program(let own): own.program.forgetLayout()
    case .unassisted(let capture): capture.forgetLayout()
    }
  }

  // MARK: Records

  func wait(milliseconds: Int32, also descriptor: Int32) {
    switch self {
    case .program(let own): own.stream.wait(milliseconds: milliseconds, also: descriptor)
    case .unassisted(let capture): capture.wait(milliseconds: milliseconds, also: descriptor)
    }
  }

  /// What is to be done before the records of a round are looked at.
  func prepare(_ target: TargetProcess) {
    if case .unassisted(let capture) = self { capture.takeNotices { target.own(thread: $0) } }
  }

  func deliver(to recorder: inout StackRecorder, draining: Bool = false) {
    switch self {
    case .program(let own): own.stream.deliver(to: &recorder, draining: draining)
    case .unassisted(let capture): capture.deliver(to: &recorder, draining: draining)
    }
  }

  var deliveredUpTo: UInt64 {
    switch self {
    case .program(let own): own.stream.deliveredUpTo
    case .unassisted(let capture): capture.deliveredUpTo
    }
  }

  /// Bytes of all rings.
  var ringBytes: Int {
    switch self {
    case .program(let own): own.stream.ringBytes * own.stream.cpuCount
    case .unassisted(let capture): (capture.ringBytes + capture.kernelRingBytes) * capture.cpuCount
    }
  }

  /// Bytes of one CPU's ring where they are fewer than were asked for, because no more memory may be locked; else nil.
  func smallerRing(than asked: Int) -> Int? {
    if case .program(let own) = self, own.stream.ringBytes < asked { own.stream.ringBytes } else { nil }
  }

  // MARK: Accounting

  /// How it is done without eBPF: which step of those that there are; nil with it.
  var method: String? {
    guard case .unassisted(let capture) = self else { return nil }
    return UnassistedStep(capture).text
  }

  /// Whether time in the kernel is not sampled, because the user may not see it.
  var leavesOutKernel: Bool {
    if case .unassisted(let capture) = self { capture.userOnly } else { false }
  }

  /// Events of one thread: each leaves a period unfinished, and takes a period of its own before it interrupts.
  var eventsPerThread: Int {
    if case .unassisted(let capture) = self { capture.cpuCount } else { 1 }
  }

  /// Forgets the threads that are no more. `alive`: looks for those that are.
  func forgetThreads(notIn alive: () -> [Int32]) {
    if case .unassisted(let capture) = self { capture.forgetThreads(notIn: alive) }
  }

  /// Interrupts of the target, whatever became of them.
  var interrupts: UInt64 {
    switch self {
    case .program(let own):
      let counts = own.program.counts
      return counts.runs - counts.filtered
    case .unassisted(let capture):
      let counts = capture.counts
      return counts.samples - counts.filtered + capture.count.lost
    }
  }

  /// Those by events of the CPUs.
  var interruptsByCPUs: UInt64 {
    guard case .program(let own) = self, let before = own.events.runsOfThreads else { return 0 }
    return interrupts &- (before.runs - before.filtered)
  }

  /// Samples that were taken and could not be handed on.
  var lostSamples: UInt64 {
    switch self {
    case .program(let own): own.program.counts.ringFull + own.program.counts.outputErrors
    case .unassisted(let capture): capture.counts.lostSamples + capture.count.lost
    }
  }

  /// Fills in what was counted before the records were read.
  func fill(_ ledger: inout Ledger) {
    switch self {
    case .program(let own):
      ledger.take(own.program.counts, lost: own.stream.lost)
      ledger.lateRecords = own.stream.lateRecords
    case .unassisted(let capture):
      // The clock events are the program: what they wrote the readers met, and what they could not write the kernel
      // counted.
      let counts = capture.counts
      let lost = capture.lost
      ledger.runs = counts.samples + lost.samples
      ledger.filtered = counts.filtered
      ledger.emitted = counts.samples - counts.filtered - counts.lostSamples
      ledger.ringFull = lost.samples + counts.lostSamples
      ledger.ringFullAttempts = lost.samples
      ledger.kernelLostSamples = lost.samples
      ledger.kernelLostSideband = lost.sideband + counts.lostSideband
      // The ring to us is not the kernel's: there is one count of what had no room in it.
      ledger.nameAttemptsLost = counts.lostNames
      ledger.kernelLostNames = counts.lostNames
      ledger.eventsPerThread = UInt64(capture.cpuCount)
      ledger.lateRecords = capture.lateRecords
      ledger.unverified = counts.refusals
    }
  }
}
