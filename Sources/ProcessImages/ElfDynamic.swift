// What the dynamic segment says about symbols: found by the loader's own hash table, with or without section
// headers.

internal import CLibelf

/// The tables that PT_DYNAMIC points to, as virtual addresses of the file; 0 where there is none.
struct DynamicTables {
  var symbols: UInt64 = 0
  var names: UInt64 = 0
  var namesSize: UInt64 = 0
  var hash: UInt64 = 0
  var gnuHash: UInt64 = 0

  static let maximumEntries = 4096
  static let maximumChain = 1 << 16

  /// The symbol of that name by DT_GNU_HASH; nil also where the file has no such table.
  func lookUp(_ name: [UInt8], in image: ElfImage) -> ElfSymbol? {
    guard gnuHash != 0, !name.isEmpty, let header = gnuHeader(image) else { return nil }
    let memory = image.virtualAddresses
    var hash: UInt32 = 5381
    for byte in name { hash = hash &* 33 &+ UInt32(byte) }
    guard let first: UInt32 = memory.load(header.buckets &+ UInt64(hash % header.bucketCount) * 4),
      first >= header.firstSymbol
    else { return nil }
    for step in 0..<UInt32(DynamicTables.maximumChain) {
      let (index, overflow) = first.addingReportingOverflow(step)
      guard !overflow,
        let value: UInt32 = memory.load(header.chains &+ UInt64(index - header.firstSymbol) * 4)
      else { return nil }
      if value | 1 == hash | 1, let symbol = symbol(index, in: image), symbol.definesAddress,
        memory.bytes(names &+ UInt64(symbol.st_name), count: name.count + 1) == name + [0]
      {
        return ElfSymbol(virtualAddress: symbol.st_value, size: symbol.st_size)
      }
      if value & 1 == 1 { return nil }
    }
    return nil
  }

  /// All dynamic symbols: their number is only known from the hash tables.
  func rawSymbols(in image: ElfImage) -> RawSymbols? {
    let memory = image.virtualAddresses
    guard let count = symbolCount(image), let namesCount = Int(exactly: namesSize),
      let symbols = memory.structures(
        symbols, count: count, limit: RawSymbols.maximumSymbols, as: Elf64_Sym.self),
      namesSize <= image.size,
      let names = memory.bytes(names, count: namesCount, limit: RawSymbols.maximumNameBytes)
    else { return nil }
    return RawSymbols(symbols: symbols, names: names)
  }

  private struct GnuHeader {
    var bucketCount: UInt32
    var firstSymbol: UInt32
    var buckets: UInt64
    var chains: UInt64
  }

  private func gnuHeader(_ image: ElfImage) -> GnuHeader? {
    let memory = image.virtualAddresses
    // nbuckets, symoffset, bloom_size, bloom_shift
    guard let fields = memory.structures(gnuHash, count: 4, limit: 4, as: UInt32.self), fields[0] > 0 else {
      return nil
    }
    let buckets = gnuHash &+ 16 &+ UInt64(fields[2]) * 8
    return GnuHeader(
      bucketCount: fields[0], firstSymbol: fields[1], buckets: buckets,
      chains: buckets &+ UInt64(fields[0]) * 4)
  }

  private func symbol(_ index: UInt32, in image: ElfImage) -> Elf64_Sym? {
    let stride = UInt64(MemoryLayout<Elf64_Sym>.size)
    return image.virtualAddresses.structures(
      symbols &+ UInt64(index) * stride, count: 1, limit: 1, as: Elf64_Sym.self)?
      .first
  }

  private func symbolCount(_ image: ElfImage) -> Int? {
    let memory = image.virtualAddresses
    // DT_HASH: nbucket, nchain; there is one chain entry per symbol.
    if hash != 0, let count: UInt32 = memory.load(hash &+ 4) { return Int(count) }
    guard gnuHash != 0, let header = gnuHeader(image),
      let buckets = memory.structures(
        header.buckets, count: Int(header.bucketCount), limit: RawSymbols.maximumSymbols, as: UInt32.self),
      var last = buckets.max(), last >= header.firstSymbol
    else { return nil }
    for _ in 0..<DynamicTables.maximumChain {
      guard let value: UInt32 = memory.load(header.chains &+ UInt64(last - header.firstSymbol) * 4) else {
        return nil
      }
      if value & 1 == 1 { return Int(last) + 1 }
      guard last < UInt32.max else { return nil }
      last += 1
    }
    return nil
  }
}

extension ElfImage {
  /// Nil where the file has no dynamic segment or it names no symbol table.
  var dynamicTables: DynamicTables? {
    guard let dynamic else { return nil }
    let count = min(Int(clamping: dynamic.size / 16), DynamicTables.maximumEntries)
    guard
      let words = virtualAddresses.structures(
        dynamic.virtualAddress, count: count * 2, limit: count * 2, as: UInt64.self)
    else { return nil }
    var tables = DynamicTables()
    for entry in 0..<count {
      let value = words[entry * 2 + 1]
      switch Int64(bitPattern: words[entry * 2]) {
      case Int64(DT_NULL): return tables.isUsable ? tables : nil
      case Int64(DT_SYMTAB): tables.symbols = value
      case Int64(DT_STRTAB): tables.names = value
      case Int64(DT_STRSZ): tables.namesSize = value
      case Int64(DT_HASH): tables.hash = value
      case Int64(DT_GNU_HASH): tables.gnuHash = value
      default: break
      }
    }
    return tables.isUsable ? tables : nil
  }
}

extension DynamicTables {
  var isUsable: Bool { symbols != 0 && names != 0 }
}
