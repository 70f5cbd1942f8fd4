// One ELF file (x86-64): its segments, sections, unwind header and build-id. Everything in it is untrusted.

internal import CLibelf

/// A program, shared object or separate debug file.
public final class ElfImage {
  /// A range of virtual addresses of the file.
  public struct Extent: Hashable, Sendable {
    /// First virtual address.
    public let virtualAddress: UInt64
    /// Bytes.
    public let size: UInt64
  }

  /// A section, from the section headers.
  public struct Section: Hashable, Sendable {
    /// Name, at most 256 bytes of it.
    public let name: String
    /// SHT_...
    public let type: UInt32
    /// First virtual address; 0 where the section is not loaded.
    public let virtualAddress: UInt64
    /// Offset in the file. A section of type SHT_NOBITS has no bytes there.
    public let fileOffset: UInt64
    /// Bytes.
    public let size: UInt64
    /// SHF_EXECINSTR.
    public let isExecutable: Bool
    /// SHF_COMPRESSED.
    public let isCompressed: Bool
    let link: UInt32
    let entrySize: UInt64

    /// Whether `address` lies in the section.
    public func contains(_ address: UInt64) -> Bool {
      address >= virtualAddress && address - virtualAddress < size
    }
  }

  /// The file, by offset.
  public let bytes: any ByteSource
  /// The file, by virtual address; addresses between file size and memory size read as zero.
  public let virtualAddresses: any ByteSource
  /// Bytes in the file.
  public let size: UInt64
  /// ET_DYN: a loader may put it anywhere. Otherwise its bias is 0.
  public let isPositionIndependent: Bool
  /// The PT_LOAD segments, by virtual address.
  public let segments: [ElfSegment]
  /// PT_GNU_EH_FRAME: the unwind lookup table.
  public let ehFrameHeader: Extent?
  /// PT_DYNAMIC.
  public let dynamic: Extent?
  /// NT_GNU_BUILD_ID; empty where the file has none.
  public let buildID: [UInt8]
  /// All sections by index, the empty first one included; empty where the file has no usable section headers.
  public let sections: [Section]

  static let maximumSegments = 128
  static let maximumSections = 65_535

  /// Reads the headers; symbols are read when they are asked for.
  public init(bytes: any ByteSource, size: UInt64) throws(ElfError) {
    guard size >= UInt64(MemoryLayout<Elf64_Ehdr>.size) else { throw .truncated }
    guard let header = bytes.structures(0, count: 1, limit: 1, as: Elf64_Ehdr.self)?.first else {
      throw .truncated
    }
    let ident = header.e_ident
    guard ident.0 == 0x7F, ident.1 == 0x45, ident.2 == 0x4C, ident.3 == 0x46 else { throw .notElf }
    guard ident.4 == ELFCLASS64, ident.5 == ELFDATA2LSB, header.e_machine == EM_X86_64,
      header.e_type == ET_EXEC || header.e_type == ET_DYN
    else { throw .unsupported }
    let programHeaders = try ElfImage.programHeaders(bytes, size, header)
    var loads: [ElfSegment] = []
    for header in programHeaders where header.p_type == UInt32(PT_LOAD) {
      guard let segment = ElfSegment(header) else { throw .malformed }
      loads.append(segment)
    }
    self.bytes = bytes
    self.size = size
    isPositionIndependent = header.e_type == ET_DYN
    let memory = SegmentBytes(bytes: bytes, segments: loads)
    virtualAddresses = memory
    segments = memory.segments
    ehFrameHeader = ElfImage.extent(programHeaders, UInt32(PT_GNU_EH_FRAME))
    dynamic = ElfImage.extent(programHeaders, UInt32(PT_DYNAMIC))
    sections = ElfImage.readSections(bytes, size, header)
    buildID = ElfImage.findBuildID(bytes, programHeaders, sections)
  }

  /// Fills `buffer` with the bytes at a virtual address of the file; false where any is in no segment.
  public func read(virtualAddress: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    unsafe virtualAddresses.read(virtualAddress, into: buffer)
  }

  /// The first section of that name (`.eh_frame`, `.PyRuntime`, ...).
  public func section(named name: String) -> Section? {
    sections.first { $0.name == name }
  }

  private static func programHeaders(
    _ bytes: any ByteSource, _ size: UInt64, _ header: Elf64_Ehdr
  ) throws(ElfError) -> [Elf64_Phdr] {
    let count = Int(header.e_phnum)
    guard count > 0 else { return [] }
    let entry = MemoryLayout<Elf64_Phdr>.size
    guard Int(header.e_phentsize) == entry, count <= maximumSegments else { throw .malformed }
    let (end, overflow) = header.e_phoff.addingReportingOverflow(UInt64(count * entry))
    guard !overflow, end <= size,
      let headers = bytes.structures(header.e_phoff, count: count, limit: count, as: Elf64_Phdr.self)
    else { throw .truncated }
    return headers
  }

  private static func extent(_ headers: [Elf64_Phdr], _ type: UInt32) -> Extent? {
    guard let header = headers.first(where: { $0.p_type == type && $0.p_memsz > 0 }),
      !header.p_vaddr.addingReportingOverflow(header.p_memsz).overflow
    else { return nil }
    return Extent(virtualAddress: header.p_vaddr, size: header.p_memsz)
  }

  /// Damaged or absent section headers give no sections: nothing that is needed to unwind depends on them.
  private static func readSections(_ bytes: any ByteSource, _ size: UInt64, _ header: Elf64_Ehdr) -> [Section]
  {
    let entry = MemoryLayout<Elf64_Shdr>.size
    guard header.e_shoff > 0, Int(header.e_shentsize) == entry,
      let first = bytes.structures(header.e_shoff, count: 1, limit: 1, as: Elf64_Shdr.self)?.first
    else { return [] }
    // More sections than the header's 16 bits hold: the first section says how many.
    let count = header.e_shnum == 0 ? Int(clamping: first.sh_size) : Int(header.e_shnum)
    let nameIndex = header.e_shstrndx == 0xFFFF ? Int(first.sh_link) : Int(header.e_shstrndx)
    guard
      let headers = bytes.structures(
        header.e_shoff, count: count, limit: maximumSections, as: Elf64_Shdr.self),
      nameIndex < headers.count,
      let names = bytes.bytes(headers[nameIndex].sh_offset, count: Int(clamping: headers[nameIndex].sh_size))
    else { return [] }
    return headers.map { header in
      let start = Int(header.sh_name)
      let name = start < names.count ? names[start...].prefix { $0 != 0 } : []
      let wraps =
        header.sh_addr.addingReportingOverflow(header.sh_size).overflow
        || header.sh_offset.addingReportingOverflow(header.sh_size).overflow
      return Section(
        name: String(decoding: name.prefix(256), as: UTF8.self), type: header.sh_type,
        virtualAddress: header.sh_addr, fileOffset: header.sh_offset, size: wraps ? 0 : header.sh_size,
        isExecutable: header.sh_flags & UInt64(SHF_EXECINSTR) != 0,
        isCompressed: header.sh_flags & UInt64(SHF_COMPRESSED) != 0, link: header.sh_link,
        entrySize: header.sh_entsize)
    }
  }
}
