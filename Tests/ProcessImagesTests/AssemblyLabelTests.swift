// Labels of hand-written assembly have no size: the test writes some, between functions and inside of one.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct AssemblyLabelTests {
  private static let source = """
    .text
    .globl first
    .type first, @function
    first:
      .fill 8, 1, 0x90
    inside:
      .fill 8, 1, 0x90
    .size first, .-first
    label_one:
      .fill 8, 1, 0x90
    label_two:
      .fill 8, 1, 0x90
    .globl second
    .type second, @function
    second:
      .fill 4, 1, 0x90
    .size second, .-second
      .fill 4, 1, 0xcc
    label_three:
      .fill 8, 1, 0x90
    .section .rodata
    constant:
      .quad 1
    .size constant, .-constant

    """

  @Test func aLabelEndsWhereTheNextSymbolBegins() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write([UInt8](Self.source.utf8), as: "labels.s")
    let path = folder.path + "/labels.so"
    // Constants in the segment of the code, as older linkers put them.
    let options = ["-shared", "-nostdlib", "-Wl,-z,noseparate-code"]
    try #require(output(["gcc"] + options + ["-o", path, file]) != nil, "gcc failed")
    let bytes = SystemFiles.bytes(path)
    let image = try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
    let table = SymbolTable(image: image)
    let start = try #require(image.symbol(named: "first")).virtualAddress
    func name(_ offset: UInt64) -> String {
      table.name(at: start + offset).map { "\($0.name)+\($0.offset)" } ?? "-"
    }
    // A label inside of a function is no function; behind a function's own end nothing is its own.
    let found = [0, 8, 15, 16, 23, 24, 31, 32, 35, 36, 39, 40, 47].map(name)
    #expect(
      found == [
        "first+0", "first+8", "first+15", "label_one+0", "label_one+7", "label_two+0", "label_two+7",
        "second+0", "second+3", "-", "-", "label_three+0", "label_three+7",
      ])
    // The last one ends with its section, and constants are no functions.
    #expect(name(48) == "-")
    #expect(!table.entries.contains { table.name(at: $0.start)?.name == "constant" })
  }
}
