// The language of each compilation unit by the debug information (DW_AT_language), and which addresses are its.

internal import CLibdw
internal import CLibelf

/// Address ranges and the language of the source that they were compiled from.
public struct DebugLanguages: Sendable {
  struct Range {
    var start: UInt64
    var end: UInt64
    var language: SourceLanguage
  }

  /// Greatest size of all sections that are read, as they are and unpacked, in bytes.
  private static let maximumBytes: UInt64 = 256 << 20
  private static let maximumRanges = 1 << 20

  /// By start.
  private var ranges: [Range] = []

  /// No debug information.
  public init() {}

  /// The language at a virtual address of the file; nil where the debug information does not say, or names one that
  /// `SourceLanguage` does not have.
  public func language(at virtualAddress: UInt64) -> SourceLanguage? {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].start <= virtualAddress { low = middle + 1 } else { high = middle }
    }
    guard low > 0, virtualAddress < ranges[low - 1].end else { return nil }
    return ranges[low - 1].language
  }

  /// Reads the units of a file; nil where it has no debug information, or more than is read.
  init?(image: ElfImage) {
    guard image.section(named: ".debug_info") != nil, var file = DebugSections(image, Self.maximumBytes)?.file
    else {
      return nil
    }
    ranges = unsafe file.withUnsafeMutableBytes { unsafe Self.read($0) }
    ranges.sort { $0.start < $1.start }
  }

  /// `file` is an ELF file in memory.
  private static func read(_ file: UnsafeMutableRawBufferPointer) -> [Range] {
    _ = elf_version(UInt32(EV_CURRENT))
    guard let base = file.baseAddress,
      let elf = unsafe elf_memory(base.assumingMemoryBound(to: CChar.self), file.count)
    else { return [] }
    defer { _ = unsafe elf_end(elf) }
    guard let dwarf = unsafe dwarf_begin_elf(elf, DWARF_C_READ, nil) else { return [] }
    defer { _ = unsafe dwarf_end(dwarf) }
    var found: [Range] = []
    var offset: Dwarf_Off = 0
    while found.count < maximumRanges {
      var next: Dwarf_Off = 0
      var headerSize = 0
      guard unsafe dwarf_nextcu(dwarf, offset, &next, &headerSize, nil, nil, nil) == 0, next > offset else {
        break
      }
      var unit = unsafe Dwarf_Die()
      if unsafe dwarf_offdie(dwarf, offset + Dwarf_Off(headerSize), &unit) != nil,
        let language = unsafe SourceLanguage(dwarf: dwarf_srclang(&unit))
      {
        unsafe addRanges(of: &unit, language, to: &found)
      }
      offset = next
    }
    return found
  }

  private static func addRanges(
    of unit: UnsafeMutablePointer<Dwarf_Die>, _ language: SourceLanguage, to found: inout [Range]
  ) {
    var position = 0
    var (base, start, end): (Dwarf_Addr, Dwarf_Addr, Dwarf_Addr) = (0, 0, 0)
    while found.count < maximumRanges {
      position = unsafe dwarf_ranges(unit, position, &base, &start, &end)
      guard position > 0 else { return }
      // Functions that the linker dropped stand at 0.
      if start > 0, start < end { found.append(Range(start: start, end: end, language: language)) }
    }
  }
}

extension SourceLanguage {
  /// The language behind a DW_LANG code (DWARF 5, 7.12, and the codes given out since); nil for others.
  init?(dwarf code: Int32) {
    switch code {
    // C89, C, C99, C11, C17
    case 0x01, 0x02, 0x0C, 0x1D, 0x2C: self = .c
    // C++, C++03, C++11, C++14, C++17, C++20
    case 0x04, 0x19, 0x1A, 0x21, 0x2A, 0x2B: self = .cplusplus
    // Fortran 77, 90, 95, 2003, 2008, 2018
    case 0x07, 0x08, 0x0E, 0x22, 0x23, 0x2D: self = .fortran
    case 0x1C: self = .rust
    default: return nil
    }
  }
}

/// A copy of the few debug sections that tell languages and addresses, as an ELF file of its own: read through the
/// image's own bytes, and without the gigabytes that the others may have.
private struct DebugSections {
  private static let names = [
    ".debug_info", ".debug_abbrev", ".debug_addr", ".debug_ranges", ".debug_rnglists",
  ]

  private(set) var file: [UInt8]

  /// Nil where a section cannot be read, or they are larger than `limit` together.
  init?(_ image: ElfImage, _ limit: UInt64) {
    let sections = Self.names.compactMap(image.section(named:)).filter { $0.type == UInt32(SHT_PROGBITS) }
    var total: UInt64 = 0
    file = [UInt8](repeating: 0, count: MemoryLayout<Elf64_Ehdr>.size)
    var headers = [Elf64_Shdr()]
    var names: [UInt8] = [0]
    for section in sections {
      guard let size = Self.unpackedSize(section, image) else { return nil }
      total = total.addingReportingOverflow(max(size, section.size)).partialValue
      guard size <= limit, section.size <= limit, total <= limit,
        let bytes = image.bytes.bytes(section.fileOffset, count: Int(section.size), limit: Int(limit))
      else { return nil }
      var header = Self.header(named: section.name, at: file.count, count: bytes.count, &names)
      header.sh_flags = section.isCompressed ? UInt64(SHF_COMPRESSED) : 0
      headers.append(header)
      file += bytes
      align()
    }
    var strings = Self.header(named: ".shstrtab", at: file.count, count: 0, &names)
    strings.sh_type = UInt32(SHT_STRTAB)
    strings.sh_size = UInt64(names.count)
    headers.append(strings)
    file += names
    align()
    let start = file.count
    file += Self.bytes(headers)
    let elf = Self.elfHeader(sectionsAt: start, count: headers.count)
    file.replaceSubrange(0..<MemoryLayout<Elf64_Ehdr>.size, with: Self.bytes([elf]))
  }

  private mutating func align() { file += [UInt8](repeating: 0, count: -file.count & 7) }

  private static func unpackedSize(_ section: ElfImage.Section, _ image: ElfImage) -> UInt64? {
    guard section.isCompressed else { return section.size }
    return image.bytes.structures(section.fileOffset, count: 1, limit: 1, as: Elf64_Chdr.self)?.first?.ch_size
  }

  private static func header(named name: String, at offset: Int, count: Int, _ names: inout [UInt8])
    -> Elf64_Shdr
  {
    var header = Elf64_Shdr()
    header.sh_name = UInt32(names.count)
    names += [UInt8](name.utf8) + [0]
    header.sh_type = UInt32(SHT_PROGBITS)
    header.sh_offset = UInt64(offset)
    header.sh_size = UInt64(count)
    header.sh_addralign = 8
    return header
  }

  private static func elfHeader(sectionsAt start: Int, count: Int) -> Elf64_Ehdr {
    var header = Elf64_Ehdr()
    header.e_ident.0 = 0x7F
    header.e_ident.1 = 0x45
    header.e_ident.2 = 0x4C
    header.e_ident.3 = 0x46
    header.e_ident.4 = UInt8(ELFCLASS64)
    header.e_ident.5 = UInt8(ELFDATA2LSB)
    header.e_ident.6 = UInt8(EV_CURRENT)
    header.e_type = UInt16(ET_DYN)
    header.e_machine = UInt16(EM_X86_64)
    header.e_version = UInt32(EV_CURRENT)
    header.e_ehsize = UInt16(MemoryLayout<Elf64_Ehdr>.size)
    header.e_shoff = UInt64(start)
    header.e_shentsize = UInt16(MemoryLayout<Elf64_Shdr>.size)
    header.e_shnum = UInt16(count)
    header.e_shstrndx = UInt16(count - 1)
    return header
  }

  private static func bytes<T: BitwiseCopyable>(_ values: [T]) -> [UInt8] {
    unsafe values.withUnsafeBytes { unsafe [UInt8]($0) }
  }
}
