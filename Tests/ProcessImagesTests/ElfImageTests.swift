// ELF files against readelf, cut off and damaged; where mappings put their segments.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct ElfImageTests {
  @Test(arguments: SystemFiles.all) func sectionsAsReadelfSays(_ path: String) throws {
    let image = try #require(SystemFiles.image(path))
    let text = try #require(output(["readelf", "-SW", path]))
    var compared = 0
    for line in text.split(separator: "\n") {
      //  [ 1] .note.gnu.property NOTE  0000000000000350 000350 000020 00   A  0   0  8
      guard let bracket = line.firstIndex(of: "]"), line.contains("["), !line.contains("[Nr]") else {
        continue
      }
      let fields = line[line.index(after: bracket)...].split(separator: " ")
      guard fields.count > 5, fields[0].hasPrefix("."), let address = UInt64(fields[2], radix: 16),
        let offset = UInt64(fields[3], radix: 16), let size = UInt64(fields[4], radix: 16)
      else { continue }
      let section = try #require(image.section(named: String(fields[0])))
      #expect(section.virtualAddress == address && section.fileOffset == offset && section.size == size)
      compared += 1
    }
    #expect(compared > 20)
    let header = try #require(image.section(named: ".eh_frame_hdr"))
    #expect(image.ehFrameHeader?.virtualAddress == header.virtualAddress)
    #expect(image.ehFrameHeader?.size == header.size)
  }

  @Test(arguments: SystemFiles.all) func buildIDAsReadelfSays(_ path: String) throws {
    let image = try #require(SystemFiles.image(path))
    let line = output(["readelf", "-nW", path])?.split(separator: "\n").first { $0.contains("Build ID: ") }
    #expect(image.buildIDText == line?.split(separator: " ").last.map(String.init) ?? "")
  }

  @Test(arguments: SystemFiles.all) func readsThroughAllSegments(_ path: String) throws {
    let image = try #require(SystemFiles.image(path))
    let file = SystemFiles.bytes(path)
    #expect(image.segments.count >= 2)
    for segment in image.segments {
      let start = Int(segment.fileOffset)
      #expect(
        image.virtualAddresses.bytes(segment.virtualAddress, count: 16) == Array(file[start..<start + 16]))
      guard segment.memorySize > segment.fileSize + 8 else { continue }
      let edge = image.virtualAddresses.bytes(segment.virtualAddress + segment.fileSize - 4, count: 8)
      #expect(edge?[4...] == [0, 0, 0, 0])
    }
    let end = try #require(image.segments.last?.end)
    #expect(image.virtualAddresses.bytes(end - 4, count: 8) == nil)
    #expect(image.virtualAddresses.bytes(.max - 3, count: 8) == nil)
  }

  @Test func refusesOtherFiles() throws {
    let path = try #require(SystemFiles.libc)
    let good = Array(SystemFiles.bytes(path).prefix(64))
    func error(_ change: (inout [UInt8]) -> Void) -> ElfError? {
      var bytes = good
      change(&bytes)
      do {
        _ = try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
        return nil
      } catch { return error }
    }
    #expect(error { $0 = [] } == .truncated)
    #expect(error { $0[0] = 0 } == .notElf)
    #expect(error { $0[4] = 1 } == .unsupported)
    #expect(error { $0[5] = 2 } == .unsupported)
    #expect(error { $0[18] = 0xB7 } == .unsupported)
    #expect(error { $0[16] = 1 } == .unsupported)
    #expect(error { _ in } == .truncated)
  }

  @Test(.timeLimit(.minutes(5)), arguments: smallFiles) func cutAnywhere(_ file: [UInt8]) throws {
    for length in stride(from: 0, to: file.count, by: 64) { exercise(Array(file[..<length])) }
  }

  @Test(.timeLimit(.minutes(5)), arguments: smallFiles) func damagedHeaders(_ file: [UInt8]) throws {
    let image = try ElfImage(bytes: BufferBytes(file), size: UInt64(file.count))
    // The file header, the program headers, the section headers, and what the dynamic segment points to.
    var damaged = Array(0..<64 + 56 * 16)
    damaged += Array(max(0, file.count - 64 * image.sections.count)..<file.count)
    if let dynamic = image.section(named: ".dynamic") {
      damaged += Array(Int(dynamic.fileOffset)..<Int(dynamic.fileOffset + dynamic.size))
    }
    for at in damaged where at < file.count {
      for value in [0xFF, 0x80, file[at] &+ 1] where value != file[at] {
        var bytes = file
        bytes[at] = value
        exercise(bytes)
      }
    }
  }

  @Test(.timeLimit(.minutes(5)), arguments: smallFiles) func damagedAnywhere(_ file: [UInt8]) throws {
    var random = SeededGenerator(seed: 13)
    for _ in 0..<1000 {
      var bytes = file
      for _ in 0..<8 {
        bytes[Int.random(in: 64..<file.count, using: &random)] = .random(in: 0...255, using: &random)
      }
      exercise(bytes)
    }
  }

  /// The vDSO, which has dynamic symbols, and a small program, which may have all kinds of tables.
  private static let smallFiles: [[UInt8]] = {
    let vdso = LiveImages.vdso().flatMap { $0.bytes.bytes(0, count: Int($0.size)) }
    let programs = [SystemFiles.python, "/bin/true"].compactMap { $0.map(SystemFiles.bytes) }
    return [vdso, programs.first { $0.count > 4096 && $0.count < 65_536 }].compactMap { $0 }
  }()

  /// Everything that reads from a file; whatever it finds, it must not trap.
  private func exercise(_ bytes: [UInt8]) {
    guard let image = try? ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count)) else { return }
    let table = SymbolTable(image: image)
    for entry in table.entries.prefix(4) { _ = table.name(at: entry.start) }
    _ = image.symbol(named: "__vdso_clock_gettime")
    _ = image.symbol(named: "no such symbol")
    _ = image.virtualAddresses.bytes(image.ehFrameHeader?.virtualAddress ?? 0, count: 64)
    let mapping = Mapping(start: 0x7F00_0000_0000, end: 0x7F00_0000_2000, isExecutable: true)
    _ = image.bias(of: mapping)
  }
}

@Suite struct BiasTests {
  /// An ELF header and the given PT_LOADs: offset, address, file size, memory size, flags.
  private func image(
    _ segments: [(UInt64, UInt64, UInt64, UInt64, UInt32)], type: UInt8 = 3
  ) throws -> ElfImage {
    func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      (0..<MemoryLayout<T>.size).map { UInt8(truncatingIfNeeded: value >> T($0 * 8)) }
    }
    var bytes: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8)
    bytes += [type, 0, 62, 0, 1, 0, 0, 0] + little(UInt64(0)) + little(UInt64(64)) + little(UInt64(0))
    bytes += little(UInt32(0)) + [64, 0, 56, 0] + little(UInt16(segments.count)) + [64, 0, 0, 0, 0, 0]
    for (offset, address, fileSize, memorySize, flags) in segments {
      bytes += little(UInt32(1)) + little(flags) + little(offset) + little(address) + little(address)
      bytes += little(fileSize) + little(memorySize) + little(UInt64(0x1000))
    }
    return try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
  }

  private func mapping(_ start: UInt64, _ offset: UInt64, executable: Bool, writable: Bool = false) -> Mapping
  {
    Mapping(
      start: start, end: start + 0x1000, fileOffset: offset, isWritable: writable, isExecutable: executable)
  }

  @Test func separateSegments() throws {
    let base: UInt64 = 0x7F12_3456_7000
    let image = try image([
      (0, 0, 0x1234, 0x1234, 4), (0x2000, 0x2000, 0x5000, 0x5000, 5), (0x7000, 0x7000, 0x100, 0x100, 4),
      (0x7E10, 0x8E10, 0x300, 0x900, 6),
    ])
    #expect(image.bias(of: mapping(base + 0x2000, 0x2000, executable: true)) == base)
    // A part of the text whose rights were changed.
    #expect(image.bias(of: mapping(base + 0x4000, 0x4000, executable: true)) == base)
    #expect(image.bias(of: mapping(base + 0x8000, 0x7000, executable: false, writable: true)) == base)
    #expect(image.bias(of: mapping(base, 0, executable: false)) == base)
    #expect(image.bias(of: mapping(base, 0x9000, executable: true)) == nil)
  }

  @Test func segmentsThatShareAPage() throws {
    let base: UInt64 = 0x5555_5555_4000
    let image = try image([
      (0, 0, 0x1234, 0x1234, 4), (0x1240, 0x2240, 0x3000, 0x3000, 5), (0x4240, 0x6240, 0x100, 0x500, 6),
    ])
    #expect(image.bias(of: mapping(base + 0x2000, 0x1000, executable: true)) == base)
    #expect(image.bias(of: mapping(base + 0x6000, 0x4000, executable: false, writable: true)) == base)
  }

  /// The second page of the text, and the first of constants, are one page of the file: the rights tell which is mapped.
  @Test func rightsDecide() throws {
    let base: UInt64 = 0x7F12_3456_7000
    let image = try image([(0x800, 0x800, 0x900, 0x900, 5), (0x1110, 0x3110, 0x200, 0x200, 4)])
    #expect(image.bias(of: mapping(base + 0x1000, 0x1000, executable: true)) == base)
    #expect(image.bias(of: mapping(base + 0x3000, 0x1000, executable: false)) == base)
  }

  @Test func prelinkedAddress() throws {
    let base: UInt64 = 0x7F00_0000_0000
    let image = try image([(0, 0x3000_0000, 0x2000, 0x2000, 5)])
    #expect(image.bias(of: mapping(base, 0, executable: true)) == base &- 0x3000_0000)
    // Below its own address the bias is negative: it wraps.
    #expect(image.bias(of: mapping(0x1000, 0, executable: true)) == UInt64(bitPattern: 0x1000 - 0x3000_0000))
  }

  @Test func fixedAddress() throws {
    let image = try image(
      [(0, 0x40_0000, 0x1000, 0x1000, 4), (0x1000, 0x40_1000, 0x1000, 0x1000, 5)], type: 2)
    #expect(image.bias(of: mapping(0x40_1000, 0x1000, executable: true)) == 0)
    #expect(image.bias(of: mapping(0x50_1000, 0x1000, executable: true)) == nil)
  }

  @Test func memorySizesThatWrap() {
    #expect(throws: ElfError.malformed) { try image([(0, .max - 10, 16, 32, 5)]) }
    #expect(throws: ElfError.malformed) { try image([(.max - 10, 0, 16, 32, 5)]) }
  }
}
