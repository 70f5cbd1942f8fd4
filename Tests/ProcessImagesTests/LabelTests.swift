// Symbols without a size: what they name, and what not.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct LabelTests {
  /// What assemblers make of labels: no type, no size. `hidden` is a function whose name is gone.
  private static let source = """
    .text
    .globl lonely, inside, described, entry, at_end, second
    lonely:
      ret
      .cfi_startproc
      nop
      nop
      nop
    inside:
      nop
      ret
      .cfi_endproc
    described:
      .cfi_startproc
      nop
      ret
      .cfi_endproc
      ret
      ret
    second:
      nop
      ret
    entry:
      .cfi_startproc
      nop
      ret
      .cfi_endproc
      .type entry, @function
      .size entry, .-entry
      ret
    at_end:
      .section .other, "ax"
      .byte 0x90, 0x90, 0x90, 0x90
      .data
      .globl variable
      .type variable, @function
    variable: .quad 0
      .section .note.GNU-stack, "", @progbits
    """

  @Test func aLabelNamesNoFunctionBehindIt() throws {
    let folder = try TemporaryFolder()
    let assembly = try folder.write([UInt8](Self.source.utf8), as: "labels.s")
    let library = folder.path + "/labels.so"
    _ = try #require(output(["gcc", "-shared", "-nostdlib", "-o", library, assembly]))
    let image = try #require(SystemFiles.image(library))
    let text = try #require(image.section(named: ".text")).virtualAddress
    let table = SymbolTable(image: image)
    let expected: [(offset: UInt64, name: String?)] = [
      (0, "lonely"), (1, nil), (3, nil),
      // Inside of a function that begins before it.
      (4, nil), (5, nil),
      // A label where a function with unwind information begins ends with it.
      (6, "described"), (7, "described"), (8, nil), (9, nil),
      // One that nothing else is known of ends where the next function begins.
      (10, "second"), (11, "second"), (12, "entry"), (13, "entry"), (14, nil),
    ]
    for (offset, name) in expected { #expect(table.name(at: text + offset)?.name == name, "\(offset)") }
    for offset in 15..<64 as Range<UInt64> {
      let name = table.name(at: text + offset)?.name
      #expect(name != "at_end" && name != "entry", "\(offset)")
    }
    #expect(table.lookup(text)?.isLabel == true && table.lookup(text + 10)?.isLabel == true)
    #expect(table.lookup(text + 12)?.isLabel == false)
    let variable = try #require(image.symbol(named: "variable")).virtualAddress
    #expect(table.name(at: variable) == nil)
    #expect(table.start(after: text) == text + 6)
  }
}
