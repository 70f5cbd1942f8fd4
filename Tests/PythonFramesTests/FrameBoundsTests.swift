// Which positions of a code object are frames, and which answers are kept: the numbers at each edge.

import PythonChain
import Testing

@testable import PythonFrames

@Suite struct FrameBoundsTests {
  /// A function of 8 units that Python shows from its third unit on.
  private func table() throws -> PythonFrameTable {
    let table = PythonFrameTable(codes: CodeTable())
    let names = Records.names(
      code: 0x5000, name: "f", file: "f.py", lineTable: [0x80 | 11 << 3 | 7, 0, 0], units: 8,
      firstTraceable: 2)
    try unsafe table.codes.add(names: names.span.bytes)
    return table
  }

  private func frame(_ offset: Int32, owner: UInt8 = 0) -> ChainFrame {
    ChainFrame(address: 1, code: 0x5000, fingerprint: 7, offset: offset, owner: owner)
  }

  private func kind(_ answer: FrameAnswer) -> String {
    switch answer {
    case .frame: "frame"
    case .incomplete: "incomplete"
    case .torn: "torn"
    }
  }

  @Test(
    arguments: [
      (-4, "torn"), (-2, "incomplete"), (0, "incomplete"), (2, "incomplete"), (4, "frame"), (6, "frame"),
      (16, "frame"), (18, "torn"),
    ] as [(Int32, String)]) func positions(_ offset: Int32, _ expected: String) throws
  {
    let table = try table()
    #expect(kind(table.answer(frame(offset), interpreter: 1, memory: nil)) == expected)
    // A generator that is being entered is shown.
    let ofGenerator = expected == "torn" ? "torn" : "frame"
    #expect(kind(table.answer(frame(offset, owner: 1), interpreter: 1, memory: nil)) == ofGenerator)
  }

  /// The short way gives an answer for the very same frame only.
  @Test func keptAnswersAreOfTheSameFrame() throws {
    let table = try table()
    let known = frame(6)
    #expect(table.recentFrame(known, interpreter: 1) == nil)
    guard case .frame(let id) = table.answer(known, interpreter: 1, memory: nil) else {
      Issue.record("no frame")
      return
    }
    #expect(table.recentFrame(known, interpreter: 1) == id)
    #expect(table.recentFrame(known, interpreter: 2) == nil)
    var other = known
    other.fingerprint = 8
    #expect(table.recentFrame(other, interpreter: 1) == nil)
    // Some of these have the place of the known one.
    other = known
    for offset in stride(from: Int32(8), to: 40_000, by: 2) {
      other.offset = offset
      #expect(table.recentFrame(other, interpreter: 1) == nil, "\(offset)")
    }
    other = known
    other.owner = 1
    #expect(table.recentFrame(other, interpreter: 1) == nil)
    other = known
    other.code = 0x6000
    #expect(table.recentFrame(other, interpreter: 1) == nil)
  }

  /// A name of which more is to come is not kept.
  @Test func answersThatMayGetBetterAreNotKept() {
    let table = PythonFrameTable(codes: CodeTable())
    #expect(kind(table.answer(frame(6), interpreter: 1, memory: nil)) == "frame")
    #expect(table.recentFrame(frame(6), interpreter: 1) == nil)
  }

  /// Names in other scripts have two or four bytes per character.
  @Test(
    arguments: [
      (1, 4, 4, false), (1, 4, 5, true), (2, 4, 2, false), (2, 4, 3, true), (4, 4, 1, false),
      (4, 4, 2, true),
    ] as [(UInt8, Int, UInt32, Bool)])
  func cutNames(_ kind: UInt8, _ bytes: Int, _ characters: UInt32, _ isCut: Bool) {
    let text = HandedText(bytes: [UInt8](repeating: 0x61, count: bytes), characters: characters, kind: kind)
    #expect(text.isCut == isCut)
  }

  /// A record's own size is what counts, not that of the padded bytes behind it.
  @Test func namesEndWithTheirRecord() {
    var record = Records.names(code: 1, name: "name", file: "file", lineTable: [1, 2]) { $0.size -= 2 }
    record += [UInt8](repeating: 0x21, count: 16)
    var fault: RecordFault?
    do throws(RecordFault) {
      _ = try unsafe NamesRecord(record.span.bytes)
    } catch { fault = error }
    #expect(fault == .sizes)
  }

  /// A whole chain ends in the end of a loop.
  @Test func aWholeChainWithoutItsEndIsNone() throws {
    var chain = DecodedChain()
    let record = Records.sample([Records.frame(code: 1, instruction: 2)], status: PYTHON_CHAIN_WHOLE)
    try unsafe chain.decode(record.span.bytes, codeAdaptive: 0)
    #expect(chain.damage == .joinMismatch)
  }
}
