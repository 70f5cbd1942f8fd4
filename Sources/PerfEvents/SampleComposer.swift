// Puts a record together in the form in which the eBPF program's output event writes it, so that everything behind it
// is the same: fixed part, kernel call chain, raw record, registers, stack.

import CPerfEvent
import Glibc
import Snapshots

/// Room for one composed record. Not thread safe.
@safe final class SampleComposer {
  /// Identifier of composed samples.
  static let sampleID: UInt64 = 0
  /// Identifier of composed records of names.
  static let namesID: UInt64 = 1
  /// The most that a record's 16-bit size can state.
  private static let largest = 65528

  private let bytes: UnsafeMutableRawPointer
  private var count = 0

  init() { unsafe bytes = .allocate(byteCount: 1 << 16, alignment: 8) }

  deinit { unsafe bytes.deallocate() }

  /// The record that was composed last.
  var composed: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: bytes, count: count) }

  /// A sample: what the clock event wrote, with a Python chain, and with another copy of its stack where there is one.
  func compose(_ sample: borrowing ClockSample, chain: UnsafeRawBufferPointer, stack: UnsafeRawBufferPointer?)
  {
    begin(sample.record, Self.sampleID)
    append(sample.record, sample.kernel)
    let paddedChain = padded(chain.count)
    // The stack gives way: registers, its own size words, and the chain come first.
    let registers = sample.registers.isEmpty ? 8 : sample.registers.count + 16
    let rest = Self.largest - count - paddedChain - registers
    guard rest >= 0 else {
      count = 0
      return
    }
    unsafe appendRaw(chain)
    if sample.registers.isEmpty {
      append(UInt64(0))
    } else {
      append(sample.record, sample.registers)
      let available = unsafe stack.map(\.count) ?? sample.stack.count
      let size = min(available, rest) & ~7
      append(UInt64(size))
      if size > 0 {
        if let stack = unsafe stack {
          unsafe append(UnsafeRawBufferPointer(rebasing: stack[..<size]))
        } else {
          append(sample.record, sample.stack.lowerBound..<(sample.stack.lowerBound + size))
        }
        append(UInt64(size))
      }
    }
    end()
  }

  /// A record of names, stamped as the sample is.
  func compose(_ sample: borrowing ClockSample, names: UnsafeRawBufferPointer) {
    begin(sample.record, Self.namesID)
    unsafe appendRaw(names)
    end()
  }

  private func padded(_ size: Int) -> Int { (4 + size + 7) & ~7 }

  private func begin(_ record: RawSpan, _ identifier: UInt64) {
    count = 0
    append(record, 0..<RecordParser.sampleFixed)
    unsafe bytes.storeBytes(of: identifier, toByteOffset: 8, as: UInt64.self)
  }

  private func end() {
    // struct perf_event_header: type 32, misc 16, size 16.
    unsafe bytes.storeBytes(of: UInt16(count), toByteOffset: 6, as: UInt16.self)
  }

  private func append(_ word: UInt64) {
    unsafe bytes.storeBytes(of: word, toByteOffset: count, as: UInt64.self)
    count += 8
  }

  private func append(_ record: RawSpan, _ range: Range<Int>) {
    unsafe record.extracting(range).withUnsafeBytes { unsafe append($0) }
  }

  private func append(_ more: UnsafeRawBufferPointer) {
    guard let from = more.baseAddress else { return }
    unsafe (bytes + count).copyMemory(from: from, byteCount: more.count)
    count += more.count
  }

  private func appendRaw(_ raw: UnsafeRawBufferPointer) {
    let size = padded(raw.count)
    unsafe memset(bytes + count, 0, size)
    unsafe bytes.storeBytes(of: UInt32(size - 4), toByteOffset: count, as: UInt32.self)
    if let from = raw.baseAddress {
      unsafe (bytes + count + 4).copyMemory(from: from, byteCount: raw.count)
    }
    count += size
  }
}
