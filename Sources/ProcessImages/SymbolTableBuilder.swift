// Makes a module's symbol table: from the symbols of the file and its debug file, and from its PLT stubs.

internal import CLibelf

/// A symbol that may become an entry.
struct SymbolCandidate {
  var start: UInt64
  /// Bytes; 0 where the file does not say.
  var size: UInt32
  /// Where in its name blob.
  var name: UInt32
  var nameLength: UInt32
  /// Smaller is better: binding, then leading underscores.
  var rank: UInt16
  var blob: UInt8
}

struct SymbolTableBuilder {
  private let image: ElfImage
  private var blobs: [[UInt8]] = []
  private var candidates: [SymbolCandidate] = []

  init(image: ElfImage) { self.image = image }

  /// Adds the functions of a symbol table; `owner` is the file it is in, whose section numbers it uses.
  mutating func add(_ table: RawSymbols, of owner: ElfImage) {
    guard blobs.count < 255 else { return }
    let rule = FunctionRule(image: image, owner: owner)
    candidates.reserveCapacity(candidates.count + table.symbols.count)
    for symbol in table.symbols where rule.accepts(symbol) {
      add(symbol, table.names, table.nameRange(symbol.st_name))
    }
    blobs.append(table.names)
  }

  /// Adds those of the functions that may be at one of some sorted addresses; only their names are read.
  mutating func add(_ symbols: [Elf64_Sym], _ source: SymbolNames, of owner: ElfImage, at addresses: [UInt64])
  {
    guard blobs.count < 255, !addresses.isEmpty else { return }
    let rule = FunctionRule(image: image, owner: owner)
    let nearby = NearbySymbols(addresses, in: symbols, isFunction: rule.accepts)
    var names: [UInt8] = []
    // Names stand in the order that they have in the file, which decides between symbols that are otherwise alike.
    let wanted = symbols.filter { rule.accepts($0) && nearby.contains($0) }.sorted { $0.st_name < $1.st_name }
    for symbol in wanted {
      let start = names.count
      names += source.name(symbol.st_name)
      add(symbol, names, start..<names.count)
    }
    blobs.append(names)
  }

  private mutating func add(_ symbol: Elf64_Sym, _ names: [UInt8], _ name: Range<Int>) {
    guard !name.isEmpty, let offset = UInt32(exactly: name.lowerBound) else { return }
    candidates.append(
      SymbolCandidate(
        start: symbol.st_value, size: UInt32(truncatingIfNeeded: symbol.st_size), name: offset,
        nameLength: UInt32(clamping: name.count), rank: SymbolTableBuilder.rank(symbol, names, name),
        blob: UInt8(blobs.count)))
  }

  /// Adds stubs by name.
  mutating func add(stubs: [(start: UInt64, size: UInt32, name: [UInt8])]) {
    guard blobs.count < 255 else { return }
    var names: [UInt8] = []
    for stub in stubs {
      guard let offset = UInt32(exactly: names.count) else { break }
      candidates.append(
        SymbolCandidate(
          start: stub.start, size: stub.size, name: offset, nameLength: UInt32(clamping: stub.name.count),
          rank: .max, blob: UInt8(blobs.count)))
      names += stub.name
    }
    blobs.append(names)
  }

  private static func rank(_ symbol: Elf64_Sym, _ names: [UInt8], _ name: Range<Int>) -> UInt16 {
    let binding: UInt16
    switch Int32(symbol.st_info >> 4) {
    case STB_GLOBAL, STB_GNU_UNIQUE: binding = 0
    case STB_WEAK: binding = 1
    default: binding = 2
    }
    var underscores: UInt16 = 0
    for index in name where names[index] == 0x5F && underscores < 15 {
      guard index - name.lowerBound == Int(underscores) else { break }
      underscores += 1
    }
    return binding << 4 | underscores
  }

  /// Sorts, drops aliases and gives symbols without a size the bytes up to the next one, but none of a function that
  /// has unwind information of its own and begins elsewhere.
  consuming func build() -> SymbolTable {
    candidates.sort(by: SymbolTableBuilder.precedes)
    var bounds = ExecutableBounds(image)
    let functions = UnwindTable(image: image)
    var entries: [SymbolTable.Entry] = []
    entries.reserveCapacity(candidates.count)
    var names: [UInt8] = []
    names.reserveCapacity(candidates.count * 24)
    var coveredTo: UInt64 = 0
    for index in candidates.indices {
      let candidate = candidates[index]
      if let last = entries.last, last.start == candidate.start { continue }
      var size = candidate.size
      if size == 0 {
        // A label inside of a function is not a function.
        guard candidate.start >= coveredTo, var end = bounds.end(containing: candidate.start) else {
          continue
        }
        if let next = candidates[(index + 1)...].first(where: { $0.start > candidate.start }) {
          end = min(end, next.start)
        }
        if let function = functions.function(covering: candidate.start) {
          guard function.start == candidate.start else { continue }
          end = min(end, function.end)
        }
        if let next = functions.start(after: candidate.start) { end = min(end, next) }
        size = UInt32(clamping: end - candidate.start)
      }
      guard let offset = UInt32(exactly: names.count), offset < SymbolTable.Entry.label else { break }
      let start = Int(candidate.name)
      names += blobs[Int(candidate.blob)][start..<start + Int(candidate.nameLength)]
      names.append(0)
      let label = candidate.size == 0 ? SymbolTable.Entry.label : 0
      entries.append(SymbolTable.Entry(start: candidate.start, size: size, name: offset | label))
      if candidate.size > 0 { coveredTo = max(coveredTo, candidate.start &+ UInt64(size)) }
    }
    return SymbolTable(entries: entries, names: names)
  }

  private static func precedes(_ a: SymbolCandidate, _ b: SymbolCandidate) -> Bool {
    if a.start != b.start { return a.start < b.start }
    if a.size != b.size { return a.size > b.size }
    if a.rank != b.rank { return a.rank < b.rank }
    if a.nameLength != b.nameLength { return a.nameLength < b.nameLength }
    return (a.blob, a.name) < (b.blob, b.name)
  }
}

/// Which symbols are functions.
private struct FunctionRule {
  /// Of the file that the symbols are in.
  private let sections: [ElfImage.Section]
  private let code: [ElfSegment]

  init(image: ElfImage, owner: ElfImage) {
    sections = owner.sections
    code = image.segments.filter(\.isExecutable)
  }

  func accepts(_ symbol: Elf64_Sym) -> Bool {
    guard symbol.definesAddress else { return false }
    let start = symbol.st_value
    let section = Int(symbol.st_shndx) < sections.count ? sections[Int(symbol.st_shndx)] : nil
    switch symbol.kind {
    case STT_FUNC, STT_GNU_IFUNC:
      if let section, !section.isExecutable { return false }
    case STT_NOTYPE:
      // Labels of hand-written assembly. In data sections they mark other things, and at a section's end, the end.
      guard let section, section.isExecutable, section.contains(start) else { return false }
    default: return false
    }
    return UInt32(exactly: symbol.st_size) != nil
      && code.contains { start >= $0.virtualAddress && start < $0.end }
  }
}

/// Where executable sections end (segments, in a file without section headers). Asked in rising order.
private struct ExecutableBounds {
  private let ranges: [(start: UInt64, end: UInt64)]
  private var next = 0

  init(_ image: ElfImage) {
    let sections = image.sections.filter { $0.isExecutable && $0.size > 0 }
    let found =
      sections.isEmpty
      ? image.segments.filter(\.isExecutable).map { ($0.virtualAddress, $0.end) }
      : sections.map { ($0.virtualAddress, $0.virtualAddress + $0.size) }
    ranges = found.sorted { $0.0 < $1.0 }
  }

  mutating func end(containing address: UInt64) -> UInt64? {
    while next < ranges.count, ranges[next].end <= address { next += 1 }
    guard next < ranges.count, ranges[next].start <= address else { return nil }
    return ranges[next].end
  }
}

extension SymbolTable {
  /// The functions of `image`, those its debug file knows more, and its PLT stubs.
  ///
  /// `addresses`: virtual addresses that alone will be looked up, sorted; nil: any will be. What else is in the file,
  /// and it may be a million functions, is not kept.
  public init(image: ElfImage, debugImage: ElfImage? = nil, at addresses: [UInt64]? = nil) {
    var builder = SymbolTableBuilder(image: image)
    for owner in [image, debugImage].compactMap(\.self) {
      for section in owner.symbolSections {
        if let addresses {
          guard let (symbols, names) = owner.symbolsAlone(section) else { continue }
          builder.add(symbols, names, of: owner, at: addresses)
        } else if let table = owner.symbolTable(section) {
          builder.add(table, of: owner)
        }
      }
    }
    builder.add(stubs: image.stubs(at: addresses))
    self = builder.build()
  }
}
