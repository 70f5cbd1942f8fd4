// Stubs of every form that linkers make: the test links a library itself and knows which functions it calls.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct PltTests {
  /// Links a library that calls `first_callee` and `second_callee`, which are somewhere else.
  private func library(_ options: [String]) throws -> ElfImage {
    let folder = try TemporaryFolder()
    let source = """
      void first_callee(void); void second_callee(void);
      void caller(void) { first_callee(); second_callee(); first_callee(); }
      """
    let file = try folder.write([UInt8](source.utf8), as: "calls.c")
    let path = folder.path + "/calls.so"
    try #require(
      output(["gcc", "-shared", "-fPIC", "-O0", "-Wl,-z,lazy"] + options + ["-o", path, file]) != nil,
      "gcc \(options) failed")
    let bytes = SystemFiles.bytes(path)
    return try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
  }

  /// The names of a section's stubs, in the order of their addresses.
  private func names(_ image: ElfImage, _ section: String) throws -> [String] {
    let section = try #require(image.section(named: section))
    return image.stubs().filter {
      $0.start >= section.virtualAddress && $0.start < section.virtualAddress + section.size
    }.map { String(decoding: $0.name, as: UTF8.self) }
  }

  private func code(_ image: ElfImage, _ section: String, at offset: UInt64, count: Int) throws -> [UInt8] {
    let section = try #require(image.section(named: section))
    return try #require(image.virtualAddresses.bytes(section.virtualAddress + offset, count: count))
  }

  private static let callees = ["first_callee@plt", "second_callee@plt"]

  @Test func plainLazyStubs() throws {
    let image = try library(["-fcf-protection=none"])
    // The section's first 16 bytes lead to the loader.
    #expect(try code(image, ".plt", at: 16, count: 2) == [0xFF, 0x25])
    #expect(try names(image, ".plt").sorted() == Self.callees)
  }

  /// With control-flow protection each stub begins with endbr64: one that jumps, and one that pushes a number.
  @Test func endbr64() throws {
    let image = try library(["-fcf-protection=full", "-Wl,-z,ibtplt"])
    #expect(try code(image, ".plt.sec", at: 0, count: 4) == [0xF3, 0x0F, 0x1E, 0xFA])
    #expect(try code(image, ".plt", at: 16, count: 5) == [0xF3, 0x0F, 0x1E, 0xFA, 0x68])
    #expect(try names(image, ".plt.sec").sorted() == Self.callees)
    #expect(try names(image, ".plt") == names(image, ".plt.sec"))
  }

  /// Older linkers put a prefix (bnd) before the jump, which this one may not do any more: the stubs are rewritten.
  @Test func bnd() throws {
    let linked = try library(["-fcf-protection=full", "-Wl,-z,ibtplt"])
    let section = try #require(linked.section(named: ".plt.sec"))
    var bytes = try #require(linked.bytes.bytes(0, count: Int(linked.size)))
    for stub in stride(from: Int(section.fileOffset), to: Int(section.fileOffset + section.size), by: 16) {
      let jump = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[stub + 6 + $1]) << UInt32(8 * $1) } &- 1
      let displacement = (0..<4).map { UInt8(truncatingIfNeeded: jump >> UInt32(8 * $0)) }
      bytes.replaceSubrange(stub + 4..<stub + 11, with: [0xF2, 0xFF, 0x25] + displacement)
    }
    let image = try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
    #expect(try names(image, ".plt.sec") == names(linked, ".plt.sec"))
    #expect(try names(image, ".plt.sec").count == 2)
  }
}
