// The ledger: how every interrupt ended. From `runs` downward the numbers are exact and obey a law that
// `discrepancies` checks against what the kernel counted on its own; above it they are estimates.

/// Why a whole sample is not in the profile although its record was read.
public enum DropCause: Int, CaseIterable, Sendable {
  /// The record's size or contents do not fit the record's own layout.
  case malformedRecord
  /// The record carried no user registers (a thread that was already exiting).
  case noUserRegisters
  /// An exec had given the program more rights than the user has who samples it.
  case notPermitted
  /// Its Python frames are not proven, and only proven ones were asked for.
  case pythonUnverified
}

/// Why a sample that was kept shows less than its whole stack.
public enum DamageCause: Int, CaseIterable, Sendable {
  /// No interpreter layout was known when the interrupt happened: native frames only.
  case interpreterNotYetKnown
  /// The record was stamped with the layout of a program image that an exec had already replaced.
  case staleLayout
  /// A page of interpreter memory could not be read in the interrupt.
  case pythonReadFault
  /// A code pointer did not point to a code object, or a position lay outside of its code.
  case pythonBadCode
  /// More Python frames than the record holds.
  case pythonDepthLimit
  /// The interpreter was between two stores of one change to its frame chain.
  case pythonTransient
  /// Read from outside: it is not proven that the thread stood still meanwhile.
  case pythonUnverified
  /// The list of thread states was too long to be searched in the interrupt.
  case threadListLimit
  /// The stack copy ended before the outermost native frame.
  case nativeStackTruncated
  /// The ring was nearly full: the stack was copied at the smallest size.
  case nativeStackReduced
  /// No unwind information and no fallback led further.
  case noUnwindInformation
  /// Unwinding stopped making progress, or met memory that cannot be.
  case unwindingFailed
  /// More native frames than are followed.
  case nativeDepthLimit
  /// A boundary of the Python chain lies in no native frame, or a loop has no boundary.
  case joinMismatch
  /// An evaluation loop is on the native stack, and no thread state with frames there was found.
  case noThreadState
  /// What is shown is proven from the leaf outwards; the stack was switched further out, and who resumed it is not told
  /// by either half.
  case rootNotKnown
  /// Unwinding needed a file that was gone before it could be opened: unloaded and deleted soon after it was loaded.
  case fileGone
  /// Unwinding needed a file that could not be opened because too many were open.
  case tooManyOpenFiles
  /// Code without unwind information, and no fact that confirms who called it: the frames up to the next boundary are
  /// left out.
  case unconfirmedCaller
}

/// What was doubtful or incomplete in a sample although its stack is shown whole.
public enum Remark: Int, CaseIterable, Sendable {
  /// At least one native frame was found by a fallback that guesses.
  case guessedNativeFrame
  /// At least one Python frame has no name because its code object was gone before it could be read.
  case namelessPythonFrame
  /// A Python frame's line is the function's first line because its line table was gone.
  case firstLineOnly
  /// The innermost evaluation loop was being entered or left and has no Python frame.
  case enteringEvaluationLoop
  /// The thread is no Python thread: native frames are all there is.
  case nonPythonThread
  /// Read from outside: that the thread stood still meanwhile is likely, not proven.
  case evidenceOnly
  /// Its Python frames are unverified but for functions that were at the top of a call into native code: these the
  /// stack copy proves.
  case pinnedFunctions
}

/// The remarks on one sample; several may hold, and most samples have none.
public struct Remarks: Sendable, Equatable {
  @usableFromInline var bits: UInt32 = 0

  /// No remarks.
  @inlinable
  public init() {}

  /// Whether there is none.
  @inlinable public var isEmpty: Bool { bits == 0 }

  /// Whether a remark holds.
  @inlinable
  public func contains(_ remark: Remark) -> Bool { bits >> UInt32(remark.rawValue) & 1 == 1 }

  /// Adds a remark; one that holds already changes nothing.
  @inlinable
  public mutating func insert(_ remark: Remark) { bits |= 1 << UInt32(remark.rawValue) }
}

/// How every interrupt ended.
public struct Ledger: Sendable {
  // Counted by the eBPF program, per interrupt.
  /// Runs of the eBPF program: interrupts that reached it.
  public var runs: UInt64 = 0
  /// Runs in a process that is not the target.
  public var filtered: UInt64 = 0
  /// Runs of a second event in one thread; part of `filtered`.
  public var duplicates: UInt64 = 0
  /// Records the program wrote.
  public var emitted: UInt64 = 0
  /// Samples lost because the ring had no room, not even for the smallest stack copy.
  public var ringFull: UInt64 = 0
  /// Attempts to write a sample that found no room; each lost sample and each reduced stack has one or two.
  public var ringFullAttempts: UInt64 = 0
  /// Samples lost because the output failed otherwise.
  public var outputErrors: UInt64 = 0

  // Counted by the kernel.
  /// Sum of `PERF_FORMAT_LOST` of the sample output events.
  public var kernelLostSamples: UInt64 = 0
  /// Sum of `PERF_FORMAT_LOST` of the side-band events (mappings, forks, exits).
  public var kernelLostSideband: UInt64 = 0
  /// Sum of `PERF_FORMAT_LOST` of the name output events, and the program's own count of the same.
  public var kernelLostNames: UInt64 = 0
  /// Attempts to hand over names that found no room, by the program's count.
  public var nameAttemptsLost: UInt64 = 0
  /// Nanoseconds the sampling events of threads counted, all together. Those of CPUs count whatever runs.
  public var eventCount: UInt64 = 0
  /// Nanoseconds the sampling events were scheduled, all threads together.
  public var eventTimeRunning: UInt64 = 0
  /// Nanoseconds between two interrupts of one thread.
  public var period: UInt64 = 0
  /// Nanoseconds of CPU time of the sampled threads by the kernel's own clock, while sampling was on.
  public var targetCPU: UInt64 = 0
  /// Nanoseconds of the target's CPU time in the kernel where that is not sampled because the user may not see it, in
  /// clock ticks; part of neither `targetCPU` nor `eventCount`.
  public var kernelCPU: UInt64 = 0
  /// Events that sample one thread, each with a period of its own: one, or one per CPU.
  public var eventsPerThread: UInt64 = 1
  /// Nanoseconds of CPU time of threads that were left out on purpose.
  public var unsampledCPU: UInt64 = 0
  /// Nanoseconds of CPU time by the target's own clock alone, which no event has a part in; 0: not read.
  public var ownClock: UInt64 = 0
  /// The most nanoseconds that the events can have been ahead of that clock, as far as it is known: time of the host of
  /// a virtual machine and of other interrupts, on all CPUs, and since the clock was last read.
  public var clockAhead: UInt64 = 0
  /// Nanoseconds of CPU time of child processes, which are not sampled, in clock ticks.
  public var childCPU: UInt64 = 0

  // Counted by caduceus.
  /// Sample records read from the rings.
  public var recordsRead: UInt64 = 0
  /// Samples whose stack is whole.
  public var whole: UInt64 = 0
  /// Samples of which no frame at all could be shown; part of `damaged`.
  public var empty: UInt64 = 0
  /// Records that arrived after younger ones had been delivered. Must be 0.
  public var lateRecords: UInt64 = 0
  /// Threads that could not be opened for another reason than that they had ended.
  public var unopenedThreads: UInt64 = 0
  /// Threads that were there while threads had events of their own.
  public var threadsLived: UInt64 = 0
  /// Interrupts of the target by events of the CPUs; the others are by events of threads.
  public var interruptsByCPUs: UInt64 = 0
  /// Nanoseconds of the target's own clock that went by while hardly any interrupt came.
  public var blindCPU: UInt64 = 0
  /// Child processes that were there at the start or were created since.
  public var children: UInt64 = 0
  /// Of these, those in which a Python interpreter was seen.
  public var pythonChildren: UInt64 = 0

  /// Without eBPF: samples whose Python frames are unverified, by cause; also those that were lost after that.
  public var unverified = Array(repeating: UInt64(0), count: UnverifiedCause.allCases.count)
  private var drops = Array(repeating: UInt64(0), count: DropCause.allCases.count)
  private var damages = Array(repeating: UInt64(0), count: DamageCause.allCases.count)
  private var remarks = Array(repeating: UInt64(0), count: Remark.allCases.count)

  /// A ledger with nothing counted.
  public init() {}

  /// Samples that were read and not kept, by cause.
  public subscript(dropped cause: DropCause) -> UInt64 {
    get { drops[cause.rawValue] }
    set { drops[cause.rawValue] = newValue }
  }

  /// Samples that were kept with a part missing, by the first cause that was found.
  public subscript(damaged cause: DamageCause) -> UInt64 {
    get { damages[cause.rawValue] }
    set { damages[cause.rawValue] = newValue }
  }

  /// Samples with a remark; one sample may have several.
  public subscript(remark: Remark) -> UInt64 {
    get { remarks[remark.rawValue] }
    set { remarks[remark.rawValue] = newValue }
  }

  /// Counts one sample's remarks.
  public mutating func count(_ found: Remarks) {
    guard !found.isEmpty else { return }
    for remark in Remark.allCases where found.contains(remark) { remarks[remark.rawValue] += 1 }
  }

  /// Samples that were read and not kept.
  public var dropped: UInt64 { drops.reduce(0, +) }
  /// Samples that were kept with a part missing.
  public var damaged: UInt64 { damages.reduce(0, +) }
  /// Samples in the profile.
  public var kept: UInt64 { whole + damaged }
  /// Interrupts of the target: runs without the filtered ones.
  public var targetRuns: UInt64 { runs &- filtered }
}
