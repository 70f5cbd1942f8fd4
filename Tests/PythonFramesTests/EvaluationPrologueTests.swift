// The hole in hand-made prologues, and in the interpreters' own against objdump's reading of them.

import Foundation
import Testing

@testable import PythonFrames

@Suite struct EvaluationPrologueTests {
  // lea 0xa0(%rsp),%rsi; nop; mov %rsi,0x38(%rdi)
  private let publication: [UInt8] = [0x48, 0x8d, 0xb4, 0x24, 0xa0, 0, 0, 0, 0x90, 0x48, 0x89, 0x77, 0x38]

  private func hole(_ code: [UInt8]) -> Range<Int>? {
    EvaluationPrologue.hole(in: code, threadCFrame: 0x38, currentFrame: 8)
  }

  @Test(
    arguments: [
      [0x0f, 0x11, 0x84, 0x24, 0xa8, 0, 0, 0],  // movups %xmm0,0xa8(%rsp)
      [0x0f, 0x29, 0x84, 0x24, 0xa8, 0, 0, 0],  // movaps
      [0x66, 0x0f, 0x29, 0x84, 0x24, 0xa8, 0, 0, 0],  // movapd
      [0x66, 0x0f, 0x7f, 0x84, 0x24, 0xa8, 0, 0, 0],  // movdqa
      [0xf3, 0x0f, 0x7f, 0x84, 0x24, 0xa8, 0, 0, 0],  // movdqu
      [0x66, 0x44, 0x0f, 0xd6, 0x84, 0x24, 0xa8, 0, 0, 0],  // movq %xmm8
      [0x48, 0x89, 0xb4, 0x24, 0xa8, 0, 0, 0],  // mov %rsi
      [0x4c, 0x89, 0xac, 0x24, 0xa8, 0, 0, 0],  // mov %r13
    ] as [[UInt8]])
  func eachStoreEndsIt(_ store: [UInt8]) {
    let between: [UInt8] = [0x48, 0x89, 0x44, 0x24, 0x08]  // mov %rax,8(%rsp): another slot
    #expect(hole(publication + between + store + [0x90]) == 13..<(18 + store.count))
    for count in 0..<store.count { #expect(hole(publication + between + store[..<count]) == nil) }
  }

  @Test func otherShapesGiveNone() {
    let store: [UInt8] = [0x0f, 0x11, 0x84, 0x24, 0xa8, 0, 0, 0]
    #expect(hole([]) == nil)
    #expect(hole(store + publication) == nil)
    // The register was not loaded with a stack address.
    #expect(hole(Array(publication[9...]) + store) == nil)
    var load = publication
    load[10] = 0x8b  // a load instead of the store
    #expect(hole(load + store) == nil)
    var other = publication
    other[12] = 0x40
    #expect(hole(other + store) == nil)
    #expect(EvaluationPrologue.hole(in: publication + store, threadCFrame: 0x38, currentFrame: 0) == nil)
  }

  @Test func shortDisplacementsAndHighRegisters() {
    // lea 0x40(%rsp),%r9; mov %r9,0x38(%r12); movaps %xmm0,0x40(%rsp)
    let code: [UInt8] = [
      0x4c, 0x8d, 0x4c, 0x24, 0x40, 0x4d, 0x89, 0x4c, 0x24, 0x38, 0x0f, 0x29, 0x44, 0x24, 0x40,
    ]
    #expect(EvaluationPrologue.hole(in: code, threadCFrame: 0x38, currentFrame: 0) == 10..<15)
  }

  @Test(arguments: Interpreter.all.filter { $0.version.minor < 13 })
  func agreesWithObjdump(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let layout = try python.layout()
    let hole = try #require(EvaluationPrologue.hole(of: layout, memory: python.memory))
    #expect(hole.isProven)
    let start = python.found.evaluationLoop
    let bytes = try #require(python.memory.bytes(start, count: 256))
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "prologue-\(UUID().uuidString)")
    try Data(bytes).write(to: folder)
    defer { try? FileManager.default.removeItem(at: folder) }
    guard
      let tool = ["/usr/bin/objdump", "/usr/local/bin/objdump"].first(
        where: FileManager.default.isExecutableFile)
    else {
      print("objdump was not found: the hole in \(interpreter.testDescription) was not compared.")
      return
    }
    let text = try Child(tool, ["-b", "binary", "-m", "i386:x86-64", "-D", folder.path]).finish()
    let rows = text.split(separator: "\n").compactMap { row -> (Int, Substring)? in
      let parts = row.split(separator: "\t")
      guard parts.count == 3, let at = Int(parts[0].filter(\.isHexDigit), radix: 16) else { return nil }
      return (at, parts[2])
    }
    let publication = try #require(rows.firstIndex { $0.1.hasPrefix("mov ") && $0.1.contains(",0x38(%r") })
    #expect(Int(hole.addresses.lowerBound - start) == rows[publication + 1].0)
    let register = try #require(rows[publication].1.firstMatch(of: /(%r\w+),0x38/)).1
    let load = try #require(
      rows[..<publication].last { $0.1.hasPrefix("lea") && $0.1.hasSuffix(",\(register)") })
    let slot = try #require(load.1.firstMatch(of: /0x([0-9a-f]+)\(%rsp\)/)).1
    let wanted =
      "0x" + String(try #require(Int(slot, radix: 16)) + Int(layout.raw.cframe_current_frame), radix: 16)
      + "(%rsp)"
    let store = try #require(rows[publication...].firstIndex { $0.1.hasSuffix("," + wanted) })
    #expect(Int(hole.addresses.upperBound - start) == rows[store + 1].0)
    _ = try python.child.finish()
  }
}
