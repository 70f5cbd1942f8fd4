// The reader of one CPU: a thread that is pinned to it, wakes with each sample, and reads the Python frames of the thread
// that was interrupted while that thread, pushed off its CPU by the reader itself, stands still. What it needs is
// allocated before it begins; it takes no lock.

import Accounting
import CChainReader
import CPerfEvent
import Glibc
import PythonChain
import Snapshots
import SwitchProof

/// One reader thread, its CPU's ring, and the ring to us.
@safe final class SampleReader: @unchecked Sendable {
  /// Records handled in one go; then the reader sleeps for a moment, whatever is left.
  private static let recordsPerWakeUp = 64

  /// What it tells us.
  let board = ReaderBoard()
  private let cpu: Int32
  private let target: Int32
  private let userOnly: Bool
  private let allowRealtime: Bool
  private let stackBytes: Int
  private let ring: Ring
  private let ringEvent: Int32
  private let threads: WatchedThreads
  private let layouts: SharedLayouts
  private let chains: OpaquePointer
  private let composer = SampleComposer()
  private let scratch = RecordScratch()
  /// Wakes the reader; wakes us.
  private let wake: EventDescriptor
  private let notice: Int32

  private var writer: RingWriter
  private var position: UInt64 = 0
  private var share: RealtimeShare
  private var thread = pthread_t()
  private var isStarted = false

  /// `ringEvent`: the event whose ring this reads. `writer`: into a ring that outlives the reader. `notice`: an
  /// eventfd(2) for us.
  init(
    cpu: Int32, ring: consuming Ring, ringEvent: Int32, writer: RingWriter, notice: Int32, target: Int32,
    threads: WatchedThreads, layouts: SharedLayouts, stackBytes: Int, userOnly: Bool, allowRealtime: Bool,
    realtimeLimit: UInt64
  ) throws(PerfEventsError) {
    guard let chains = unsafe chain_reader_make() else {
      throw .reader(step: "allocating memory", errno: ENOMEM)
    }
    unsafe self.chains = chains
    let wake = caduceus_open_notice()
    guard wake >= 0 else {
      unsafe chain_reader_free(chains)
      throw .reader(step: "opening an eventfd", errno: -wake)
    }
    self.wake = EventDescriptor(owning: wake)
    self.cpu = cpu
    self.ring = ring
    self.ringEvent = ringEvent
    self.writer = writer
    self.notice = notice
    self.target = target
    self.threads = threads
    self.layouts = layouts
    self.stackBytes = stackBytes
    self.userOnly = userOnly
    self.allowRealtime = allowRealtime
    share = RealtimeShare(limit: realtimeLimit, clock: 0, cpu: 0)
  }

  deinit { unsafe chain_reader_free(chains) }

  // MARK: The other threads' side

  /// Starts the thread.
  func start() throws(PerfEventsError) {
    let owner = unsafe Unmanaged.passRetained(self).toOpaque()
    let failure = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<SampleReader>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, owner)
    if failure != 0 {
      unsafe Unmanaged<SampleReader>.fromOpaque(owner).release()
      throw .reader(step: "starting a thread", errno: failure)
    }
    isStarted = true
  }

  /// Asks it to hand on everything that is in the ring, and to end.
  func beginFinishing() {
    board[.stop] = 1
    lookNow()
  }

  /// Whether the thread has nothing to do any more, or was never started.
  var hasFinished: Bool { !isStarted || board[.finished] != 0 }

  /// Waits for its end.
  func join() {
    if isStarted { pthread_join(thread, nil) }
    isStarted = false
  }

  /// Lets it run on any CPU.
  func leaveCPU() {
    if let identifier { _ = caduceus_unpin(identifier) }
  }

  /// Lets it run on its own CPU only, as usual.
  func comeBack() {
    if let identifier { _ = caduceus_pin_to_cpu(identifier, cpu) }
  }

  /// Takes it out of the real-time class; false where it was not in it, or cannot be taken out.
  func leaveClass() -> Bool {
    guard let identifier, board[.scheduling] == ReaderScheduling.realtime.rawValue else { return false }
    let slice = caduceus_become_normal(identifier)
    guard slice >= 0 else { return false }
    publish(slice > 0 ? .shortSlice : .normal)
    return true
  }

  /// The kernel's number of the thread; nil where it is not running.
  private var identifier: pid_t? {
    let known = pid_t(truncatingIfNeeded: board[.thread])
    return isStarted && known > 0 && board[.finished] == 0 ? known : nil
  }

  /// Makes it look at its ring: side-band records alone do not wake it.
  func lookNow() { Self.signal(wake.descriptor) }

  /// Makes an eventfd(2) readable.
  private static func signal(_ descriptor: Int32) {
    var one: UInt64 = 1
    _ = unsafe write(descriptor, &one, 8)
  }

  /// Position behind the youngest record that the kernel has written.
  var ringHead: UInt64 { ring.head }

  // MARK: The thread

  private func run() {
    // A signal that ends or stops a run is not for this thread.
    var all = sigset_t()
    unsafe sigfillset(&all)
    unsafe pthread_sigmask(SIG_BLOCK, &all, nil)
    board[.thread] = UInt64(caduceus_thread_id())
    // In this order: on any CPU it runs sooner or later, and says so.
    if !allowRealtime || caduceus_become_realtime() != 0 {
      publish(caduceus_become_normal(0) > 0 ? .shortSlice : .normal)
    } else {
      publish(.realtime)
    }
    _ = caduceus_pin_to_cpu(0, cpu)
    share = RealtimeShare(
      limit: share.limit, clock: RecordStream.clock(), cpu: caduceus_thread_cpu_time())
    var polled = InlineArray<2, pollfd>(repeating: pollfd(fd: ringEvent, events: Int16(POLLIN), revents: 0))
    polled[1].fd = wake.descriptor
    var isBehind = false
    while true {
      // With a backlog it sleeps all the same: a ring that fills faster than it is read must not take the CPU.
      if isBehind {
        usleep(1000)
      } else {
        var span = polled.mutableSpan
        unsafe span.withUnsafeMutableBufferPointer { _ = unsafe poll($0.baseAddress, 2, -1) }
      }
      var value: UInt64 = 0
      if polled[1].revents != 0 { _ = unsafe Glibc.read(wake.descriptor, &value, 8) }
      let isStopping = board[.stop] != 0
      board[.sequence] += 1
      caduceus_full_fence()
      isBehind = work()
      board[.sequence] += 1
      watch()
      if isStopping && !isBehind {
        board[.finished] = 1
        return
      }
    }
  }

  private func publish(_ scheduling: ReaderScheduling) { board[.scheduling] = scheduling.rawValue }

  /// The watchdog: a reader that takes too much of its CPU gives up its class.
  private func watch() {
    let cpuTime = caduceus_thread_cpu_time()
    board[.cpu] = cpuTime
    let isTooMuch = share.isTooMuch(clock: RecordStream.clock(), cpu: cpuTime)
    board[.largestShare] = share.largest
    if isTooMuch, leaveClass() { board[.watchdog] += 1 }
  }

  /// Handles what is in the ring, up to a bound; true where something is left.
  private func work() -> Bool {
    var handled = 0
    while true {
      let head = ring.head
      guard position < head else { return false }
      guard handled < Self.recordsPerWakeUp else { return true }
      handled += 1
      guard let (type, _, size) = ring.header(at: position, before: head) else {
        advance(to: head)
        return false
      }
      ring.withRecord(at: position, size: size, scratch: scratch) { record in
        if type == RecordParser.typeSAMPLE {
          handle(sample: record)
        } else {
          handle(sideband: record, type: type)
        }
      }
      advance(to: position + UInt64(size))
    }
  }

  private func advance(to position: UInt64) {
    self.position = position
    ring.release(upTo: position)
    board[.consumed] = position
  }

  private func handle(sideband record: RawSpan, type: UInt32) {
    guard record.byteCount >= 8 + RecordParser.trailer,
      let subject = RecordParser.subject(type: type, record),
      subject.pid == target || subject.pid == -1 || RecordParser.isChild(type: type, record, of: target)
    else { return }
    if subject.pid == target, type == RecordParser.typeFORK { tell(subject.tid) }
    if subject.pid == target, type == RecordParser.typeEXIT { tell(-subject.tid) }
    if !(unsafe record.withUnsafeBytes { unsafe writer.write($0) }) { board[.lostSideband] += 1 }
  }

  /// Tells us of a thread that is to be watched, or (negative) no longer.
  private func tell(_ thread: Int32) {
    board.give(notice: thread)
    Self.signal(notice)
  }

  // MARK: Samples

  private func handle(sample record: RawSpan) {
    board[.samples] += 1
    guard let sample = RecordParser.clockSample(record) else {
      // Whoever reads it next finds it malformed, too, and counts it.
      if !(unsafe record.withUnsafeBytes { unsafe writer.write($0) }) { board[.lostSamples] += 1 }
      return
    }
    let stamp = RecordParser.sampleStamp(record)
    if stamp.pid != target, stamp.pid != -1 {
      board[.filtered] += 1
      return
    }
    let (slot, layout) = unsafe layouts.inForce
    if slot == 0 || sample.registers.isEmpty {
      return emit(sample, slot: 0, status: PYTHON_CHAIN_NO_LAYOUT)
    }
    guard let thread = threads.find(stamp.tid) else {
      board[.notWatched] += 1
      if stamp.tid > 0 { tell(stamp.tid) }
      return emit(sample, slot: slot, status: PYTHON_CHAIN_UNVERIFIED)
    }
    if let refusal = unsafe read(sample, stamp, thread, slot, layout) {
      board[refusal] += 1
      emit(sample, slot: slot, status: PYTHON_CHAIN_UNVERIFIED)
    }
  }

  /// Reads stack and frames where the thread stands still, and hands them on; else says why not.
  private func read(
    _ sample: borrowing ClockSample, _ stamp: RecordStamp, _ thread: WatchedThreads.Entry, _ slot: UInt32,
    _ layout: UnsafeRawPointer
  ) -> UnverifiedCause? {
    let words = sample.record.extracting(sample.registers)
    let registers = Registers(perfWords: words.extracting(8..<words.byteCount))
    let history = thread.ring.history(of: stamp.tid)
    let early =
      userOnly
      ? SwitchEvidence.refusal(interruptedAt: stamp.time, history)
      : SwitchProof.refusal(interruptedAt: stamp.time, with: registers, history)
    if let early { return early }

    unsafe chain_reader_begin(chains, target)
    var stackCount = 0
    let stackBase = unsafe chain_reader_stack(chains, registers.stackPointer, stackBytes, &stackCount)
    let stack = unsafe UnsafeRawBufferPointer(start: stackBase, count: stackCount)
    guard stackCount > 0 else { return .stackUnreadable }
    // struct perf_event_header, PERF_RECORD_MISC_KERNEL; never where only user space is sampled.
    let inKernel = sample.record.word(at: 0) >> 32 & 7 == 1
    let isSame = unsafe isSame(sample, stack)
    if let differs = SwitchProof.refusal(
      stackIsSame: isSame, inKernel: inKernel, interruptedAt: stamp.time, history)
    {
      return differs
    }
    var chainSize = 0
    let flags = userOnly ? PYTHON_CHAIN_EVIDENCE.rawValue : 0
    let chainBase = unsafe chain_reader_walk(chains, layout, slot, thread.ownThread, flags, &chainSize)
    if let late = SwitchProof.refusal(head: thread.ring.head, after: history) {
      unsafe chain_reader_discard(chains)
      return late
    }
    board[.stoodStill] += 1
    board[.lag] += RecordStream.clock() &- stamp.time
    board[.calls] += unsafe UInt64(chain_reader_calls(chains))
    handOverNames(sample)
    unsafe composer.compose(
      sample, chain: UnsafeRawBufferPointer(start: chainBase, count: chainSize),
      stack: stack)
    send()
    return nil
  }

  /// Whether the stack that was read again begins with the interrupt's copy.
  private func isSame(_ sample: borrowing ClockSample, _ stack: UnsafeRawBufferPointer) -> Bool {
    let copy = sample.record.extracting(sample.stack)
    guard copy.byteCount > 0, stack.count >= copy.byteCount, let base = stack.baseAddress else {
      return false
    }
    return unsafe copy.withUnsafeBytes { bytes in
      guard let start = bytes.baseAddress else { return false }
      return unsafe memcmp(start, base, bytes.count) == 0
    }
  }

  private func handOverNames(_ sample: borrowing ClockSample) {
    var number: UInt32 = 0
    var size = 0
    while let names = unsafe chain_reader_names(chains, number, &size) {
      unsafe composer.compose(sample, names: UnsafeRawBufferPointer(start: names, count: size))
      if !(unsafe writer.write(composer.composed)) {
        board[.lostNames] += 1
        unsafe chain_reader_keep_names(chains, number)
      }
      number += 1
    }
  }

  /// Hands a sample on without Python frames.
  private func emit(_ sample: borrowing ClockSample, slot: UInt32, status: python_chain_status) {
    var chain = python_chain_sample()
    chain.kind = PYTHON_CHAIN_SAMPLE.rawValue
    chain.size = UInt32(MemoryLayout<python_chain_sample>.size)
    chain.layout = slot
    chain.status = status.rawValue
    unsafe withUnsafeBytes(of: &chain) { unsafe composer.compose(sample, chain: $0, stack: nil) }
    send()
  }

  private func send() {
    if !(unsafe writer.write(composer.composed)) { board[.lostSamples] += 1 }
  }
}
