// Python frames as people read them, under small numbers.

import Accounting

/// A Python frame in a `PythonFrameTable`.
public struct PythonFrameID: Hashable, Sendable {
  /// Position in the table, from 0.
  public let value: Int32
}

/// A Python frame: a function, and where it was.
public struct PythonFrame: Hashable, Sendable {
  /// The qualified name (`Class.method`), or `PythonFrame.unknownFunction`.
  public var functionName: String
  /// The file name as the code object has it; empty where it is not known.
  public var file: String
  /// The line, from 1; 0 where it is not known.
  public var line: Int32
  /// The line of the function's `def`; 0 where it is not known.
  public var firstLine: Int32

  /// The name of a function whose code object was gone before its name could be read.
  public static let unknownFunction = "<unknown Python function>"
}

/// How a frame of a chain is shown.
public enum FrameAnswer: Equatable, Sendable {
  /// A frame, with what is to be remarked about the sample.
  case frame(PythonFrameID)
  /// Being set up: Python itself does not show it.
  case incomplete
  /// The position is outside of the code: what was read there is no frame (`DamageCause.pythonBadCode`).
  case torn
}

/// Every distinct (code object, instruction) seen. A known one is found without allocating.
public final class PythonFrameTable {
  private struct Entry {
    var code: Int32
    var offset: Int32
  }

  /// The code objects of the frames.
  public let codes: CodeTable

  private let recent = RecentFrames()
  private var entries: [Entry] = []
  /// Open addressing, -1 is free; the count is a power of two.
  private var slots: [Int32]

  /// A table of frames in `codes`.
  public init(codes: CodeTable) {
    self.codes = codes
    slots = Array(repeating: -1, count: 1024)
  }

  /// Frames in the table.
  public var count: Int { entries.count }

  /// The number of the frame at `offset` bytes from the start of a code object.
  public func frame(for code: CodeIndex, offset: Int32) -> PythonFrameID {
    var slot = Self.hash(code.value, offset) & (slots.count - 1)
    while slots[slot] >= 0 {
      let entry = entries[Int(slots[slot])]
      if entry.code == code.value, entry.offset == offset { return PythonFrameID(value: slots[slot]) }
      slot = (slot + 1) & (slots.count - 1)
    }
    let id = Int32(entries.count)
    entries.append(Entry(code: code.value, offset: offset))
    slots[slot] = id
    if entries.count * 2 > slots.count { grow() }
    return PythonFrameID(value: id)
  }

  /// How a decoded frame is shown.
  ///
  /// - Parameters:
  ///   - interpreter: Address of the interpreter state, from the record's header.
  ///   - memory: The running process, for code objects whose names were not handed over.
  public func answer(_ frame: ChainFrame, interpreter: UInt64, memory: CodeMemory?) -> FrameAnswer {
    let key = CodeKey(interpreter: interpreter, code: frame.code, fingerprint: frame.fingerprint)
    let index = codes.index(of: key, memory: memory)
    let bounds = codes.bounds[Int(index.value)]
    if bounds.isKnown {
      // -2: one unit before the first instruction, where 3.11 and 3.12 put a frame that has not started.
      guard frame.offset >= -2, Int64(frame.offset) <= bounds.end else { return .torn }
      if frame.owner != ChainFrame.generatorOwner, Int64(frame.offset) < bounds.firstTraceable {
        return .incomplete
      }
    }
    let id = self.frame(for: index, offset: frame.offset)
    if bounds.remark == .none { recent.store(id, for: frame, interpreter) }
    return .frame(id)
  }

  /// The short way: a frame that `answer` has given and about which there is nothing to be said. nil: ask `answer`.
  public func recentFrame(_ frame: ChainFrame, interpreter: UInt64) -> PythonFrameID? {
    recent.find(frame, interpreter)
  }

  /// The frame as people read it. The line is looked up in the code's line table: call it once per frame.
  public subscript(id: PythonFrameID) -> PythonFrame {
    let entry = entries[Int(id.value)]
    guard let object = codes.object(CodeIndex(value: entry.code)) else {
      return PythonFrame(functionName: PythonFrame.unknownFunction, file: "", line: 0, firstLine: 0)
    }
    return PythonFrame(
      functionName: object.qualifiedName ?? PythonFrame.unknownFunction, file: object.fileName ?? "",
      line: Self.line(of: Int(entry.offset), in: object), firstLine: object.firstLine)
  }

  /// What is to be said about a sample that contains the frame: `.namelessPythonFrame`, `.firstLineOnly` or nothing.
  public func remark(_ id: PythonFrameID) -> Remark? {
    switch codes.bounds[Int(entries[Int(id.value)].code)].remark {
    case .none: nil
    case .nameless: .namelessPythonFrame
    case .firstLineOnly: .firstLineOnly
    }
  }

  private static func line(of offset: Int, in object: CodeObject) -> Int32 {
    guard let table = object.lineTable,
      case .line(let line) = LineTable.line(at: offset, in: table, firstLine: object.firstLine)
    else { return object.firstLine }
    return line
  }

  private static func hash(_ code: Int32, _ offset: Int32) -> Int {
    let both = UInt64(UInt32(bitPattern: code)) << 32 | UInt64(UInt32(bitPattern: offset))
    return Int((both &* 0x9E37_79B9_7F4A_7C15) >> 33)
  }

  private func grow() {
    slots = Array(repeating: -1, count: slots.count * 2)
    for (index, entry) in entries.enumerated() {
      var slot = Self.hash(entry.code, entry.offset) & (slots.count - 1)
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = Int32(index)
    }
  }
}
