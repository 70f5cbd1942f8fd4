// Which FDE covers an address of one ELF file: the search table of .eh_frame_hdr, or one made by walking
// .eh_frame. Linux Standard Base Core 5.0, sections 10.6 and 10.7. The file is untrusted: CIEs are checked before
// libunwind sees them.

/// The functions with unwind information of one file, sorted. Addresses are the file's virtual addresses.
package struct UnwindTable {
  /// One FDE: the function's first address, and the address of the FDE itself.
  private struct Entry {
    let start: UInt64
    let fde: UInt64
  }

  /// What has been checked about one FDE.
  package struct Function {
    /// First address.
    package let start: UInt64
    /// First address behind it.
    package let end: UInt64
    /// Address of the FDE.
    package let fde: UInt64
    /// Whether it is what a signal handler returns to.
    package let isSignalFrame: Bool
  }

  /// The search table as it lies in the file: there may be a million entries, of which a profile needs hundreds.
  private var table: (address: UInt64, header: UInt64, count: Int)?
  /// What was found by walking where there is no search table.
  private var starts: [UInt64] = []
  private var fdes: [UInt64] = []
  private let bytes: any ByteSource

  /// FDEs a file may have at most.
  package static let limit = 4_000_000

  /// The functions of a file; none where it has no unwind information that can be read.
  package init(image: ElfImage) {
    bytes = image.virtualAddresses
    if let header = image.ehFrameHeader, readHeader(header.virtualAddress, size: header.size) { return }
    if let section = image.section(named: ".eh_frame") { walk(section.virtualAddress, size: section.size) }
  }

  /// True where the file says of no function how to leave it.
  package var isEmpty: Bool { table == nil && starts.isEmpty }

  /// How many functions begin at or before `address`; nil where the table cannot be read.
  private func upperBound(_ address: UInt64) -> Int? {
    var low = 0
    var high = table?.count ?? starts.count
    while low < high {
      let middle = (low + high) / 2
      guard let start = start(middle) else { return nil }
      if start <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Where the first function behind `address` begins; nil where there is none.
  package func start(after address: UInt64) -> UInt64? {
    guard let index = upperBound(address), index < table?.count ?? starts.count else { return nil }
    return start(index)
  }

  /// The function that covers `address`, when it has a well-formed FDE.
  package func function(covering address: UInt64) -> Function? {
    guard let low = upperBound(address), low > 0, let fde = fde(low - 1),
      let function = Self.parse(fde: fde, bytes)
    else { return nil }
    return address >= function.start && address < function.end ? function : nil
  }

  private func start(_ index: Int) -> UInt64? {
    guard let table else { return starts[index] }
    return pointer(table.address &+ UInt64(index) * 8, from: table.header)
  }

  private func fde(_ index: Int) -> UInt64? {
    guard let table else { return fdes[index] }
    return pointer(table.address &+ UInt64(index) * 8 &+ 4, from: table.header)
  }

  private func pointer(_ place: UInt64, from origin: UInt64) -> UInt64? {
    bytes.load(place, as: Int32.self).map { origin &+ UInt64(bitPattern: Int64($0)) }
  }

  /// .eh_frame_hdr with the encodings every linker uses: frame pointer pcrel sdata4, count udata4, table datarel
  /// sdata4. Linkers sort it; in one that is not, functions may not be found, but none is taken for another.
  private mutating func readHeader(_ address: UInt64, size: UInt64) -> Bool {
    guard bytes.load(address, as: UInt32.self) == 0x3b03_1b01,
      let count = bytes.load(address + 8, as: UInt32.self),
      count > 0, Int(count) <= Self.limit, UInt64(count) * 8 + 12 <= size
    else { return false }
    table = (address + 12, address, Int(count))
    return true
  }

  /// Collects all FDEs of .eh_frame.
  private mutating func walk(_ section: UInt64, size: UInt64) {
    var entries: [Entry] = []
    var offset: UInt64 = 0
    while offset + 8 <= size, entries.count < Self.limit {
      guard let length = bytes.load(section &+ offset, as: UInt32.self), length != 0, length < 0xffff_fff0,
        let id = bytes.load(section &+ offset &+ 4, as: UInt32.self)
      else { break }
      if id != 0, let function = Self.parse(fde: section &+ offset, bytes) {
        entries.append(Entry(start: function.start, fde: function.fde))
      }
      offset += UInt64(length) + 4
    }
    entries.sort { $0.start < $1.start }
    starts = entries.map(\.start)
    fdes = entries.map(\.fde)
  }

  /// Reads one FDE and its CIE; nil where anything is not as it must be.
  package static func parse(fde: UInt64, _ bytes: any ByteSource) -> Function? {
    guard let length = bytes.load(fde, as: UInt32.self), length >= 12, length < 1 << 24,
      let distance = bytes.load(fde &+ 4, as: UInt32.self), distance != 0
    else { return nil }
    guard let cie = parse(cie: fde &+ 4 &- UInt64(distance), bytes) else { return nil }
    var at = fde &+ 8
    guard let start = value(encoding: cie.encoding, at: &at, bytes),
      let size = value(encoding: cie.encoding & 0x0f, at: &at, bytes), size > 0, size < 1 << 32
    else { return nil }
    return Function(start: start, end: start &+ size, fde: fde, isSignalFrame: cie.isSignalFrame)
  }

  /// The checked parts of a CIE: version 1 or 3, a known augmentation, pointer encodings without indirection, a
  /// return address column that libunwind has a register for.
  private static func parse(cie: UInt64, _ bytes: any ByteSource) -> (encoding: UInt8, isSignalFrame: Bool)? {
    guard let length = bytes.load(cie, as: UInt32.self), length >= 8, length < 1 << 16,
      bytes.load(cie &+ 4, as: UInt32.self) == 0,
      let content = bytes.bytes(cie &+ 8, count: min(Int(length) - 4, 64)), content.count >= 5,
      content[0] == 1 || content[0] == 3
    else { return nil }
    var at = 1
    var augmentation: [UInt8] = []
    while at < content.count, content[at] != 0, augmentation.count < 8 {
      augmentation.append(content[at])
      at += 1
    }
    at += 1
    func uleb() -> UInt64? {
      var result: UInt64 = 0
      var shift: UInt64 = 0
      while at < content.count, shift < 63 {
        let byte = content[at]
        at += 1
        result |= UInt64(byte & 0x7f) << shift
        if byte & 0x80 == 0 { return result }
        shift += 7
      }
      return nil
    }
    guard uleb() != nil, uleb() != nil else { return nil }  // code and data alignment
    guard let column = content[0] == 1 ? (at < content.count ? UInt64(content[at]) : nil) : uleb(),
      column <= 16
    else { return nil }
    if content[0] == 1 { at += 1 }
    var encoding: UInt8 = 0
    var isSignalFrame = false
    if augmentation.first == UInt8(ascii: "z") {
      guard uleb() != nil else { return nil }
      for character in augmentation.dropFirst() {
        switch character {
        case UInt8(ascii: "R"):
          guard at < content.count else { return nil }
          encoding = content[at]
          at += 1
        case UInt8(ascii: "L"): at += 1
        case UInt8(ascii: "P"):
          guard at < content.count else { return nil }
          let form = content[at] & 0x0f
          let widths: [UInt8: Int] = [0x00: 8, 0x02: 2, 0x03: 4, 0x04: 8, 0x0a: 2, 0x0b: 4, 0x0c: 8]
          guard let width = widths[form] else { return nil }
          at += 1 + width
        case UInt8(ascii: "S"): isSignalFrame = true
        case UInt8(ascii: "B"): break
        default: return nil
        }
      }
    } else if !augmentation.isEmpty {
      return nil
    }
    return encoding & 0x80 == 0 && (encoding & 0x70 == 0 || encoding & 0x70 == 0x10)
      ? (encoding, isSignalFrame) : nil
  }

  /// A pointer in one of the encodings absolute or pc-relative, of 4 or 8 bytes.
  private static func value(encoding: UInt8, at: inout UInt64, _ bytes: any ByteSource) -> UInt64? {
    let place = at
    let value: UInt64
    switch encoding & 0x0f {
    case 0x00, 0x04, 0x0c:
      guard let word = bytes.load(at, as: UInt64.self) else { return nil }
      value = word
      at &+= 8
    case 0x03:
      guard let word = bytes.load(at, as: UInt32.self) else { return nil }
      value = UInt64(word)
      at &+= 4
    case 0x0b:
      guard let word = bytes.load(at, as: Int32.self) else { return nil }
      value = UInt64(bitPattern: Int64(word))
      at &+= 4
    default: return nil
    }
    return encoding & 0x70 == 0x10 ? place &+ value : value
  }
}

extension ElfImage {
  /// Whether the file has unwind information, for any of its functions.
  public var hasUnwindInformation: Bool { !UnwindTable(image: self).isEmpty }
}
