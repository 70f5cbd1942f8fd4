// The profile: distinct merged stacks with their counts, and what a reader must know about the run.
// Shaped like pprof's profile.proto: string table, frame table, stack table, samples.

import Accounting

/// Position of a string in the profile's string table.
public struct StringID: Hashable, Sendable {
  /// Position in `StringTable`.
  public let index: UInt32
  /// The empty string, always at position 0.
  public static let empty = StringID(index: 0)

  init(index: UInt32) { self.index = index }
}

/// Position of a frame in the profile's frame table.
public struct FrameID: Hashable, Sendable, BitwiseCopyable {
  /// Position in `Profile.frames`.
  public let index: UInt32

  /// A frame position that came from `Profile.intern(frame:)`.
  public init(index: UInt32) { self.index = index }
}

/// Position of a stack in the profile's stack table.
public struct StackID: Hashable, Sendable {
  /// Position in the stack table.
  public let index: UInt32
}

/// Where the code of a frame lives.
public enum FrameKind: UInt8, Sendable, CaseIterable {
  /// A Python function; `file` is its `co_filename`, `line` the line being executed.
  case python
  /// Machine code of the target; `file` is the path of its module, `line` is 0.
  case native
  /// Code of the kernel.
  case kernel
  /// Not code: says that something is missing or doubtful at this place.
  case marker
}

/// One line of a stack as people read it.
public struct Frame: Hashable, Sendable {
  /// What `name`, `file` and `line` mean.
  public var kind: FrameKind
  /// Python: qualified name (`co_qualname`). Native and kernel: demangled symbol, or
  /// `module+0xoffset` where no symbol covers the address. Marker: its text, in brackets.
  public var name: StringID
  /// Python: `co_filename`. Native: full path of the module. Kernel: `[kernel]` or the module's name.
  public var file: StringID
  /// Python: line being executed (1-based; the first line of the function where the instruction has
  /// no line). Otherwise 0.
  public var line: Int32
  /// Python: line of the function's definition, that of its first decorator where it has one
  /// (`co_firstlineno`); 0 where it is not known. Otherwise 0.
  public var firstLine: Int32
  /// What it was written in.
  public var language: FrameLanguage

  /// A frame whose strings were interned in the same profile. Without a language it has the one that its kind tells.
  public init(
    kind: FrameKind, name: StringID, file: StringID, line: Int32, firstLine: Int32 = 0,
    language: FrameLanguage? = nil
  ) {
    self.kind = kind
    self.name = name
    self.file = file
    self.line = line
    self.firstLine = firstLine
    self.language = language ?? FrameLanguage(kind)
  }
}

/// A thread that was sampled.
public struct ProfiledThread: Sendable, Hashable {
  /// Kernel thread id, in the pid namespace caduceus runs in.
  public var tid: Int32
  /// Thread name (`/proc/PID/task/TID/comm`) when it was last seen.
  public var name: String

  /// A thread by id and name.
  public init(tid: Int32, name: String) {
    self.tid = tid
    self.name = name
  }
}

/// What was sampled, and how.
public struct ProfileHeader: Sendable {
  /// Process id of the target.
  public var processID: Int32 = 0
  /// Command line of the target.
  public var command: String = ""
  /// For example `CPython 3.13.0`; empty when no interpreter was found.
  public var interpreter: String = ""
  /// How samples were taken where it was not by the eBPF program in the interrupt; else empty.
  public var captureMethod: String = ""
  /// Nanoseconds of CPU time between two samples of one thread.
  public var period: UInt64 = 1_000_000
  /// Nanoseconds of wall time from the start to the end of sampling.
  public var duration: UInt64 = 0
  /// Wall clock at the start, in nanoseconds since 1970-01-01 UTC; 0 where it is not known.
  public var startTime: UInt64 = 0
  /// Child processes of the target, which are not sampled, that ran Python when sampling ended.
  public var livingPythonChildren: [Int32] = []
  /// Version of caduceus that made the profile.
  public var version = ProfileHeader.currentVersion

  /// Version of this caduceus.
  public static let currentVersion = "0.1.0"

  /// A header with nothing known yet.
  public init() {}
}

/// Distinct stacks with their counts. Grows with distinct stacks, not with samples.
public struct Profile: Sendable {
  /// What was sampled, and how.
  public var header = ProfileHeader()
  /// How every interrupt ended.
  public var ledger = Ledger()
  /// All distinct strings.
  public private(set) var strings = StringTable()
  /// All distinct frames, in the order of first use.
  public internal(set) var frames: [Frame] = []
  /// The sampled threads; `Sample.thread` is a position here.
  public var threads: [ProfiledThread] = []
  /// The modules of the native frames.
  public var modules: [ProfiledModule] = []
  /// When each sample was taken; nil where nobody asked for it.
  public var timeline: Timeline?

  var frameIndex: [Frame: UInt32] = [:]
  var stacks = StackTable()
  var counts = SampleCounts()

  /// An empty profile.
  public init() {}

  /// The id of `string`, adding it when it is new.
  public mutating func intern(string: String) -> StringID { strings.intern(string) }

  /// The id of `frame`, adding it when it is new.
  public mutating func intern(frame: Frame) -> FrameID {
    if let known = frameIndex[frame] { return FrameID(index: known) }
    let index = UInt32(frames.count)
    frames.append(frame)
    frameIndex[frame] = index
    return FrameID(index: index)
  }

  /// Says what a frame was written in, once that is found out. Interning of equal frames is meant to be over.
  public mutating func setLanguage(_ language: FrameLanguage, of frame: FrameID) {
    let index = Int(frame.index)
    guard frames[index].language != language else { return }
    if frameIndex[frames[index]] == frame.index { frameIndex[frames[index]] = nil }
    frames[index].language = language
    if frameIndex[frames[index]] == nil { frameIndex[frames[index]] = frame.index }
  }

  /// Counts one sample. `stack` is leaf first and may be empty (nothing could be shown). `time` is in nanoseconds of
  /// the time line's clock; it is kept where there is a time line.
  public mutating func record(stack: Span<FrameID>, thread: Int, count: UInt64 = 1, time: UInt64 = 0) {
    let id = stacks.intern(stack)
    counts.add(stack: id, thread: UInt32(thread), count: count)
    if timeline != nil {
      for _ in 0..<count { timeline?.append(time: time, thread: UInt32(thread), stack: id) }
    }
  }

  /// One distinct stack of one thread, and how often it was seen.
  public struct Sample: Sendable {
    /// The stack, for `frames(of:)`.
    public let stack: StackID
    /// Position in `threads`.
    public let thread: Int
    /// Number of interrupts that found this stack.
    public let count: UInt64
  }

  /// All samples, in the order in which their (stack, thread) pair was first seen.
  public var samples: [Sample] { counts.samples }

  /// The frames of a stack, leaf first.
  public func frames(of stack: StackID) -> ArraySlice<FrameID> { stacks[stack] }

  /// The frame behind an id.
  public subscript(frame: FrameID) -> Frame { frames[Int(frame.index)] }

  /// The string behind an id.
  public subscript(string: StringID) -> String { strings[string] }
}
