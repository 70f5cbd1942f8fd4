// Where an evaluation loop is being entered or left, and where not.

import ProcessImages
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct FrameFormTests {
  @Test func anEvaluationLoop() throws {
    let image = try #require(SystemFiles.libpython.flatMap(SystemFiles.image))
    let unwinder = try #require(NativeUnwinder(addressSpace: OneFile.space(image), memory: nil))
    let symbol = try #require(image.symbol(named: "_PyEval_EvalFrameDefault"))
    let located = try #require(unwinder.code.function(covering: symbol.virtualAddress &+ OneFile.bias))
    let rows = unwinder.rows(of: located)
    let body = try #require(Libunwind.body(of: rows))
    #expect(located.start == symbol.virtualAddress &+ OneFile.bias)
    #expect(unwinder.entersOrLeaves(at: located.start) && !unwinder.isFullFrame(at: located.start))
    var (short, leaving) = (0, 0)
    for address in located.start..<located.end {
      let isFull = unwinder.isFullFrame(at: address)
      let row = try #require(rows.first { address >= $0.start && address < $0.end })
      #expect(isFull == (row.row.isForm(of: body) || row.row.cfaOffset > body.cfaOffset))
      if !isFull {
        short += 1
        #expect(unwinder.entersOrLeaves(at: address))
      }
    }
    // From each call on: what comes back into the loop's body is neither.
    var calls = 0
    var at = located.start + NativeUnwinder.entryBytes
    while at < located.end {
      let bytes = try #require(unwinder.code.code(at: at, count: Int(min(15, located.end - at))))
      guard let instruction = InstructionDecoder.decode(bytes, at: 0) else { break }
      if case .directCall = instruction.flow {
        calls += 1
        if unwinder.entersOrLeaves(at: at) { leaving += 1 }
      }
      at += UInt64(instruction.length)
    }
    #expect(short > 20 && short < 500, "\(short)")
    #expect(calls > 100 && leaving == 0, "\(calls), \(leaving)")
    #expect(!unwinder.entersOrLeaves(at: 0x10) && !unwinder.isFullFrame(at: 0x10))
  }
}
