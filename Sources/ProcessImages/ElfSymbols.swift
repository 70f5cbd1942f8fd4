// The symbol tables of an ELF file as they lie in it: .symtab, .dynsym, or the dynamic segment's where a file
// has no section headers; and lookup of one symbol by name.

internal import CLibelf

/// One symbol of a file.
public struct ElfSymbol: Hashable, Sendable {
  /// Virtual address of the file.
  public let virtualAddress: UInt64
  /// Bytes; 0 where the file does not say.
  public let size: UInt64
}

/// A symbol table with its names.
struct RawSymbols {
  static let maximumSymbols = 2 << 20
  static let maximumNameBytes = 128 << 20

  var symbols: [Elf64_Sym]
  var names: [UInt8]
}

extension ElfImage {
  /// Whether the file has .symtab: its debug file would say nothing more about symbols.
  public var hasFullSymbols: Bool { sections.contains { $0.type == UInt32(SHT_SYMTAB) && $0.size > 0 } }

  /// Whether the file names a function of its own among its dynamic symbols: what it exports, and nothing else.
  public var exportsFunctions: Bool {
    let sections = sections.filter { $0.type == UInt32(SHT_DYNSYM) }
    let tables = sections.isEmpty ? [dynamicTables?.rawSymbols(in: self)] : sections.map(rawSymbols)
    return tables.contains { table in
      table?.symbols.contains {
        $0.definesAddress && ($0.kind == STT_FUNC || $0.kind == STT_GNU_IFUNC)
      } ?? false
    }
  }

  /// A function, object or label that the file defines, by its exact name (versions aside); not cached.
  /// Thread-local symbols are not found: they have no address.
  public func symbol(named name: String) -> ElfSymbol? { symbols(named: [name])[name] }

  /// Those of the symbols that the loader would find, by its hash table: no symbol table is read.
  public func exportedSymbols(named names: [String]) -> [String: ElfSymbol] {
    guard let dynamic = dynamicTables else { return [:] }
    var found: [String: ElfSymbol] = [:]
    for name in names { found[name] = dynamic.lookUp([UInt8](name.utf8), in: self) }
    return found
  }

  /// Several symbols by name in one pass over the tables; those that the file does not define are absent.
  public func symbols(named names: [String]) -> [String: ElfSymbol] {
    var found: [String: ElfSymbol] = [:]
    let dynamic = dynamicTables
    var missing: [(name: String, bytes: [UInt8])] = []
    for name in names {
      let bytes = [UInt8](name.utf8)
      if let symbol = dynamic?.lookUp(bytes, in: self) {
        found[name] = symbol
      } else if !bytes.isEmpty, !bytes.contains(0) {
        missing.append((name, bytes))
      }
    }
    guard !missing.isEmpty else { return found }
    for section in sections where section.type == UInt32(SHT_SYMTAB) || section.type == UInt32(SHT_DYNSYM) {
      guard let table = rawSymbols(section) else { continue }
      for symbol in table.symbols where symbol.definesAddress {
        for (name, bytes) in missing where table.isName(symbol.st_name, bytes) {
          // A global one wins over local ones of other source files.
          if symbol.st_info >> 4 != 0 || found[name] == nil {
            found[name] = ElfSymbol(virtualAddress: symbol.st_value, size: symbol.st_size)
          }
        }
      }
      missing.removeAll { found[$0.name] != nil }
      if missing.isEmpty { break }
    }
    return found
  }

  /// The sections with symbol tables; nil stands for the dynamic segment's where a file has no section headers. Each
  /// may be large: they are read one after the other.
  var symbolSections: [Section?] {
    let tables = sections.filter { $0.type == UInt32(SHT_SYMTAB) || $0.type == UInt32(SHT_DYNSYM) }
    return tables.isEmpty ? [nil] : tables
  }

  /// The symbols of one of the `symbolSections`, with their names left in the file.
  func symbolsAlone(_ section: Section?) -> (symbols: [Elf64_Sym], names: SymbolNames)? {
    guard let section else {
      return dynamicTables?.rawSymbols(in: self).map {
        ($0.symbols, SymbolNames(bytes: BufferBytes($0.names), offset: 0, size: UInt64($0.names.count)))
      }
    }
    guard let symbols = symbolEntries(section), let strings = nameSection(of: section) else { return nil }
    return (symbols, SymbolNames(bytes: bytes, offset: strings.fileOffset, size: strings.size))
  }

  /// The table of one of the `symbolSections`.
  func symbolTable(_ section: Section?) -> RawSymbols? {
    guard let section else { return dynamicTables?.rawSymbols(in: self) }
    return rawSymbols(section)
  }

  func rawSymbols(_ section: Section) -> RawSymbols? {
    guard let symbols = symbolEntries(section), let strings = nameSection(of: section),
      let names = bytes.bytes(
        strings.fileOffset, count: Int(clamping: strings.size), limit: RawSymbols.maximumNameBytes)
    else { return nil }
    return RawSymbols(symbols: symbols, names: names)
  }

  private func symbolEntries(_ section: Section) -> [Elf64_Sym]? {
    guard section.entrySize == UInt64(MemoryLayout<Elf64_Sym>.size), section.type != UInt32(SHT_NOBITS) else {
      return nil
    }
    return bytes.structures(
      section.fileOffset, count: Int(clamping: section.size / section.entrySize),
      limit: RawSymbols.maximumSymbols, as: Elf64_Sym.self)
  }

  private func nameSection(of section: Section) -> Section? {
    guard Int(section.link) < sections.count else { return nil }
    let strings = sections[Int(section.link)]
    return strings.type == UInt32(SHT_STRTAB) && strings.size <= size ? strings : nil
  }
}

/// The names of a symbol table where they lie: they may be hundreds of megabytes.
struct SymbolNames {
  static let longest = 1 << 16

  let bytes: any ByteSource
  let offset: UInt64
  let size: UInt64

  /// A name without its version, as `RawSymbols.nameRange` has it; empty where there is none, or a longer one.
  func name(_ start: UInt32) -> [UInt8] {
    let start = UInt64(start)
    var count = 128
    while start < size, count <= Self.longest {
      let known = Int(min(UInt64(count), size - start))
      guard let name = bytes.bytes(offset &+ start, count: known) else { return [] }
      if let end = name.firstIndex(of: 0) {
        return Array(name[..<(name[..<end].dropFirst().firstIndex(of: 0x40) ?? end)])
      }
      if known < count { return [] }
      count *= 8
    }
    return []
  }
}

extension RawSymbols {
  /// The bytes of a name without its version (`memcpy@@GLIBC_2.14`), empty where it lies outside of the names.
  func nameRange(_ offset: UInt32) -> Range<Int> {
    let start = Int(offset)
    var end = start
    while end < names.count, names[end] != 0, names[end] != 0x40 || end == start { end += 1 }
    // A name without its end is no name.
    return end < names.count ? start..<end : 0..<0
  }

  func isName(_ offset: UInt32, _ name: [UInt8]) -> Bool {
    let start = Int(offset)
    guard start < names.count, names.count - start > name.count, names[start] == name[0] else { return false }
    for index in 1..<name.count where names[start + index] != name[index] { return false }
    let end = names[start + name.count]
    return end == 0 || end == 0x40
  }
}

extension Elf64_Sym {
  /// STT_...
  var kind: Int32 { Int32(st_info & 15) }

  /// Defined in the file, at an address that moves with it.
  var definesAddress: Bool {
    switch kind {
    case STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_GNU_IFUNC:
      st_shndx != 0 && st_shndx != 0xFFF1 && st_shndx != 0xFFF2
    default: false
    }
  }
}
