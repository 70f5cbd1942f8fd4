// All CPUs' rings as one stream of records in the order of time.

import Accounting
import CPerfEvent
import Glibc
import Snapshots

/// What the stream hands its records to. Generic, so that no call is dynamic.
public protocol RecordHandler {
  /// One sample of the target.
  mutating func handle(sample: borrowing SampleRecord)
  /// Names of one code object.
  mutating func handle(names: borrowing NamesRecord)
  /// A side-band record about the target process.
  mutating func handle(sideband: SidebandRecord, stamp: RecordStamp)
  /// A sample record whose sizes do not fit.
  mutating func handleMalformedSample()
  /// Every record as it lay in the ring, before it is taken apart.
  mutating func handle(raw record: borrowing RawSpan, isNames: Bool)
}

extension RecordHandler {
  /// Nobody needs the bytes but a recording.
  @inlinable
  public mutating func handle(raw record: borrowing RawSpan, isNames: Bool) {}
}

/// Owns every CPU's output events, side-band event and ring.
public final class RecordStream {
  /// One CPU: the ring lies on the first output event, everything else is redirected into it.
  private struct CPU: ~Copyable {
    let outputs: InlineArray<5, Int32>
    let outputCount: Int
    let sideband: EventDescriptor

    deinit {
      for index in 0..<outputCount { close(outputs[index]) }
    }
  }

  private final class Box {
    let cpu: CPU
    let ring: IndexedRing
    init(_ cpu: consuming CPU, _ ring: IndexedRing) {
      self.cpu = cpu
      self.ring = ring
    }
  }

  private let cpus: [Box]
  private var merge: RecordMerge
  /// Bytes of one CPU's ring.
  public let ringBytes: Int
  /// Records that arrived after younger ones had been delivered.
  public var lateRecords: UInt64 { merge.lateRecords }
  /// CLOCK_MONOTONIC up to which everything has been delivered.
  public var deliveredUpTo: UInt64 { merge.deliveredUpTo }
  /// CPUs that have a ring.
  public var cpuCount: Int { cpus.count }

  /// Descriptors that every CPU's ring needs: an output event for each stack class and one for names, and the
  /// side-band event.
  public static func descriptorsPerCPU(stackClasses: Int) -> Int { stackClasses + 2 }

  /// Opens the events and rings of all CPUs that are online, and connects them with the program.
  /// `target`: process id (our namespace) whose side-band records are wanted; it may be set once only.
  public init(program: SamplingProgram, ringBytes: Int, target: Int32) throws(PerfEventsError) {
    self.ringBytes = ringBytes
    let clock = Self.clock()
    var cpus: [Box] = []
    for cpu in Self.onlineCPUs() where cpu < program.cpuCount {
      cpus.append(try Self.open(cpu: cpu, program: program, ringBytes: ringBytes))
    }
    self.cpus = cpus
    merge = RecordMerge(cpus.map(\.ring), target: target, clock: clock)
  }

  /// The least ring that is of use: some samples with a whole stack.
  public static let leastRingBytes = 256 << 10

  /// The same with the largest rings that may be locked, none larger than `ringBytes` and none smaller than
  /// `leastRingBytes`.
  public static func largest(program: SamplingProgram, ringBytes: Int, target: Int32)
    throws(PerfEventsError) -> RecordStream
  {
    try Ring.largest(ringBytes, least: leastRingBytes) { bytes throws(PerfEventsError) in
      try RecordStream(program: program, ringBytes: bytes, target: target)
    }
  }

  private static func open(cpu: Int, program: SamplingProgram, ringBytes: Int) throws(PerfEventsError) -> Box
  {
    let classes = program.configuration.stackBytes
    let wakeup = UInt32(ringBytes / 4)
    var outputs = InlineArray<5, Int32>(repeating: -1)
    var count = 0
    var failure: PerfEventsError?
    for slot in 0...classes.count {
      // The last one carries names: neither stack nor registers.
      let bytes = slot < classes.count ? classes[slot] : 0
      let event = caduceus_open_output_event(Int32(cpu), bytes, wakeup)
      if event < 0 {
        failure = .open(what: "the output event of CPU \(cpu)", errno: -event)
        break
      }
      outputs[count] = event
      count += 1
    }
    let dummy = failure == nil ? caduceus_open_sideband_event(Int32(cpu)) : -EINVAL
    if let failure {
      for index in 0..<count { close(outputs[index]) }
      throw failure
    }
    if dummy < 0 {
      for index in 0..<count { close(outputs[index]) }
      throw .open(what: "the side-band event of CPU \(cpu)", errno: -dummy)
    }
    let ring: Ring
    do {
      ring = try Ring(event: outputs[0], capacity: ringBytes)
    } catch {
      for index in 0..<count { close(outputs[index]) }
      close(dummy)
      throw error
    }
    for index in 1..<count { _ = caduceus_event_set_output(outputs[index], outputs[0]) }
    _ = caduceus_event_set_output(dummy, outputs[0])
    let box = Box(
      CPU(outputs: outputs, outputCount: count, sideband: EventDescriptor(owning: dummy)),
      IndexedRing(ring, namesID: caduceus_event_id(outputs[count - 1])))
    for slot in 0..<classes.count { try program.setOutput(cpu: cpu, slot: slot, event: outputs[slot]) }
    // The program's slot for names stands behind all classes there may be.
    try program.setOutput(cpu: cpu, slot: 4, event: outputs[count - 1])
    return box
  }

  /// Waits until a ring has data enough to be worth a look, at most `milliseconds`.
  public func wait(milliseconds: Int32, also descriptor: Int32 = -1) {
    var polled = cpus.map { pollfd(fd: $0.cpu.outputs[0], events: Int16(POLLIN), revents: 0) }
    if descriptor >= 0 { polled.append(pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)) }
    _ = unsafe poll(&polled, nfds_t(polled.count), milliseconds)
  }

  /// Delivers, in the order of time, the records that are older than the previous call; all of them when
  /// `draining` (the events are disabled).
  public func deliver(to handler: inout some RecordHandler, draining: Bool = false) {
    merge.deliver(to: &handler, clock: Self.clock(), draining: draining)
  }

  /// Records lost for want of room, by the kernel's count (PERF_FORMAT_LOST).
  public struct Lost: Sendable, Equatable {
    /// Attempts to write samples.
    public var samples: UInt64 = 0
    /// Attempts to write names.
    public var names: UInt64 = 0
    /// Side-band records.
    public var sideband: UInt64 = 0
  }

  /// The kernel's own counts of lost records.
  public var lost: Lost {
    var lost = Lost()
    for box in cpus {
      var raw = caduceus_event_count()
      for index in 0..<box.cpu.outputCount {
        guard unsafe caduceus_read_output_event(box.cpu.outputs[index], &raw) == 0 else { continue }
        if index == box.cpu.outputCount - 1 { lost.names &+= raw.lost } else { lost.samples &+= raw.lost }
      }
      if unsafe caduceus_read_output_event(box.cpu.sideband.descriptor, &raw) == 0 {
        lost.sideband &+= raw.lost
      }
    }
    return lost
  }

  /// CLOCK_MONOTONIC in nanoseconds: the clock of the records.
  public static func clock() -> UInt64 {
    var now = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  /// The CPUs in `/sys/devices/system/cpu/online`, for example `0-3,8`.
  public static func onlineCPUs() -> [Int] {
    guard let file = unsafe fopen("/sys/devices/system/cpu/online", "re") else { return [0] }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 4096)
    guard unsafe fgets(&buffer, 4096, file) != nil else { return [0] }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.split { $0 == "," || $0 == "\n" }.flatMap { part -> [Int] in
      let ends = part.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, first <= last else { return [] }
      return Array(first...last)
    }
  }
}
