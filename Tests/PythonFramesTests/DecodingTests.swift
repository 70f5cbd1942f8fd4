// The borders: chain records, names records and strings that are short, cut or lying.

import Accounting
import PythonChain
import Testing

@testable import PythonFrames

@Suite struct DecodingTests {
  private func fault(_ bytes: [UInt8]) -> RecordFault? {
    var chain = DecodedChain()
    do throws(RecordFault) {
      try unsafe chain.decode(bytes.span.bytes, codeAdaptive: 200)
      return nil
    } catch {
      #expect(chain.frames.isEmpty && chain.groups.isEmpty)
      return error
    }
  }

  @Test func groupsEndAtTheirLoop() throws {
    let record = Records.sample([
      Records.frame(code: 0x5000, instruction: 0x5000 + 200 + 12),
      Records.frame(code: 0x6000, instruction: 0x6000 + 200 - 2, owner: 1),
      Records.loopEnd(0x7fff0010, cFrame: 0x7fff0020),
      Records.frame(code: 0x5000, instruction: 0),
      Records.loopEnd(0x7fff1010),
    ])
    var chain = DecodedChain()
    try unsafe chain.decode(record.span.bytes, codeAdaptive: 200)
    #expect(chain.damage == nil && chain.remark == nil)
    #expect(
      chain.groups == [
        ChainGroup(frames: 0..<2, boundary: 0x7fff0010, cFrame: 0x7fff0020, interpreter: 1),
        ChainGroup(frames: 2..<3, boundary: 0x7fff1010, cFrame: 0, interpreter: 1),
      ])
    #expect(chain.frames.map(\.offset) == [12, -2, -(0x5000 + 200)])
  }

  @Test func sizesThatLieAreRefused() {
    let record = Records.sample([Records.frame(code: 1, instruction: 2), Records.loopEnd(3)])
    #expect(fault(record) == nil)
    for count in 0..<record.count { #expect(fault(Array(record[..<count])) == .short) }
    for (position, value) in [(4, UInt8(0)), (4, 63), (4, 104), (20, 1), (20, 3), (23, 0x80)] {
      var lying = record
      lying[position] = value
      #expect(fault(lying) == .sizes)
    }
    var kind = record
    kind[0] ^= 0xff
    #expect(fault(kind) != nil)
  }

  @Test(arguments: [
    (PYTHON_CHAIN_NO_LAYOUT, DamageCause.interpreterNotYetKnown), (PYTHON_CHAIN_READ_FAULT, .pythonReadFault),
    (PYTHON_CHAIN_BAD_CODE, .pythonBadCode), (PYTHON_CHAIN_DEPTH_LIMIT, .pythonDepthLimit),
    (PYTHON_CHAIN_UNLINKED, .pythonTransient), (PYTHON_CHAIN_BOUNDARY, .joinMismatch),
    (PYTHON_CHAIN_THREAD_LIMIT, .threadListLimit), (python_chain_status(99), .pythonBadCode),
  ])
  func eachStatusHasItsCause(_ status: python_chain_status, _ cause: DamageCause) throws {
    var chain = DecodedChain()
    let record = Records.sample([Records.frame(code: 1, instruction: 2)], status: status)
    try unsafe chain.decode(record.span.bytes, codeAdaptive: 200)
    #expect(chain.damage == cause)
    #expect(chain.groups == [ChainGroup(frames: 0..<1, boundary: 0, cFrame: 0, interpreter: 1)])
  }

  @Test func threadsWithoutPythonAreNotDamaged() throws {
    var chain = DecodedChain()
    for status in [PYTHON_CHAIN_NO_THREAD, PYTHON_CHAIN_NO_FRAMES] {
      let record = Records.sample([], status: status)
      try unsafe chain.decode(record.span.bytes, codeAdaptive: 200)
      #expect(chain.damage == nil && chain.remark == .nonPythonThread)
    }
  }

  @Test func handedNamesNameTheFrame() throws {
    let codes = CodeTable()
    let table = PythonFrameTable(codes: codes)
    let record = Records.names(
      code: 0x5000, name: "A.f", file: "a.py", lineTable: [0x80 | 11 << 3 | 7, 0, 0], firstTraceable: 2)
    let index = try unsafe codes.add(names: record.span.bytes)
    var frame = ChainFrame(address: 1, code: 0x5000, fingerprint: 7, offset: 6, owner: 0)
    guard case .frame(let id) = table.answer(frame, interpreter: 1, memory: nil) else {
      Issue.record("no frame")
      return
    }
    #expect(id == table.frame(for: index, offset: 6))
    #expect(table[id] == PythonFrame(functionName: "A.f", file: "a.py", line: 11, firstLine: 10))
    #expect(table.remark(id) == nil)
    frame.offset = 2
    #expect(table.answer(frame, interpreter: 1, memory: nil) == .incomplete)
    frame.owner = ChainFrame.generatorOwner
    #expect(table.answer(frame, interpreter: 1, memory: nil) != .incomplete)
    for offset in [Int32(18), -4, .max, .min] {
      frame.offset = offset
      #expect(table.answer(frame, interpreter: 1, memory: nil) == .torn)
    }
    // The same address with another fingerprint is another function, and its name is not known.
    frame = ChainFrame(address: 1, code: 0x5000, fingerprint: 8, offset: 6, owner: 0)
    guard case .frame(let other) = table.answer(frame, interpreter: 1, memory: nil) else {
      Issue.record("no frame")
      return
    }
    #expect(other != id && table[other].functionName == PythonFrame.unknownFunction)
    #expect(table.remark(other) == .namelessPythonFrame)
  }

  @Test func cutStringsAndTablesSaySo() throws {
    let codes = CodeTable()
    let table = PythonFrameTable(codes: codes)
    let record = Records.names(code: 1, name: "long", file: "f", lineTable: [0x80 | 11 << 3 | 7, 0, 0]) {
      $0.qualname_length = 600
      $0.linetable_length = 4000
    }
    let id = table.frame(for: try unsafe codes.add(names: record.span.bytes), offset: 0)
    #expect(table[id] == PythonFrame(functionName: "long…", file: "f", line: 10, firstLine: 10))
    #expect(table.remark(id) == .firstLineOnly)
  }

  @Test func namesThatLieAreRefused() throws {
    func fault(_ bytes: [UInt8]) -> RecordFault? {
      do throws(RecordFault) {
        _ = try unsafe NamesRecord(bytes.span.bytes)
        return nil
      } catch { return error }
    }
    func lying(_ change: (inout python_chain_names) -> Void) -> RecordFault? {
      fault(Records.names(code: 1, name: "name", file: "file", lineTable: [1, 2], change: change))
    }
    #expect(lying { _ in } == nil)
    #expect(lying { $0.kind = 1 } == .kind(1))
    #expect(lying { $0.size += 1 } == .short)
    #expect(lying { $0.size -= 1 } == .sizes)
    #expect(lying { $0.size = 0 } == .sizes)
    #expect(lying { $0.qualname_bytes = 5 } == .sizes)
    #expect(lying { $0.filename_bytes = .max } == .sizes)
    #expect(lying { $0.linetable_bytes = 3 } == .sizes)
    #expect(lying { $0.linetable_length = 1 } == .sizes)
    #expect(lying { $0.qualname_length = 3 } == .sizes)
    #expect(lying { $0.qualname_kind = 3 } == .sizes)
    let whole = Records.names(code: 1, name: "name", file: "file", lineTable: [1, 2])
    for count in 0..<whole.count { #expect(fault(Array(whole[..<count])) == .short) }
  }

  @Test func unicode() {
    #expect(UnicodeText.decode([0x61, 0xe9], kind: 1) == "aé")
    #expect(UnicodeText.decode([0x61, 0, 0x1c, 0x21], kind: 2) == "aℜ")
    #expect(UnicodeText.decode([0x00, 0xd8, 0x61, 0], kind: 2) == "\\ud800a")
    #expect(UnicodeText.decode([0x3d, 0xd8, 0x00, 0xde], kind: 2) == "\\ud83d\\ude00")
    #expect(UnicodeText.decode([0x00, 0xf6, 0x01, 0], kind: 4) == "😀")
    #expect(UnicodeText.decode([0, 0, 0x11, 0], kind: 4) == nil)
    #expect(UnicodeText.decode([0x61], kind: 3) == nil)
    #expect(UnicodeText.decode([0x61, 0, 0x62], kind: 2) == "a")
    #expect(UnicodeText.decode([], kind: 1) == "")
  }

  @Test func aTableOfManyFramesKeepsThemApart() {
    let codes = CodeTable()
    let table = PythonFrameTable(codes: codes)
    let first = (0..<200).flatMap { code in
      let index = codes.index(
        of: CodeKey(interpreter: 1, code: UInt64(code) * 4096, fingerprint: 1), memory: nil)
      return (0..<40).map { table.frame(for: index, offset: Int32($0 * 2)) }
    }
    #expect(Set(first).count == 8000 && table.count == 8000)
    let again = codes.index(of: CodeKey(interpreter: 1, code: 4096, fingerprint: 1), memory: nil)
    #expect(table.frame(for: again, offset: 4) == first[42])
  }
}
