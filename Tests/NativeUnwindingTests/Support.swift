// Processes made of one file.

import ProcessImages

/// One file as if it was mapped at its own virtual addresses plus a bias.
final class OneFile: ImageProvider {
  static let bias: UInt64 = 0x7f12_3400_0000
  private let file: ElfImage

  init(_ file: ElfImage) { self.file = file }

  func image(for mapping: Mapping) -> ElfImage? { file }

  static func space(_ image: ElfImage) -> AddressSpace {
    let mappings = image.segments.filter(\.isExecutable).map { segment in
      let start = segment.virtualAddress & ~4095
      return Mapping(
        start: start + bias, end: (segment.end + 4095) & ~4095 + bias,
        fileOffset: segment.fileOffset & ~4095, isExecutable: true, inode: 1, path: "/file")
    }
    return AddressSpace(mappings: mappings, provider: OneFile(image))
  }
}

/// Bytes of another source, some of them replaced.
final class Patched: ByteSource {
  private let source: any ByteSource
  private let patches: [UInt64: UInt8]

  init(_ source: any ByteSource, _ patches: [UInt64: UInt8]) {
    self.source = source
    self.patches = patches
  }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard unsafe source.read(address, into: buffer) else { return false }
    for index in 0..<buffer.count {
      if let byte = patches[address &+ UInt64(index)] { unsafe buffer[index] = byte }
    }
    return true
  }
}
