// The stubs through which a module calls others (.plt, .plt.sec, .plt.got), named after the function they jump to.

internal import CLibelf

extension ElfImage {
  private static let maximumRelocations = 1 << 20
  private static let maximumStubBytes = 4 << 20

  /// Each stub that could be matched with a relocation; its name is `function@plt`. `addresses`: where stubs are wanted,
  /// sorted; nil: everywhere.
  func stubs(at addresses: [UInt64]? = nil) -> [(start: UInt64, size: UInt32, name: [UInt8])] {
    let sections = sections.filter { section in
      section.isExecutable && [".plt", ".plt.sec", ".plt.got"].contains(section.name)
        && addresses?.contains(where: section.contains) ?? true
    }
    guard !sections.isEmpty else { return [] }
    let targets = StubTargets(self)
    var result: [(start: UInt64, size: UInt32, name: [UInt8])] = []
    for section in sections {
      let usual: UInt64 = section.name == ".plt.got" ? 8 : 16
      let stride = Int([8, 16].contains(section.entrySize) ? section.entrySize : usual)
      guard let count = Int(exactly: section.size),
        let code = bytes.bytes(section.fileOffset, count: count, limit: ElfImage.maximumStubBytes)
      else { continue }
      for start in Swift.stride(from: 0, through: count - stride, by: stride) {
        let address = section.virtualAddress &+ UInt64(start)
        if let addresses, !wants(addresses, address, UInt64(stride)) { continue }
        guard let name = targets.name(of: code[start..<start + stride], at: address) else { continue }
        result.append((address, UInt32(stride), name + [UInt8]("@plt".utf8)))
      }
    }
    return result
  }

  private func wants(_ addresses: [UInt64], _ start: UInt64, _ size: UInt64) -> Bool {
    let next = NearbySymbols.lowerBound(addresses, start)
    return next < addresses.count && addresses[next] - start < size
  }

  fileprivate func relocations(_ section: Section) -> [Elf64_Rela] {
    let size = UInt64(MemoryLayout<Elf64_Rela>.size)
    guard section.type == UInt32(SHT_RELA), section.entrySize == size else { return [] }
    return bytes.structures(
      section.fileOffset, count: Int(clamping: section.size / size), limit: ElfImage.maximumRelocations) ?? []
  }
}

/// Which function a stub jumps to: by the slot of the global offset table that it reads, or by the number of the
/// relocation that it pushes.
private struct StubTargets {
  private var names: SymbolNames?
  private var symbols: [Elf64_Sym] = []
  private var bySlot: [UInt64: UInt32] = [:]
  private var byNumber: [UInt32] = []

  init(_ image: ElfImage) {
    guard let dynsym = image.sections.first(where: { $0.type == UInt32(SHT_DYNSYM) }),
      let table = image.symbolsAlone(dynsym)
    else { return }
    (symbols, names) = table
    for section in image.sections where section.type == UInt32(SHT_RELA) {
      for relocation in image.relocations(section) {
        let type = Int32(truncatingIfNeeded: relocation.r_info & 0xFFFF_FFFF)
        let symbol = UInt32(relocation.r_info >> 32)
        if section.name == ".rela.plt" { byNumber.append(symbol) }
        guard type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT, symbol != 0 else { continue }
        bySlot[relocation.r_offset] = symbol
      }
    }
  }

  func name(of code: ArraySlice<UInt8>, at address: UInt64) -> [UInt8]? {
    var at = code.startIndex
    // endbr64, then bnd
    if code[at...].starts(with: [0xF3, 0x0F, 0x1E, 0xFA]) { at += 4 }
    if at < code.endIndex, code[at] == 0xF2 { at += 1 }
    guard at + 6 <= code.endIndex else { return nil }
    if code[at] == 0xFF, code[at + 1] == 0x25 {
      // jmp *displacement(%rip)
      let next = address &+ UInt64(at + 6 - code.startIndex)
      let displacement = Int64(Int32(bitPattern: word(code, at + 2)))
      return bySlot[next &+ UInt64(bitPattern: displacement)].flatMap(name)
    }
    if code[at] == 0x68 {
      // push number; jmp to the first stub
      let number = Int(word(code, at + 1))
      return number < byNumber.count ? name(byNumber[number]) : nil
    }
    return nil
  }

  private func word(_ code: ArraySlice<UInt8>, _ at: Int) -> UInt32 {
    (0..<4).reduce(0) { $0 | UInt32(code[at + $1]) << (UInt32($1) * 8) }
  }

  private func name(_ symbol: UInt32) -> [UInt8]? {
    guard Int(symbol) < symbols.count else { return nil }
    let name = names?.name(symbols[Int(symbol)].st_name) ?? []
    return name.isEmpty ? nil : name
  }
}
