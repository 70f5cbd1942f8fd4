// The eBPF program: loading, the tables it shares with us by mapping, its counters.

import CLibbpf
import CPerfEvent
import Glibc
import PythonChain
import Snapshots

/// What is fixed when the program is loaded.
public struct ProgramConfiguration: Sendable {
  /// Process id of the target, in its own pid namespace.
  public var processID: Int32
  /// Device and inode of the target's pid namespace file, as stat(2) gives them.
  public var namespaceDevice: UInt64
  /// Inode of the namespace file.
  public var namespaceInode: UInt64
  /// Only the main thread is sampled.
  public var mainThreadOnly: Bool
  /// The clock events write samples of their own, too: for comparing both ways of sampling.
  package var keepsSamples = false
  /// Sizes of the stack copies, ascending, at most four, each a multiple of 8 and at most 65528.
  public var stackBytes: [UInt32]

  /// All threads of a process, with the usual stack classes.
  public init(processID: Int32, namespaceDevice: UInt64, namespaceInode: UInt64) {
    self.processID = processID
    self.namespaceDevice = namespaceDevice
    self.namespaceInode = namespaceInode
    mainThreadOnly = false
    stackBytes = Self.stackClasses(largest: 65528)
  }

  /// The stack classes up to `largest` bytes.
  public static func stackClasses(largest: UInt32) -> [UInt32] {
    let rounded = min(largest, 65528) & ~7
    return [4096, 16384, 32768].filter { $0 < rounded } + [max(rounded, 512)]
  }
}

/// The loaded program with its maps. Everything we write while it runs goes through mapped memory, because a
/// system call on a map would make the kernel skip interrupts on that CPU meanwhile.
@safe public final class SamplingProgram {
  /// CPUs the tables have room for: all that may ever come online.
  let cpuCount: Int
  /// Descriptor to attach to events; owned by `object`.
  let programDescriptor: Int32
  private let object: OpaquePointer
  private let outputs: Int32
  private let counters: MappedArray
  private let layouts: MappedArray
  private let target: MappedArray
  /// The configuration it was loaded with.
  let configuration: ProgramConfiguration
  private var lastLayout: UInt32 = 0

  /// Loads the program and its maps.
  public init(_ configuration: ProgramConfiguration) throws(PerfEventsError) {
    self.configuration = configuration
    let cpus = libbpf_num_possible_cpus()
    guard cpus > 0 else { throw .program(step: "counting CPUs", errno: -cpus) }
    cpuCount = Int(cpus)
    let log = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 1 << 20)
    unsafe log.initialize(repeating: 0)
    defer { unsafe log.deallocate() }
    let bytes = EmbeddedProgram.bytes
    let opened = unsafe bytes.withUnsafeBytes { buffer in
      unsafe caduceus_open_program(buffer.baseAddress, buffer.count, log.baseAddress, log.count)
    }
    guard let object = unsafe opened else { throw .program(step: "opening the eBPF object", errno: errno) }
    var kept = false
    defer { if !kept { unsafe bpf_object__close(object) } }
    func map(_ name: StaticString) throws(PerfEventsError) -> OpaquePointer {
      guard let map = unsafe bpf_object__find_map_by_name(object, name.pointer) else {
        throw .program(step: "finding map \(name)", errno: ENOENT)
      }
      return unsafe map
    }
    try unsafe Self.size(map("scratches"), cpus)
    try unsafe Self.size(map("codes"), cpus * Int32(PYTHON_CHAIN_CODE_SLOTS))
    try unsafe Self.size(map("counters"), cpus)
    try unsafe Self.size(map("outputs"), cpus * Int32(PYTHON_CHAIN_OUTPUTS))
    try unsafe Self.configure(object, configuration, cpus: UInt32(cpus))
    let failure = unsafe bpf_object__load(object)
    guard failure == 0 else { throw unsafe .refused(errno: -failure, lastLines: Self.lastLines(log)) }
    guard let program = unsafe bpf_object__find_program_by_name(object, "sample_thread") else {
      throw .program(step: "finding the program", errno: ENOENT)
    }
    let shared = (
      try unsafe MappedArray(
        map("counters"), count: Int(cpus), stride: MemoryLayout<python_chain_counters>.stride),
      try unsafe MappedArray(
        map("layouts"), count: Int(PYTHON_CHAIN_LAYOUT_SLOTS), stride: MemoryLayout<python_layout>.stride),
      try unsafe MappedArray(map("target"), count: 1, stride: 8)
    )
    (counters, layouts, target) = shared
    outputs = unsafe bpf_map__fd(try map("outputs"))
    programDescriptor = unsafe bpf_program__fd(program)
    unsafe self.object = object
    kept = true
  }

  deinit { unsafe bpf_object__close(object) }

  private static func size(_ map: OpaquePointer, _ entries: Int32) throws(PerfEventsError) {
    let failure = unsafe bpf_map__set_max_entries(map, UInt32(entries))
    if failure != 0 { throw .program(step: "sizing a map", errno: -failure) }
  }

  /// Fills the program's constants (`config` in python_chain.bpf.c).
  private static func configure(_ object: OpaquePointer, _ configuration: ProgramConfiguration, cpus: UInt32)
    throws(PerfEventsError)
  {
    var map = unsafe bpf_object__next_map(object, nil)
    while let candidate = unsafe map {
      if unsafe String(cString: bpf_map__name(candidate)).hasSuffix(".rodata") {
        var size = 0
        guard let value = unsafe bpf_map__initial_value(candidate, &size), size >= 48 else { break }
        var words = unsafe [UInt8](UnsafeRawBufferPointer(start: value, count: size))
        func store<T: FixedWidthInteger>(_ value: T, at offset: Int) {
          for byte in 0..<MemoryLayout<T>.size {
            words[offset + byte] = UInt8(truncatingIfNeeded: value >> T(byte * 8))
          }
        }
        // stat(2)'s device number by glibc's <sys/sysmacros.h>; the kernel's own form is major << 20 | minor.
        let device = configuration.namespaceDevice
        let major = (device >> 8 & 0xfff) | (device >> 32 & ~0xfff)
        let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00)
        store(major << 20 | minor, at: 0)
        store(configuration.namespaceInode, at: 8)
        store(configuration.processID, at: 16)
        store(configuration.mainThreadOnly ? UInt32(1) : 0, at: 20)
        store(cpus, at: 24)
        for (index, bytes) in configuration.stackBytes.prefix(Int(PYTHON_CHAIN_STACK_CLASSES)).enumerated() {
          store(bytes, at: 28 + index * 4)
        }
        store(configuration.keepsSamples ? UInt32(1) : 0, at: 44)
        let failure = unsafe words.withUnsafeBytes {
          unsafe bpf_map__set_initial_value(candidate, $0.baseAddress, size)
        }
        if failure != 0 { throw .program(step: "setting the program's constants", errno: -failure) }
        return
      }
      unsafe map = bpf_object__next_map(object, candidate)
    }
    throw .program(step: "finding the program's constants", errno: ENOENT)
  }

  /// The last lines of what the verifier said, without its statistics.
  private static func lastLines(_ log: UnsafeMutableBufferPointer<CChar>) -> String {
    let text = unsafe log.baseAddress.map { unsafe String(cString: $0) } ?? ""
    let lines = text.split(separator: "\n").filter {
      !$0.hasPrefix("verification time") && !$0.hasPrefix("processed ")
    }
    return lines.suffix(4).joined(separator: "; ")
  }

  /// Lets the program write through `event` for stack class or names slot `slot` of `cpu`.
  func setOutput(cpu: Int, slot: Int, event: Int32) throws(PerfEventsError) {
    var key = UInt32(slot * cpuCount + cpu)
    var value = event
    let failure = unsafe bpf_map_update_elem(outputs, &key, &value, 0)
    if failure != 0 { throw .program(step: "connecting an output event", errno: -failure) }
  }

  /// Makes `layout` the one in force; returns its slot, by which samples name it. Slots are not used twice in
  /// one run, so that a stamp is never ambiguous; nil when all are used up.
  public func use(layout: python_layout) -> UInt32? {
    guard lastLayout + 1 < UInt32(PYTHON_CHAIN_LAYOUT_SLOTS) else { return nil }
    lastLayout += 1
    unsafe layouts.base.storeBytes(
      of: layout, toByteOffset: Int(lastLayout) * layouts.stride, as: python_layout.self)
    setLayoutSlot(lastLayout)
    return lastLayout
  }

  /// From now on no layout is known: a new program image was started.
  public func forgetLayout() { setLayoutSlot(0) }

  private func setLayoutSlot(_ slot: UInt32) { setTarget(word: 0, to: slot) }

  /// From now on the events are those of the CPUs: of several on one CPU none is a duplicate.
  func sampleCPUs() { setTarget(word: 1, to: 1) }

  /// Words of `struct target_state` (program_tables.h).
  private func setTarget(word: Int, to value: UInt32) {
    unsafe caduceus_store_word(target.base.assumingMemoryBound(to: UInt32.self) + word, value)
  }

  /// The program's counters, all CPUs added up.
  public var counts: ProgramCounts {
    var sum = ProgramCounts()
    for cpu in 0..<cpuCount {
      let words = unsafe (counters.base + cpu * counters.stride).assumingMemoryBound(to: UInt64.self)
      for index in 0..<ProgramCounts.words { sum.add(index, unsafe caduceus_load_counter(words + index)) }
    }
    return sum
  }

  /// Threads (ids in the target's pid namespace) whose last duplicate firing was seen on some CPU.
  public var duplicateThreads: Set<Int32> {
    var found: Set<Int32> = []
    for cpu in 0..<cpuCount {
      let words = unsafe (counters.base + cpu * counters.stride).assumingMemoryBound(to: UInt64.self)
      let thread = unsafe caduceus_load_counter(words + ProgramCounts.duplicateThreadWord)
      if thread != 0 { found.insert(Int32(truncatingIfNeeded: thread)) }
    }
    return found
  }
}

extension StaticString {
  fileprivate var pointer: UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
