// The cpu-clock events that interrupt the target.

import CPerfEvent
import Glibc

/// The sampling events of one process: one per thread, or one per CPU.
public final class ClockEvents {
  private let program: SamplingProgram
  private let period: UInt64
  private let mainThreadOnly: Bool
  private var events = EventDescriptors()
  /// What events counted that have been closed since.
  private var closed = EventCount()
  private var isPerCPU = false
  /// Whether an event that is opened now interrupts at once.
  private var isEnabled = false

  /// How opening one thread's event ended.
  public enum Opening: Sendable, Equatable {
    /// The thread will be sampled.
    case opened
    /// The thread had ended.
    case vanished
  }

  /// `period`: nanoseconds of CPU time between two interrupts of one thread.
  public init(program: SamplingProgram, period: UInt64, mainThreadOnly: Bool) {
    self.program = program
    self.period = period
    self.mainThreadOnly = mainThreadOnly
  }

  /// True once sampling is done by events of the CPUs, filtered by process.
  public var samplesPerCPU: Bool { isPerCPU }

  /// Opens the event of one thread (id in our namespace), disabled unless sampling has begun. `onExec`: it starts
  /// to count when the process executes its program; `leaveToExec` says when that is near.
  public func open(thread: Int32, onExec: Bool = false) throws(PerfEventsError) -> Opening {
    var flags: UInt32 = mainThreadOnly ? 0 : CADUCEUS_EVENT_INHERIT.rawValue
    if onExec { flags |= CADUCEUS_EVENT_ENABLE_ON_EXEC.rawValue }
    let event = caduceus_open_clock_event(thread, -1, period, flags)
    if event == -ESRCH { return .vanished }
    if event < 0 { throw .open(what: "the clock event of thread \(thread)", errno: -event) }
    let failure = caduceus_event_set_program(event, program.programDescriptor)
    if failure < 0 {
      Glibc.close(event)
      throw .attach(errno: -failure)
    }
    events.append(owning: event, thread: thread)
    if isEnabled { _ = caduceus_event_enable(event) }
    return .opened
  }

  /// Tries what `open` does first, the event without its program, and closes it again: 0 or errno. `thread`: 0 for
  /// the calling one. The event is disabled, so that nothing is interrupted.
  public static func tryOpening(thread: Int32, period: UInt64) -> Int32 {
    let event = caduceus_open_clock_event(thread, -1, period, CADUCEUS_EVENT_INHERIT.rawValue)
    if event < 0 { return -event }
    Glibc.close(event)
    return 0
  }

  /// Lets all events interrupt from now on.
  public func enable() {
    isEnabled = true
    events.enable()
  }

  /// The same where the events were opened `onExec`: the kernel lets these interrupt when the target executes its
  /// program, and what is opened from now on interrupts at once.
  public func leaveToExec() { isEnabled = true }

  /// No interrupt happens after this returns.
  public func disable() {
    isEnabled = false
    events.disable()
  }

  /// Closes the own event of a thread that also has an inherited one.
  public func close(duplicateOf thread: Int32) -> Bool {
    guard !isPerCPU, let index = events.threads.firstIndex(of: thread) else { return false }
    let event = events.descriptors[index]
    _ = caduceus_event_disable(event)
    if let count = EventCount.read(event) { closed = closed + count }
    return events.remove(thread: thread)
  }

  /// Descriptors that sampling by events of the CPUs takes for each of them.
  public static let eventsPerCPU = 2

  /// Periods of one CPU's events. A CPU's clock goes on whatever runs: a single event with a round period always meets
  /// the same point of a program that does something each millisecond, and never the rest. These two interrupt as often
  /// together as one with `period`, for 1/φ + 1/φ² = 1, and no multiple of the golden ratio φ comes near to a ratio of
  /// small numbers: a cycle of any round length is met everywhere alike.
  static func periodsOfCPU(_ period: UInt64) -> [UInt64] {
    let golden = (1 + 5.0.squareRoot()) / 2
    return [golden, golden * golden].map { UInt64((Double(period) * $0).rounded()) }
  }

  /// Replaces the threads' events by events of the CPUs: complete for threads of any length of life, at the price of
  /// interrupting everything else, too.
  public func switchToPerCPU() throws(PerfEventsError) {
    guard !isPerCPU else { return }
    var perCPU = EventDescriptors()
    for cpu in RecordStream.onlineCPUs() {
      for period in Self.periodsOfCPU(period) {
        let event = caduceus_open_clock_event(-1, Int32(cpu), period, 0)
        if event < 0 { throw .open(what: "the clock event of CPU \(cpu)", errno: -event) }
        perCPU.append(owning: event, thread: -1)
        let failure = caduceus_event_set_program(event, program.programDescriptor)
        if failure < 0 { throw .attach(errno: -failure) }
      }
    }
    let wasEnabled = isEnabled
    // Also where the kernel was to enable them: none interrupts any more.
    disable()
    closed = closed + events.count
    events.removeAll()
    events = perCPU
    isPerCPU = true
    program.sampleCPUs()
    runsOfThreads = program.counts
    if wasEnabled { enable() }
  }

  /// What the program had counted when the threads' events ended; nil as long as they have not.
  public private(set) var runsOfThreads: ProgramCounts?

  /// What the threads' events counted, all together; after a switch to events of the CPUs what they had counted
  /// until then: those count whatever runs. An event does not belong to one thread: the kernel swaps them between threads.
  public var count: EventCount {
    isPerCPU ? closed : closed + events.count
  }
}
