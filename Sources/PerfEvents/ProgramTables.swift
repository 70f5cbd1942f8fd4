// Tables that the eBPF program and we share by mapping, and the embedded object.

import CLibbpf
import Glibc

/// Owner of the mapping of an array map made with BPF_F_MMAPABLE.
@safe final class MappedArray {
  let base: UnsafeMutableRawPointer
  /// Bytes per element: the value's size rounded up to 8 (kernel/bpf/arraymap.c).
  let stride: Int
  private let mappedBytes: Int

  init(_ map: OpaquePointer, count: Int, stride: Int) throws(PerfEventsError) {
    self.stride = (stride + 7) & ~7
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    mappedBytes = (count * self.stride + page - 1) / page * page
    guard
      let address = unsafe mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0),
      unsafe address != MAP_FAILED
    else { throw .program(step: "mapping a table", errno: errno) }
    unsafe base = address
  }

  deinit { unsafe munmap(base, mappedBytes) }
}

/// The program's counters (`struct python_chain_counters`), in its order.
public struct ProgramCounts: Sendable, Equatable {
  static let words = 12
  static let duplicateThreadWord = 12

  private var values: [UInt64] = Array(repeating: 0, count: words)

  mutating func add(_ index: Int, _ value: UInt64) { values[index] &+= value }

  /// Interrupts that reached the program.
  public var runs: UInt64 { values[0] }
  /// Of those, interrupts of other processes and threads, and duplicates.
  public var filtered: UInt64 { values[1] }
  /// Interrupts by a second event of one thread.
  public var duplicates: UInt64 { values[2] }
  /// Samples written.
  public var emitted: UInt64 { values[3] }
  /// Samples lost for want of room.
  public var ringFull: UInt64 { values[4] }
  /// Attempts that found no room.
  public var ringFullAttempts: UInt64 { values[5] }
  /// Samples written with the smallest stack copy only, for want of room.
  public var reduced: UInt64 { values[6] }
  /// Samples lost for another reason.
  public var outputErrors: UInt64 { values[7] }
  /// errno of the last such failure, negative.
  public var lastOutputError: Int64 { Int64(bitPattern: values[8]) }
  /// Code objects whose names were handed over.
  public var namesEmitted: UInt64 { values[9] }
  /// Hand-overs of names that found no room.
  public var namesLost: UInt64 { values[10] }
  /// Searches of the list of thread states.
  public var threadWalks: UInt64 { values[11] }
}

extension EmbeddedProgram {
  /// The eBPF object file.
  static var bytes: [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(base64.utf8CodeUnitCount / 4 * 3)
    var accumulator: UInt32 = 0
    var bits = 0
    base64.withUTF8Buffer { text in
      for index in 0..<text.count {
        let character = unsafe text[index]
        let value: UInt32
        switch character {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = UInt32(character - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): value = UInt32(character - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt32(character - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "+"): value = 62
        case UInt8(ascii: "/"): value = 63
        default: continue
        }
        accumulator = accumulator << 6 | value
        bits += 6
        if bits >= 8 {
          bits -= 8
          result.append(UInt8(truncatingIfNeeded: accumulator >> UInt32(bits)))
        }
      }
    }
    return result
  }
}
