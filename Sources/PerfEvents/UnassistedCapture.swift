// Sampling without an eBPF program: the clock events write registers and stack themselves, and a reader per CPU reads
// the Python frames of threads that are proven to stand still (SwitchProof).
//
// One event per thread and CPU, because only an event of one CPU can share that CPU's ring and be inherited by new
// threads; one switch ring per thread. The readers hand on records in the form of the eBPF program's, so that
// everything behind is the same.

import Accounting
import CChainReader
import CPerfEvent
import Glibc
import PythonChain
import SwitchProof

/// Owner of the events, rings and readers of one run.
public final class UnassistedCapture {
  /// The least ring that is tried: some samples with a stack of half a page and more.
  private static let leastRing = 1 << 16
  /// Nanoseconds that a record may take to reach its ring.
  private static let leastHorizon: UInt64 = 5_000_000

  private let configuration: UnassistedConfiguration
  private var merge: RecordMerge
  private let threads = WatchedThreads()
  private let layouts = SharedLayouts()
  private var readers: [SampleReader] = []
  private let sidebands: SidebandEvents
  private var cpus: [Int32] = []
  private var events = EventDescriptors()
  private let notice: EventDescriptor
  private let copyBytes: UInt32
  private var isEnabled = false
  private var isFinished = false

  private var previousClock: UInt64
  private var awaited: (clock: UInt64, heads: [UInt64])?
  /// CLOCK_MONOTONIC up to which everything has been delivered.
  public private(set) var deliveredUpTo: UInt64 = 0
  /// True where the kernel gives us nothing of its own part: no registers at switches, so no proof.
  public let userOnly: Bool
  /// Bytes of one CPU's ring between kernel and reader.
  public let kernelRingBytes: Int
  private var starved = StarvedReaders(count: 0)
  /// How many times a reader had to leave its CPU to a real-time thread.
  public var departures: UInt64 { starved.departures }
  /// Readers that left the real-time class because real-time threads kept them from running on any CPU.
  public var classDepartures: UInt64 { starved.classDepartures }
  /// True where no more memory may be locked, so that these rings are smaller than was intended.
  public let hasSmallerRings: Bool
  /// Bytes of one CPU's ring between reader and us.
  public var ringBytes: Int { configuration.ringBytes }
  /// CPUs that have a ring.
  public var cpuCount: Int { cpus.count }
  /// Descriptors that each thread takes: its switches, and of each CPU a clock event and maybe side-band.
  public var descriptorsPerThread: Int { 1 + cpus.count * (sidebands.areOfThreads ? 2 : 1) }
  /// Records that arrived after younger ones had been delivered.
  public var lateRecords: UInt64 { merge.lateRecords }

  /// Opens rings, and starts the readers. Sampling has not begun.
  public init(_ configuration: UnassistedConfiguration) throws(PerfEventsError) {
    self.configuration = configuration
    previousClock = RecordStream.clock()
    let descriptor = caduceus_open_notice()
    guard descriptor >= 0 else { throw .reader(step: "opening an eventfd", errno: -descriptor) }
    notice = EventDescriptor(owning: descriptor)
    userOnly = configuration.userOnly || !Self.kernelIsAllowed()
    cpus = RecordStream.onlineCPUs().map { Int32($0) }
    sidebands = try SidebandEvents(cpus, target: configuration.target)
    var wanted = min(max(configuration.ringBytes / 2, Self.leastRing), 4 << 20)
    // What an ordinary user may lock is for the threads' switch rings, too.
    if userOnly { wanted = min(wanted, 1 << 18) }
    let ringEvents = sidebands.descriptors
    let (size, rings) = try Ring.largest(wanted, least: Self.leastRing) { bytes throws(PerfEventsError) in
      var rings: [Shelf] = []
      for event in ringEvents { rings.append(Shelf(try Ring(event: event, capacity: bytes))) }
      return (bytes, rings)
    }
    kernelRingBytes = size
    hasSmallerRings = size < wanted
    copyBytes = min(configuration.stackBytes, 16384) & ~7
    var own: [IndexedRing] = []
    for (index, cpu) in cpus.enumerated() {
      let ours = try Ring(ownCapacity: configuration.ringBytes)
      let reader = try SampleReader(
        cpu: cpu, ring: rings[index].take(), ringEvent: sidebands.descriptors[index], writer: ours.writer,
        notice: descriptor,
        target: configuration.target, threads: threads, layouts: layouts,
        stackBytes: Int(configuration.stackBytes), userOnly: userOnly,
        allowRealtime: configuration.allowRealtime, realtimeLimit: configuration.realtimeLimit)
      own.append(IndexedRing(ours, namesID: SampleComposer.namesID))
      readers.append(reader)
    }
    merge = RecordMerge(own, target: configuration.target, clock: previousClock)
    starved = StarvedReaders(count: readers.count)
    for reader in readers { try reader.start() }
    // One that cannot run does not keep us: it is found to be starved.
    let limit = RecordStream.clock() + 1_000_000_000
    while scheduling == .starting, RecordStream.clock() < limit { usleep(100) }
  }

  deinit { finishReaders() }

  /// Holds a ring until its reader takes it.
  private final class Shelf {
    private var ring: Ring?
    init(_ ring: consuming Ring) { self.ring = consume ring }
    func take() -> Ring {
      guard let taken = ring.take() else { fatalError("a ring is taken once") }
      return taken
    }
  }

  /// Throws where not even a switch event of our own thread may be opened.
  public static func checkRights() throws(PerfEventsError) {
    let event = caduceus_open_switch_event(0, CADUCEUS_EVENT_USER_ONLY.rawValue)
    if event < 0 { throw .open(what: "an event of our own", errno: -event) }
    close(event)
  }

  /// Whether the kernel's part of events may be seen: asked of an event of our own thread.
  private static func kernelIsAllowed() -> Bool {
    let event = caduceus_open_switch_event(0, 0)
    if event >= 0 { close(event) }
    return event >= 0
  }

  // MARK: Threads

  /// Watches a thread and opens its clock events. `own`: as the target numbers it.
  public func open(thread: Int32, own: Int32, onExec: Bool = false) throws(PerfEventsError)
    -> ClockEvents.Opening
  {
    // A second set of events would sample it twice: there is no program that could tell.
    if events.threads.contains(thread) { return .opened }
    if try threads.watch(thread, own: own, userOnly: userOnly) == .vanished { return .vanished }
    var flags: UInt32 = configuration.mainThreadOnly ? 0 : CADUCEUS_EVENT_INHERIT.rawValue
    if onExec { flags |= CADUCEUS_EVENT_ENABLE_ON_EXEC.rawValue }
    if userOnly { flags |= CADUCEUS_EVENT_USER_ONLY.rawValue }
    do throws(PerfEventsError) {
      for index in cpus.indices {
        guard try open(thread, on: index, flags) else {
          remove(thread)
          return .vanished
        }
      }
    } catch {
      remove(thread)
      throw error
    }
    if isEnabled { for event in events.descriptors.suffix(cpus.count) { _ = caduceus_event_enable(event) } }
    return .opened
  }

  /// Opens the events of a thread on one CPU; false where the thread has ended.
  private func open(_ thread: Int32, on index: Int, _ flags: UInt32) throws(PerfEventsError) -> Bool {
    let event = caduceus_open_sample_event(thread, cpus[index], configuration.period, copyBytes, flags)
    if event == -ESRCH { return false }
    if event < 0 { throw .open(what: "the clock event of thread \(thread)", errno: -event) }
    events.append(owning: event, thread: thread)
    let ring = sidebands.descriptors[index]
    let failure = caduceus_event_set_output(event, ring)
    if failure < 0 { throw .open(what: "the clock event of thread \(thread)", errno: -failure) }
    if sidebands.areOfThreads, thread != configuration.target {
      let sideband = caduceus_open_thread_sideband_event(thread, cpus[index])
      if sideband >= 0 {
        _ = caduceus_event_set_output(sideband, ring)
        threadSidebands.append(owning: sideband, thread: thread)
      }
    }
    return true
  }

  /// Takes back what was opened of a thread.
  private func remove(_ thread: Int32) {
    while events.remove(thread: thread) {}
    while threadSidebands.remove(thread: thread) {}
  }

  /// Lets a program run in the same interrupts, for comparison.
  package func attach(_ program: SamplingProgram) throws(PerfEventsError) {
    for event in events.descriptors {
      let failure = caduceus_event_set_program(event, program.programDescriptor)
      if failure < 0 { throw .attach(errno: -failure) }
    }
  }

  private var threadSidebands = EventDescriptors()

  /// Opens the switch ring of a thread, unless it has ended.
  public func watch(thread: Int32, own: Int32) throws(PerfEventsError) {
    _ = try threads.watch(thread, own: own, userOnly: userOnly)
  }

  /// Threads that got no switch ring because no more memory may be locked.
  public var threadsWithoutRing: UInt64 { threads.refused }

  /// Watches threads that the readers have met, and forgets those that have ended. `own`: a thread's id as the target
  /// numbers it; nil where it is gone.
  public func takeNotices(own: (Int32) -> Int32?) {
    var value: UInt64 = 0
    _ = unsafe read(notice.descriptor, &value, 8)
    for reader in readers {
      while let thread = reader.board.takeNotice() {
        if thread < 0 {
          threads.forget(-thread, sequences: { sequences })
        } else if !configuration.mainThreadOnly || thread == configuration.target, let own = own(thread) {
          try? watch(thread: thread, own: own)
        }
      }
    }
    if threads.hasRetired { threads.free(sequences: sequences) }
  }

  /// Forgets the threads that are no more: notices of their ends may have been lost. `alive`: looks for those that
  /// are.
  public func forgetThreads(notIn alive: () -> [Int32]) {
    let watched = threads.all
    let living = Set(alive())
    // Their events stay: what these counted is part of the whole.
    for thread in watched where !living.contains(thread) {
      threads.forget(thread, sequences: { sequences })
    }
  }

  private var sequences: [UInt64] { readers.map { $0.board[.sequence] } }

  // MARK: Sampling

  /// Lets all events interrupt from now on.
  public func enable() {
    isEnabled = true
    events.enable()
  }

  /// The same where the events were opened `onExec`: the kernel lets these interrupt when the target executes its
  /// program, and what is opened from now on interrupts at once.
  public func leaveToExec() { isEnabled = true }

  /// Ends sampling: no interrupt happens after this returns, and the readers have handed on all there was.
  public func disable() {
    isEnabled = false
    events.disable()
    finishReaders()
  }

  private func finishReaders() {
    guard !isFinished else { return }
    isFinished = true
    for reader in readers { reader.beginFinishing() }
    while !readers.allSatisfy(\.hasFinished) {
      usleep(100)
      // Even one with nothing to hand on must run once more.
      starved.look(at: readers, clock: RecordStream.clock()) { !readers[$0].hasFinished }
    }
    for reader in readers { reader.join() }
  }

  /// Makes `layout` the one in force; returns its slot, by which samples name it; nil when all are used up.
  public func use(layout: python_layout) -> UInt32? { layouts.use(layout) }

  /// From now on no layout is known: a new program image was started.
  public func forgetLayout() { layouts.forget() }

  // MARK: Records

  /// Waits, at most `milliseconds`, until a reader has met a new thread or `descriptor` is readable.
  public func wait(milliseconds: Int32, also descriptor: Int32 = -1) {
    var polled = [notice.descriptor, descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    _ = unsafe poll(&polled, nfds_t(descriptor >= 0 ? 2 : 1), milliseconds)
  }

  /// Delivers, in the order of time, the records that are complete: older than the previous look's clock, by then in
  /// the kernel's rings, and since handed on by their readers. All of them when `draining` (after `disable`).
  public func deliver(to handler: inout some RecordHandler, draining: Bool = false) {
    if draining {
      return merge.deliver(to: &handler, olderThan: .max)
    }
    let clock = RecordStream.clock()
    // A record's time is read some time before it stands in its ring.
    if awaited == nil, clock - previousClock >= Self.leastHorizon {
      awaited = (previousClock, readers.map(\.ringHead))
      previousClock = clock
    }
    guard let awaited, !isFinished else { return }
    let isBehind = zip(readers, awaited.heads).map { $0.board[.consumed] < $1 }
    for index in readers.indices where isBehind[index] { readers[index].lookNow() }
    starved.look(at: readers, clock: clock) { isBehind[$0] }
    guard !isBehind.contains(true) else { return }
    self.awaited = nil
    merge.deliver(to: &handler, olderThan: awaited.clock)
    deliveredUpTo = awaited.clock
  }

  // MARK: Counts

  /// The readers' scheduling now: the least favourable of all CPUs; `.starting` while one has not begun.
  public var scheduling: ReaderScheduling {
    let all = readers.compactMap { ReaderScheduling(rawValue: $0.board[.scheduling]) }
    return all.contains(.starting) ? .starting : all.max() ?? .starting
  }

  /// What the readers counted.
  public var counts: UnassistedCounts {
    var sum = UnassistedCounts()
    for reader in readers {
      let board = reader.board
      sum.samples += board[.samples]
      sum.lostSamples += board[.lostSamples]
      sum.filtered += board[.filtered]
      sum.lostNames += board[.lostNames]
      sum.lostSideband += board[.lostSideband]
      sum.stoodStill += board[.stoodStill]
      sum.lag += board[.lag]
      sum.calls += board[.calls]
      for refusal in UnverifiedCause.allCases { sum.refusals[refusal.rawValue] += board[refusal] }
      sum.readerCPU += board[.cpu]
      sum.watchdog += board[.watchdog]
      sum.largestShare = max(sum.largestShare, board[.largestShare])
    }
    return sum
  }

  /// What the clock events counted, all together.
  public var count: EventCount { events.count }

  /// The kernel's own counts of lost records.
  public var lost: RecordStream.Lost {
    var lost = RecordStream.Lost()
    lost.samples = count.lost
    var raw = caduceus_event_count()
    for event in sidebands.descriptors + threadSidebands.descriptors
    where unsafe caduceus_read_output_event(event, &raw) == 0 {
      lost.sideband &+= raw.lost
    }
    return lost
  }
}
