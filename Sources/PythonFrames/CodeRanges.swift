// Which code object an instruction belongs to: the other way round than everything else here.

/// Where the instructions of known code objects lie. A range that a younger code object took is that one's.
public struct CodeRanges: Sendable {
  /// A code object and where its instructions lie.
  public struct Range: Equatable, Sendable {
    /// The code object.
    public var key: CodeKey
    /// Address of its first instruction.
    public var start: UInt64
    /// Address behind its last.
    public var end: UInt64
  }

  /// By address; none overlaps another.
  private var ranges: [Range] = []

  /// No ranges.
  public init() {}

  /// Ranges that are known.
  public var count: Int { ranges.count }

  /// Adds a code object. Older ranges that overlap its own are forgotten: their code objects are gone.
  public mutating func add(_ range: Range) {
    guard range.start < range.end else { return }
    let first = position(of: range.start)
    if first < ranges.count, ranges[first] == range { return }
    var last = first
    while last < ranges.count, ranges[last].start < range.end { last += 1 }
    ranges.replaceSubrange(first..<last, with: [range])
  }

  /// The code object whose instructions include the one at an address.
  public func find(_ instruction: UInt64) -> Range? {
    let at = position(of: instruction)
    guard at < ranges.count, ranges[at].start <= instruction else { return nil }
    return ranges[at]
  }

  /// Position of the first range that ends behind an address.
  private func position(of address: UInt64) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension PythonFrameTable {
  /// Where the instructions of a frame's code object lie; nil where its length is not known.
  ///
  /// - Parameter codeAdaptive: `InterpreterLayout.codeAdaptive`.
  public func range(of frame: ChainFrame, interpreter: UInt64, codeAdaptive: UInt32) -> CodeRanges.Range? {
    let key = CodeKey(interpreter: interpreter, code: frame.code, fingerprint: frame.fingerprint)
    guard frame.fingerprint != CodeFingerprint.none, let end = codes.length(of: key) else { return nil }
    let start = frame.code &+ UInt64(codeAdaptive)
    return CodeRanges.Range(key: key, start: start, end: start &+ UInt64(end))
  }
}

extension CodeMemory {
  /// Whether the code object of a range is still there: it has lived since its fingerprint was read, because no two code
  /// objects share one (3.12 and later), or another just like it lies there (3.11).
  ///
  /// Memory that was given back keeps most of what was in it: its first word, a reference count in an object, is then
  /// a link of the allocator (Objects/obmalloc.c) or nothing.
  public func isAlive(_ range: CodeRanges.Range) -> Bool {
    let key = range.key
    guard key.fingerprint != CodeFingerprint.none, let header = reader.header(key.code),
      header.type == reader.layout.code_type, 2 * header.codeUnits == range.end &- range.start,
      let references: UInt64 = reader.memory.load(key.code), references > 0, references < 1 << 40
    else { return false }
    return CodeFingerprint.read(header, with: reader) == key.fingerprint
  }
}
