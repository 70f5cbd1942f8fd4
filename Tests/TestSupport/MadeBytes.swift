// Memory made by hand.

import ProcessImages

/// Bytes at one address.
package final class BytesAt: ByteSource {
  private let start: UInt64
  private let contents: [UInt8]

  package init(_ start: UInt64, _ contents: [UInt8]) {
    self.start = start
    self.contents = contents
  }

  package func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard address >= start, address - start <= UInt64(contents.count),
      UInt64(contents.count) - (address - start) >= UInt64(buffer.count)
    else { return false }
    for index in 0..<buffer.count { unsafe buffer[index] = contents[Int(address - start) + index] }
    return true
  }
}

/// Words as the bytes of a stack.
package func stackBytes(_ words: [UInt64]) -> [UInt8] {
  words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } }
}

/// A provider of no files: everything that is mapped is anonymous.
package final class NoImages: ImageProvider {
  package init() {}

  package func image(for mapping: Mapping) -> ElfImage? { nil }
}

/// Numbers that are the same in every run: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators).
package struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
