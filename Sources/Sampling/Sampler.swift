// The sampler: sets capture up, owns the loop and the clock, and ends with a profile.

import Accounting
import Glibc
import MixedStacks
import NativeUnwinding
import PerfEvents
import ProcessImages
import Profiles
import PythonFrames

/// One sampling run of one process.
public final class Sampler {
  /// The process.
  public let target: TargetProcess
  private let options: SamplingOptions
  private let capture: Capture
  /// Why it samples without eBPF; nil: it does not.
  private let reason: String?
  private var recorder: StackRecorder
  private var watch: InterpreterWatch
  private let isHeld: Bool
  private var image: ProgramImage?

  private var startClock: UInt64 = 0
  private var endClock: UInt64 = 0
  private var startTime: UInt64 = 0
  private var startCPU: UInt64 = 0
  private var startMainCPU: UInt64 = 0
  private var startKernelCPU: UInt64 = 0
  private var lastKernelCPU: UInt64 = 0
  private var lastCPU: UInt64 = 0
  private var lastMainCPU: UInt64 = 0
  private var duplicatesSeen: UInt64 = 0
  private var lastReading: UInt64 = 0
  private var startElsewhere: UInt64 = 0
  private var interruptWatch: InterruptWatch?
  private var children: ChildProcesses
  private var lastLookAtChildren: UInt64 = 0
  /// Threads whose events each may have left a period unfinished.
  private var threadsLived: UInt64 = 0
  private var lastAudit: UInt64 = 0
  private var lastDelivery: UInt64 = 0
  private var lastFile: UInt64 = 0
  private var audit: ThreadAudit

  /// True once the target is gone.
  public private(set) var hasEnded = false
  /// The interpreter's release, once it is known.
  public private(set) var interpreter = ""
  /// Why the interpreter is not known, when it is not.
  public var interpreterProblem: SamplingError? {
    switch watch.state {
    case .searching(let error), .refused(let error): error
    case .found: nil
    }
  }

  /// Prepares sampling of a running process, or (`held`) of a child that has not executed its program yet.
  public init(target: TargetProcess, options: SamplingOptions, held: Bool = false) throws(SamplingError) {
    self.target = target
    self.options = options
    isHeld = held
    Rights.raiseFileLimit()
    Rights.raisePriority()
    watch = InterpreterWatch(target: target)
    if !held { _ = try Self.find(watch, target) }
    (capture, reason) = try CaptureChoice.open(target, options)
    children = ChildProcesses(of: target)
    audit = ThreadAudit(leastCPU: 20 * options.period * UInt64(capture.eventsPerThread))
    // Read after the side-band is on, so that no mapping is missed.
    let mappings = (try? ProcessMaps.read(target.processID)) ?? []
    let addressSpace = AddressSpace(
      mappings: mappings, provider: LiveImages(pid: target.processID, limit: Rights.heldFileLimit))
    guard
      let recorder = StackRecorder(
        target: target, addressSpace: addressSpace, method: options.unwinder, shown: options.native)
    else { throw .kernel("libunwind cannot be set up") }
    self.recorder = recorder
    self.recorder.isStrict = options.strict
    if reason != nil { self.recorder.pins = LoopPins() }
    if !held { useLayout() }
    do {
      if case .program(let own) = capture, options.perCPU {
        try own.events.switchToPerCPU()
      } else if held {
        _ = try capture.open(thread: target.processID, of: target, onExec: true)
      } else if try !capture.openThreads(of: target, mainThreadOnly: options.mainThreadOnly) {
        hasEnded = true
      }
    } catch {
      throw Rights.explain(error)
    }
    image = ProgramImage(of: target)
    proveEachSample()
    // All was opened by number: what that number means now, it meant all the time.
    if !held, !hasEnded, !target.isStillOurs { throw target.foreignness ?? target.moreRights }
  }

  /// Events of CPUs are not ended by the kernel when the program gets more rights.
  private func proveEachSample() {
    guard getuid() != 0, capture.samplesPerCPU, recorder.provenTime == nil else { return }
    recorder.provenTime = ProvenTime { [target] in target.isStillOurs }
  }

  /// Checks the rights before anything else is done.
  /// `process`: an existing one that is to be sampled.
  public static func checkRights(_ options: SamplingOptions, process: Int32? = nil) throws(SamplingError) {
    try CaptureChoice.check(options, process: process)
  }

  /// Looks for the interpreter of a running process, and gives the reason where it is not known yet; throws only where
  /// there will be none that can be read. A process that has just been started gets a second to show it.
  static func find(_ watch: InterpreterWatch, _ target: TargetProcess) throws(SamplingError) -> SamplingError?
  {
    let limit = RecordStream.clock() + 1_000_000_000
    while !watch.look() {
      switch watch.state {
      case .found: return nil
      case .refused(let error), .searching(let error):
        // Nothing can be read of a process that has ended: that is no finding about it. One that is ending loses
        // its memory first.
        if target.end.hasCome || ((try? ProcessMaps.read(target.processID))?.isEmpty ?? true) {
          throw .cannotRead(target.processID, detail: "it ended while sampling was being set up")
        }
        if case .refused = watch.state { throw error }
        if !isYoung(target) || RecordStream.clock() > limit {
          if watch.mapsInterpreter { return error }
          throw target.hiddenProgram ?? error
        }
        usleep(1000)
      }
    }
    return nil
  }

  /// Whether the process was started less than two seconds ago (/proc/PID/stat, field 22, in clock ticks).
  private static func isYoung(_ target: TargetProcess) -> Bool {
    guard let started = try? target.facts.startTime() else { return false }
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_BOOTTIME, &now)
    let ticks = UInt64(sysconf(Int32(_SC_CLK_TCK)))
    return UInt64(now.tv_sec) * ticks < started + 2 * ticks
  }

  private func useLayout() {
    guard let context = watch.context(), let slot = capture.use(layout: context.layout.raw) else { return }
    recorder.add(context, slot: slot)
    interpreter = "CPython \(context.layout.version)"
  }

  /// Threads that are sampled from the start.
  public var threadCount: Int { options.mainThreadOnly ? 1 : max(target.threads.count, 1) }
  /// Bytes of all rings.
  public var ringBytes: Int { capture.ringBytes }

  /// What is to be said about the rings; nil where they are as they should be.
  public var ringNotice: String? {
    let asked = options.chosenRingBytes
    guard let bytes = capture.smallerRing(than: asked) else { return nil }
    return
      "only \(bytes >> 10) KiB of ring for each CPU instead of \(asked >> 10): no more memory may be locked "
      + "(kernel.perf_event_mlock_kb, ulimit -l, CAP_IPC_LOCK)"
  }

  /// How samples are taken where it is without eBPF, and why; nil: with it.
  public var captureMethod: String? {
    guard let reason, let method = capture.method else { return nil }
    return "without eBPF (\(reason)): \(method)"
  }

  /// Begins to sample; a held child begins with its program.
  public func start() {
    if isHeld { watch.begin() }
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_REALTIME, &now)
    startTime = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    startClock = RecordStream.clock()
    if options.keepsTimeline { recorder.profile.timeline = Timeline(start: startClock) }
    if isHeld && !options.perCPU { capture.leaveToExec() } else { capture.enable() }
    startCPU = target.cpuTime ?? 0
    startMainCPU = target.cpuTime(ofThread: target.processID) ?? 0
    startKernelCPU = target.kernelTime ?? 0
    startElsewhere = MachineTime.elsewhere
    lastKernelCPU = startKernelCPU
    lastCPU = startCPU
    lastMainCPU = startMainCPU
    lastReading = startClock
    interruptWatch = InterruptWatch(
      period: options.period, start: reading(alive: UInt64(threadCount)),
      eventsPerThread: UInt64(capture.eventsPerThread))
    threadsLived = capture.samplesPerCPU ? 0 : UInt64(threadCount)
  }

  /// Nanoseconds since `start`.
  public var elapsed: UInt64 { RecordStream.clock() - startClock }

  /// One round: waits for data (at most 10 ms, or until `descriptor` is readable), then processes what is complete.
  public func round(also descriptor: Int32 = -1) {
    // A program that loads libraries may unload them soon: their files are opened as quickly as may be.
    let isLoading = RecordStream.clock() - lastFile < 100_000_000
    // A wrapper may become the interpreter at any moment.
    let isStarting = isHeld && watch.isSearching
    capture.wait(
      milliseconds: isLoading || isStarting ? 1 : watch.isSearching ? watch.wait : 10, also: descriptor)
    capture.prepare(target)
    // While the interpreter is about to be known, looking for it goes before everything else: samples wait in the
    // rings, but without a layout they have no Python frames.
    if watch.lookIfDue() { useLayout() }
    let now = RecordStream.clock()
    if watch.isUrgent, now - lastDelivery < 20_000_000 { return }
    lastDelivery = now
    capture.deliver(to: &recorder)
    if let path = recorder.lastMapped {
      recorder.lastMapped = nil
      lastFile = now
      watch.fileWasMapped(isPython: InterpreterFinder.isPythonName(path))
    }
    let permissionWasAsked = recorder.sawExec || recorder.sawLoss
    if recorder.sawLoss {
      recorder.sawLoss = false
      // What was lost may have been an exec: the layout of the old program says nothing about the new one.
      if !recorder.sawExec, let image, let now = ProgramImage(of: target), now != image {
        recorder.missedExec()
      }
      if let mappings = try? ProcessMaps.read(target.processID), !mappings.isEmpty {
        recorder.reload(mappings)
      }
    }
    if recorder.sawExec {
      recorder.sawExec = false
      image = ProgramImage(of: target)
      capture.forgetLayout()
      watch = InterpreterWatch(target: target)
      interpreter = ""
    }
    if permissionWasAsked, recorder.isForbidden { stop() }
    readClocks()
    keepWatch()
    watchChildren(now)
    if target.end.hasCome { hasEnded = true }
  }

  /// The kernel itself ends the events of a thread that gets more rights by an exec, but not those of a CPU.
  private func stop() {
    capture.disable()
    watch.refuse(target.moreRights)
  }

  private func readClocks() {
    if let cpu = target.cpuTime, cpu >= lastCPU {
      lastCPU = cpu
      lastReading = RecordStream.clock()
    }
    if capture.leavesOutKernel, let cpu = target.kernelTime, cpu >= lastKernelCPU { lastKernelCPU = cpu }
    if let cpu = target.cpuTime(ofThread: target.processID), cpu >= lastMainCPU { lastMainCPU = cpu }
  }

  /// CPU time and interrupts until now. `alive`: threads that live now.
  private func reading(alive: UInt64) -> InterruptWatch.Reading {
    var cpu = options.mainThreadOnly ? lastMainCPU - startMainCPU : lastCPU - startCPU
    // To the clock tick only, and at most what the other clock says.
    if capture.leavesOutKernel { cpu -= min(cpu, lastKernelCPU - startKernelCPU) }
    return InterruptWatch.Reading(
      clock: RecordStream.clock(), cpu: cpu, interrupts: capture.interrupts, alive: alive,
      born: recorder.threadsBorn)
  }

  /// Closes double events, finds threads without any, and changes to events of the CPUs where those of threads do not
  /// see enough.
  private func keepWatch() {
    guard !recorder.isForbidden else { return }
    let now = RecordStream.clock()
    if case .program(let own) = capture, !options.mainThreadOnly, !own.events.samplesPerCPU {
      closeDuplicates(own.program, own.events)
      changeWhereThreadsAreShort(own.events)
    }
    // Not before the samples of the previous audit's time have been seen: a thread may only be waiting in the rings.
    if now - lastAudit > 1_000_000_000, capture.deliveredUpTo > lastAudit {
      lastAudit = now
      let threads = options.mainThreadOnly ? [target.processID] : target.threads
      watchInterrupts(UInt64(threads.count))
      if !options.mainThreadOnly, !capture.samplesPerCPU { audit(threads) }
    }
  }

  private func watchChildren(_ now: UInt64) {
    children.began(recorder.newChildren)
    recorder.newChildren.removeAll(keepingCapacity: true)
    guard now - lastLookAtChildren > 100_000_000 else { return }
    lastLookAtChildren = now
    children.look(now, knowsPython: !interpreter.isEmpty)
  }

  private func audit(_ threads: [Int32]) {
    capture.forgetThreads { threads }
    // A thread that stays in the kernel looks the same as one without events where that is not sampled.
    if capture.leavesOutKernel { return }
    audit.round(
      threads, isSampled: { recorder.hasSampled($0) }, cpuTime: { target.cpuTime(ofThread: $0) },
      open: { thread throws(PerfEventsError) in _ = try capture.open(thread: thread, of: target) })
  }

  /// Where hardly any interrupt comes, whatever the reason, other events may be better; they are enabled anew, too.
  private func watchInterrupts(_ alive: UInt64) {
    guard interruptWatch?.isBlind(reading(alive: alive)) == true else { return }
    if case .program(let own) = capture, !options.mainThreadOnly { change(own.events) }
    capture.enable()
  }

  private func closeDuplicates(_ program: SamplingProgram, _ events: ClockEvents) {
    let duplicates = program.counts.duplicates
    guard duplicates > duplicatesSeen else { return }
    duplicatesSeen = duplicates
    for own in program.duplicateThreads {
      if let thread = target.thread(own: own) { _ = events.close(duplicateOf: thread) }
    }
  }

  private func changeWhereThreadsAreShort(_ events: ClockEvents) {
    guard let interruptWatch, interruptWatch.mayLoseTooMuch(reading(alive: 0)) else { return }
    if interruptWatch.losesTooMuch(reading(alive: UInt64(target.threads.count))) { change(events) }
  }

  private func change(_ events: ClockEvents) {
    guard !events.samplesPerCPU else { return }
    do { try events.switchToPerCPU() } catch { return }
    proveEachSample()
    threadsLived += recorder.threadsBorn
  }

  /// How far sampling has come.
  public var progress: SamplingProgress {
    let ledger = recorder.profile.ledger
    var progress = SamplingProgress()
    progress.elapsed = elapsed
    progress.samples = ledger.kept
    progress.lost = capture.lostSamples + ledger.dropped
    progress.targetCPU =
      options.mainThreadOnly ? lastMainCPU - startMainCPU : lastCPU - startCPU
    progress.ownCPU = SamplingProgress.ownCPU()
    progress.rates = recorder.recentTimes.rates
    return progress
  }

  /// Waits, at most a second, until the target ends or `descriptor` is readable.
  public func waitForEnd(also descriptor: Int32) {
    target.end.wait(also: descriptor, milliseconds: 1000)
    if target.end.hasCome { hasEnded = true }
  }

  /// Ends sampling and gives the profile.
  public func finish() -> Profile {
    readClocks()
    capture.disable()
    endClock = RecordStream.clock()
    capture.deliver(to: &recorder)
    capture.deliver(to: &recorder, draining: true)
    children.began(recorder.newChildren)
    let (childTicks, living) = children.finish(endClock, knowsPython: !interpreter.isEmpty)
    var profile = recorder.finished()
    profile.header.livingPythonChildren = living
    profile.ledger.childCPU = childTicks * (1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK))))
    profile.ledger.children = children.count
    profile.ledger.pythonChildren = children.pythonCount
    profile.header.processID = target.processID
    profile.header.command = target.commandLine.joined(separator: " ")
    profile.header.interpreter = interpreter
    profile.header.captureMethod = captureMethod ?? ""
    profile.header.period = options.period
    profile.header.duration = endClock - startClock
    profile.header.startTime = startTime
    fill(&profile.ledger)
    return profile
  }

  private func fill(_ ledger: inout Ledger) {
    capture.fill(&ledger)
    let counted = capture.count
    ledger.period = options.period
    ledger.unopenedThreads = audit.unopened
    let all = lastCPU - startCPU
    let main = lastMainCPU - startMainCPU
    if options.mainThreadOnly {
      ledger.targetCPU = max(main, counted.value)
      // The thread's own figure (schedstat) lags by up to a tick of the kernel's timer, the process's does not.
      let tick: UInt64 = 10_000_000
      ledger.unsampledCPU = all > main + tick ? all - main : 0
    } else {
      ledger.targetCPU = capture.samplesPerCPU ? all : max(all, counted.value)
    }
    ledger.eventCount = counted.value
    ledger.ownClock = options.mainThreadOnly ? main : all
    if capture.leavesOutKernel {
      ledger.kernelCPU = min(lastKernelCPU - startKernelCPU, ledger.targetCPU, ledger.eventCount)
      ledger.targetCPU -= ledger.kernelCPU
      ledger.eventCount -= ledger.kernelCPU
      ledger.ownClock -= min(ledger.kernelCPU, ledger.ownClock)
    }
    ledger.eventTimeRunning = counted.timeRunning
    fillRate(&ledger)
  }

  /// What the law of the interrupts needs.
  private func fillRate(_ ledger: inout Ledger) {
    ledger.interruptsByCPUs = capture.interruptsByCPUs
    ledger.blindCPU = interruptWatch?.blindCPU ?? 0
    // Threads whose notices were lost are not known to have been there.
    ledger.threadsLived =
      capture.samplesPerCPU ? threadsLived : threadsLived + recorder.threadsBorn + ledger.kernelLostSideband
    let unread = (endClock &- lastReading) &* UInt64(max(1, RecordStream.onlineCPUs().count))
    ledger.clockAhead = (MachineTime.elsewhere &- startElsewhere) &+ unread
  }
}
