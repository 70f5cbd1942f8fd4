// A process's memory with a few words replaced: what an interpreter in another state would look like.

import ProcessImages

/// Reads the memory of a process, but for some words; and zeros in a page that no process maps.
final class PatchedMemory: ByteSource {
  /// A range without memory, which reads as zeros here.
  static let zeros: Range<UInt64> = 0x100..<0x200

  private let memory: any ByteSource
  private let words: [UInt64: UInt64]

  /// `words`: by address, aligned to 8 bytes.
  init(_ memory: any ByteSource, words: [UInt64: UInt64]) {
    self.memory = memory
    self.words = words
  }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    let end = address &+ UInt64(buffer.count)
    if Self.zeros.contains(address), end <= Self.zeros.upperBound {
      for index in 0..<buffer.count { unsafe buffer[index] = 0 }
      return true
    }
    guard unsafe memory.read(address, into: buffer) else { return false }
    for (place, word) in words {
      for byte in 0..<UInt64(8) where place + byte >= address && place + byte < end {
        unsafe buffer[Int(place + byte - address)] = UInt8(truncatingIfNeeded: word >> (8 * byte))
      }
    }
    return true
  }
}
