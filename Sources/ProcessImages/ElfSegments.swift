// The loaded segments of an ELF file: reading by virtual address, and where a mapping puts them.

internal import CLibelf

/// A PT_LOAD program header.
public struct ElfSegment: Hashable, Sendable {
  /// First virtual address of the segment, as the file says it.
  public let virtualAddress: UInt64
  /// Bytes in memory.
  public let memorySize: UInt64
  /// Offset of its first byte in the file.
  public let fileOffset: UInt64
  /// Bytes in the file, never more than in memory; the rest of memory is zero.
  public let fileSize: UInt64
  /// PF_W.
  public let isWritable: Bool
  /// PF_X.
  public let isExecutable: Bool

  /// First virtual address after the segment; does not overflow.
  public var end: UInt64 { virtualAddress + memorySize }

  /// Nil where a range wraps around the address space.
  init?(_ header: Elf64_Phdr) {
    guard !header.p_vaddr.addingReportingOverflow(header.p_memsz).overflow,
      !header.p_offset.addingReportingOverflow(header.p_filesz).overflow
    else { return nil }
    virtualAddress = header.p_vaddr
    memorySize = header.p_memsz
    fileOffset = header.p_offset
    fileSize = min(header.p_filesz, header.p_memsz)
    isWritable = header.p_flags & 2 != 0
    isExecutable = header.p_flags & 1 != 0
  }
}

/// A file's bytes by virtual address, through all of its segments; past a segment's file size they are zero.
final class SegmentBytes: ByteSource {
  let bytes: any ByteSource
  /// By virtual address.
  let segments: [ElfSegment]

  init(bytes: any ByteSource, segments: [ElfSegment]) {
    self.bytes = bytes
    self.segments = segments.sorted { $0.virtualAddress < $1.virtualAddress }
  }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    var done = 0
    while done < buffer.count {
      let (at, overflow) = address.addingReportingOverflow(UInt64(done))
      guard !overflow, let segment = segment(containing: at) else { return false }
      let inside = at - segment.virtualAddress
      let left = buffer.count - done
      let isInFile = inside < segment.fileSize
      let available = (isInFile ? segment.fileSize : segment.memorySize) - inside
      let count = Int(min(UInt64(left), available))
      let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      if isInFile {
        guard unsafe bytes.read(segment.fileOffset + inside, into: target) else { return false }
      } else {
        unsafe target.initializeMemory(as: UInt8.self, repeating: 0)
      }
      done += count
    }
    return true
  }

  func segment(containing address: UInt64) -> ElfSegment? {
    segments.first { address >= $0.virtualAddress && address < $0.end }
  }
}

extension ElfImage {
  /// What a mapping of this file adds to the file's virtual addresses (modulo 2^64); nil where no segment has
  /// the mapping's file offset.
  ///
  /// Neighbouring segments often share a page of the file, so several may have the offset: the one whose
  /// rights and first page are the mapping's own wins.
  public func bias(of mapping: Mapping) -> UInt64? {
    let pageMask: UInt64 = 4095
    var best: (score: Int, bias: UInt64)?
    for segment in segments where segment.fileSize > 0 {
      let firstPage = segment.fileOffset & ~pageMask
      guard mapping.fileOffset >= firstPage, mapping.fileOffset < segment.fileOffset + segment.fileSize else {
        continue
      }
      let bias = mapping.start &- (segment.virtualAddress &- segment.fileOffset &+ mapping.fileOffset)
      // A loader moves an image by whole pages, and a program that is not position independent not at all.
      guard bias & pageMask == 0, isPositionIndependent || bias == 0 else { continue }
      var score = segment.isExecutable == mapping.isExecutable ? 4 : 0
      score += firstPage == mapping.fileOffset ? 2 : 0
      score += segment.isWritable == mapping.isWritable ? 1 : 0
      if score > best?.score ?? -1 { best = (score, bias) }
    }
    return best?.bias
  }
}
