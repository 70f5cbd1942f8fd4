// Proves a layout's frame, code and string offsets on the chains of thread states.

import ProcessImages
import PythonChain

/// Looks for one thread state whose chain proves the layout: its code objects are what they must be, and it ends
/// properly.
///
/// What proves is what was read, whoever the state belongs to: in a forked child, in a pool of states, or while the
/// program is between two interpreters, no state need be that of a thread of the process.
struct FrameValidation {
  /// Distinct code objects that are checked.
  static let codeLimit = 64
  /// Thread states with frames that are tried in one round.
  static let threadLimit = 64
  /// Frames that prove enough where their chain is cut short.
  static let leastFrames = 2

  let layout: LayoutValidation
  let candidate: LayoutCandidate
  /// Whether a chain that does not end as it must will do, because in no round before did any.
  let acceptsCutChains: Bool

  private var memory: any ByteSource { layout.memory }

  func prove(threads: [UInt64], interpreters: [UInt64]) throws(LayoutError) -> LayoutCandidate {
    var failure: LayoutError?
    var tried = 0
    for thread in threads {
      guard tried < Self.threadLimit else { break }
      do {
        guard let proven = try prove(thread: thread, interpreters: interpreters) else { continue }
        return proven
      } catch {
        failure = failure ?? error
        tried += 1
      }
    }
    if let failure { throw failure }
    throw .idle
  }

  /// nil where the thread state runs no Python code.
  private func prove(thread: UInt64, interpreters: [UInt64]) throws(LayoutError) -> LayoutCandidate? {
    var proven = candidate
    let untyped = ObjectReader(layout: proven.raw, codeAdaptive: proven.codeAdaptive, memory: memory)
    guard proven.raw.code_type == 0 || untyped.isCodeType(proven.raw.code_type) else {
      throw wrong("code_type", "\(hex(proven.raw.code_type)) is not PyCode_Type")
    }
    let chain = ChainWalker(reader: untyped).walk(thread: thread)
    if chain.status == PYTHON_CHAIN_NO_FRAMES { return nil }
    guard chain.isWhole || isEnough(chain) else {
      throw doubt(chain.suspect, "a frame chain does not end as it must (status \(chain.status.rawValue))")
    }
    let frames = chain.entries.filter { $0.entry == UInt8(PYTHON_CHAIN_FRAME.rawValue) }
    guard !frames.isEmpty else { return nil }
    if proven.raw.code_type == 0 {
      guard let type = untyped.type(of: frames[0].code), untyped.isCodeType(type) else {
        throw wrong("frame.executable", "the innermost frame runs no code object")
      }
      proven.raw.code_type = type
    }

    let reader = ObjectReader(layout: proven.raw, codeAdaptive: proven.codeAdaptive, memory: memory)
    var seen: Set<UInt64> = []
    var highestVersion: UInt32 = 0
    for frame in frames {
      guard let header = reader.header(frame.code) else { throw wrong("frame.executable", "not readable") }
      guard header.type == proven.raw.code_type else {
        throw wrong("object.type", "a frame's code is no code object")
      }
      try check(frame, header)
      // _Py_InitCleanup (Python/specialize.c) is put on the stack without ever being started.
      let isStarted = UInt64(header.firstTraceable) <= header.codeUnits
      if proven.raw.code_version != 0, header.version == 0, !isStarted { continue }
      highestVersion = max(highestVersion, header.version)
      guard seen.count < Self.codeLimit, seen.insert(frame.code).inserted else { continue }
      try check(header, reader)
    }
    proven.raw = gated(proven.raw, interpreters: interpreters, above: highestVersion)
    return proven
  }

  /// Whether a chain without its proper end proves a layout that is in every field as it is known: the offsets that
  /// lead to the end are not proven by it.
  private func isEnough(_ chain: WalkedChain) -> Bool {
    guard layout.oddField(candidate) == nil else { return false }
    return chain.isDetached || (acceptsCutChains && chain.frameCount >= Self.leastFrames)
  }

  private func check(_ frame: python_chain_frame, _ header: CodeHeader) throws(LayoutError) {
    guard header.codeUnits > 0, header.codeUnits < 1 << 28 else {
      throw wrong("code.size", "\(header.codeUnits) code units")
    }
    let offset = Int64(
      bitPattern: frame.instruction &- frame.code &- UInt64(candidate.codeAdaptive))
    guard offset >= -2, offset <= Int64(header.codeUnits) * 2, offset % 2 == 0 else {
      throw wrong("frame.instruction", "an instruction is outside of its code")
    }
  }

  private func check(_ header: CodeHeader, _ reader: ObjectReader) throws(LayoutError) {
    guard UInt64(header.firstTraceable) <= header.codeUnits else {
      throw wrong("code.firsttraceable", "\(header.firstTraceable) of \(header.codeUnits) code units")
    }
    guard header.firstLine >= 0 else { throw wrong("code.firstlineno", "\(header.firstLine)") }
    let name = try string(header.qualifiedName, "code.qualname", reader)
    let file = try string(header.fileName, "code.filename", reader)
    guard !name.isEmpty, !name.contains("\0"), !file.contains("\0") else {
      throw wrong("unicode.length", "a name with a zero in it")
    }
    guard let type = reader.type(of: header.lineTable), let flags = reader.flags(ofType: type),
      flags & ObjectReader.bytesSubclass != 0
    else { throw wrong("code.linetable", "not a bytes object") }
    guard let table = reader.contents(header.lineTable) else { throw wrong("bytes.size", "no length") }
    guard LineTable.coveredBytes(table) == Int(header.codeUnits) * 2 else {
      throw wrong("bytes.value", "a line table does not cover its code")
    }
  }

  private func string(_ object: UInt64, _ field: String, _ reader: ObjectReader) throws(LayoutError) -> String
  {
    guard let type = reader.type(of: object), let flags = reader.flags(ofType: type),
      flags & ObjectReader.unicodeSubclass != 0
    else { throw wrong(field, "not a str object") }
    // A file name may be an instance of a subclass, whose characters are elsewhere: its frames have no file.
    guard let text = reader.text(object) else {
      if let state: UInt32 = memory.load(object &+ UInt64(candidate.raw.unicode_state)),
        !UnicodeState(word: state).isCompact, field == "code.filename",
        candidate.raw.unicode_state == layout.known.raw.unicode_state
      {
        return "?"
      }
      throw wrong("unicode.state", "a name does not decode")
    }
    return text.text
  }

  /// Keeps the code version counter only where it reads as one: above the versions of live code objects.
  private func gated(_ raw: python_layout, interpreters: [UInt64], above version: UInt32) -> python_layout {
    var raw = raw
    func isCounter(_ address: UInt64) -> Bool {
      memory.load(address, as: UInt32.self).map { $0 > version && version > 0 } ?? false
    }
    if raw.next_version_address != 0, !isCounter(raw.next_version_address) { raw.next_version_address = 0 }
    let offset = raw.interpreter_next_version
    if offset != 0, !interpreters.contains(where: { isCounter($0 &+ UInt64(offset)) }) {
      raw.interpreter_next_version = 0
    }
    return raw
  }

  private func wrong(_ field: String, _ detail: String) -> LayoutError {
    layout.wrong(candidate, field, detail)
  }

  private func doubt(_ field: String, _ detail: String) -> LayoutError {
    layout.doubt(candidate, field, detail)
  }
}
