// The build-id note (NT_GNU_BUILD_ID) of an ELF file.

internal import CLibelf

extension ElfImage {
  /// Bytes of one note segment that are searched.
  private static let maximumNotes = 64 << 10

  /// The build-id as lower-case hexadecimal; empty where the file has none.
  public var buildIDText: String { ElfImage.hexadecimal(buildID[...]) }

  static func hexadecimal(_ bytes: ArraySlice<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  static func findBuildID(_ bytes: any ByteSource, _ headers: [Elf64_Phdr], _ sections: [Section]) -> [UInt8]
  {
    for header in headers where header.p_type == UInt32(PT_NOTE) {
      if let found = buildID(bytes, header.p_offset, header.p_filesz, header.p_align) { return found }
    }
    for section in sections where section.type == UInt32(SHT_NOTE) {
      if let found = buildID(bytes, section.fileOffset, section.size, 4) { return found }
    }
    return []
  }

  private static func buildID(
    _ bytes: any ByteSource, _ offset: UInt64, _ size: UInt64, _ alignment: UInt64
  ) -> [UInt8]? {
    guard let count = Int(exactly: size), let notes = bytes.bytes(offset, count: count, limit: maximumNotes)
    else {
      return nil
    }
    let padding = alignment == 8 ? 7 : 3
    var position = 0
    // Name size, description size, type; then the name and the description, each padded.
    while position + 12 <= notes.count {
      let nameSize = word(notes, position)
      let descriptionSize = word(notes, position + 4)
      guard nameSize <= notes.count, descriptionSize <= notes.count else { return nil }
      let description = (position + 12 + nameSize + padding) & ~padding
      let end = description + descriptionSize
      guard end <= notes.count else { return nil }
      if word(notes, position + 8) == NT_GNU_BUILD_ID, nameSize == 4, descriptionSize > 0,
        descriptionSize <= 64,
        notes[(position + 12)...].starts(with: [0x47, 0x4E, 0x55, 0])
      {
        return [UInt8](notes[description..<end])
      }
      position = (end + padding) & ~padding
    }
    return nil
  }

  private static func word(_ bytes: [UInt8], _ at: Int) -> Int {
    (0..<4).reduce(0) { $0 | Int(bytes[at + $1]) << ($1 * 8) }
  }
}
