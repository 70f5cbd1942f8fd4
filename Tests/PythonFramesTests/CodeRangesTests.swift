// Which code object an instruction belongs to.

import Testing

@testable import PythonFrames

@Suite struct CodeRangesTests {
  private func range(_ code: UInt64, _ start: UInt64, _ end: UInt64) -> CodeRanges.Range {
    CodeRanges.Range(key: CodeKey(interpreter: 1, code: code, fingerprint: code), start: start, end: end)
  }

  @Test func findsByAddress() {
    var ranges = CodeRanges()
    for code in [5, 1, 3] as [UInt64] { ranges.add(range(code, code * 100, code * 100 + 50)) }
    #expect(ranges.find(99) == nil)
    #expect(ranges.find(100)?.key.code == 1)
    #expect(ranges.find(149)?.key.code == 1)
    #expect(ranges.find(150) == nil)
    #expect(ranges.find(325)?.key.code == 3)
    #expect(ranges.find(549)?.key.code == 5)
    #expect(ranges.find(.max) == nil)
  }

  @Test func whatAYoungerOneTookIsForgotten() {
    var ranges = CodeRanges()
    for code in 1...4 as ClosedRange<UInt64> { ranges.add(range(code, code * 100, code * 100 + 100)) }
    ranges.add(range(9, 250, 350))
    #expect(ranges.count == 3)
    #expect(ranges.find(249) == nil && ranges.find(350) == nil)
    #expect(ranges.find(250)?.key.code == 9 && ranges.find(349)?.key.code == 9)
    #expect(ranges.find(199)?.key.code == 1 && ranges.find(400)?.key.code == 4)
  }

  @Test func theSameAgainChangesNothing() {
    var ranges = CodeRanges()
    ranges.add(range(1, 100, 200))
    ranges.add(range(1, 100, 200))
    ranges.add(range(2, 300, 300))
    #expect(ranges.count == 1)
  }
}
