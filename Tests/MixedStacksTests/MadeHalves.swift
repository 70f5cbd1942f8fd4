// Both halves of one instant made by hand, and the text of what the joiner makes of them.

import Accounting
import PythonChain

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

/// Both halves of one instant, made by hand. Functions are 0x1000 bytes long; the evaluation loop begins at 0x1000.
struct Halves {
  static let loop: UInt64 = 0x1000
  static let other: UInt64 = 0x2000
  static let base: UInt64 = 0x7ffc_0000_0000

  var native = AddressStack()
  var entries: [python_chain_frame] = []
  var status = PYTHON_CHAIN_WHOLE
  /// Where the thread's stack ends; 0: not known.
  var stackEnd: UInt64 = 0
  /// The thread runs on another stack than its own.
  var isOther = false
  /// The first thread state names another thread.
  var isLent = false

  /// Native frames leaf first: `L` an evaluation loop, `n` any other function; each frame has 0x100 bytes.
  init(_ functions: String, end: UnwindEnd = .outermost) {
    for (index, function) in functions.enumerated() {
      native.frames.append(
        NativeFrame(
          address: (function == "L" ? Self.loop : Self.other) + 0x10,
          canonicalFrameAddress: Self.base + UInt64(index + 1) * 0x100, isInstructionPointer: index == 0,
          isGuessed: false))
    }
    native.end = end
  }

  /// An address inside of a native frame.
  static func inside(_ frame: Int) -> UInt64 { base + UInt64(frame) * 0x100 + 0x40 }

  /// Python frames by code object, innermost first.
  mutating func python(_ codes: UInt64...) {
    for code in codes {
      var entry = python_chain_frame()
      entry.address = 0x5000
      entry.code = code
      entry.instruction = code + 20
      entry.fingerprint = 1
      entries.append(entry)
    }
  }

  /// The end of a loop whose boundary lies in a native frame.
  mutating func loopEnd(in frame: Int, cFrame: Int? = nil, broken: Bool = false) {
    loopEnd(at: Self.inside(frame), cFrame: cFrame.map { Self.inside($0) + 8 } ?? 0, broken: broken)
  }

  mutating func loopEnd(at address: UInt64, cFrame: UInt64 = 0, broken: Bool = false) {
    var entry = python_chain_frame()
    entry.entry = UInt8(PYTHON_CHAIN_LOOP_END.rawValue)
    entry.address = address
    entry.code = cFrame
    entry.owner = broken ? 0xff : 3
    entries.append(entry)
  }

  /// The chain of another thread state follows.
  mutating func state(interpreter: UInt64 = 1, isLent: Bool = false) {
    note(PYTHON_CHAIN_STATE, code: interpreter, instruction: isLent ? 1 : 0)
  }

  /// Entries are missing.
  mutating func gap(frames: UInt64, loops: UInt64) {
    note(PYTHON_CHAIN_GAP, code: frames, instruction: loops)
  }

  private mutating func note(_ kind: python_chain_entry, code: UInt64, instruction: UInt64) {
    var entry = python_chain_frame()
    entry.entry = UInt8(kind.rawValue)
    entry.code = code
    entry.instruction = instruction
    entries.append(entry)
  }

  var chain: DecodedChain {
    get throws {
      var header = python_chain_sample()
      header.kind = PYTHON_CHAIN_SAMPLE.rawValue
      header.size = UInt32(
        MemoryLayout<python_chain_sample>.size + entries.count * MemoryLayout<python_chain_frame>.size)
      header.status = status.rawValue
      header.frame_count = UInt32(entries.count)
      header.interpreter = 1
      if isLent { header.flags = PYTHON_CHAIN_LENT_STATE.rawValue }
      var bytes = unsafe withUnsafeBytes(of: &header) { unsafe [UInt8]($0) }
      for var entry in entries { bytes += unsafe withUnsafeBytes(of: &entry) { unsafe [UInt8]($0) } }
      var chain = DecodedChain()
      try unsafe chain.decode(bytes.span.bytes, codeAdaptive: 0)
      return chain
    }
  }
}

/// Joins, and writes the result as text: `n1` native, `L1` loop, `p` with the code object for Python, `[...]`.
struct Joining {
  let joiner = StackJoiner { $0 & ~0xfff }
  let table = PythonFrameTable(codes: CodeTable())
  var mixed = MixedStack()

  init() {
    // What an evaluation loop is was learnt from an earlier sample.
    var halves = Halves("nLn")
    halves.python(1)
    halves.loopEnd(in: 1)
    _ = try? join(halves)
  }

  @discardableResult
  mutating func join(_ halves: Halves) throws -> String {
    let chain = try halves.chain
    joiner.join(
      halves.native, chain, table, memory: nil,
      stack: StackExtent(start: Halves.base, end: halves.stackEnd, isOther: halves.isOther),
      into: &mixed)
    // The table numbers frames in the order of first sight: by code object for these.
    var codes: [PythonFrameID: UInt64] = [:]
    for frame in chain.frames {
      if case .frame(let id) = table.answer(frame, interpreter: 1, memory: nil) { codes[id] = frame.code }
    }
    return mixed.frames.map { frame in
      switch frame {
      case .native(let index): "n\(index)"
      case .evaluationLoop(let index): "L\(index)"
      case .python(let id): "p\(codes[id] ?? 0)"
      case .marker(let marker): marker.text
      }
    }.joined(separator: " ")
  }
}
