// Keeps every code object that was seen, under a small number.

import Accounting

/// A code object in a `CodeTable`.
public struct CodeIndex: Hashable, Sendable {
  /// Position in the table, from 0.
  public let value: Int32
}

/// Every code object seen, by (interpreter, address, fingerprint).
///
/// Names come from records handed over in the interrupt; what is missing or cut is read from the process's memory
/// once, and believed only with proof.
public final class CodeTable {
  /// One code object, named or not.
  struct Entry {
    var key: CodeKey
    var object: CodeObject?
    /// Memory was asked, or nothing is missing.
    var isSettled: Bool
  }

  /// What every sample asks of a code object, apart from its strings: copying those costs more than the answer.
  struct Bounds: BitwiseCopyable {
    /// Length of the code, in bytes.
    var end: Int64 = .max
    /// Where the first line that Python itself shows begins, in bytes.
    var firstTraceable: Int64 = .min
    var remark = RemarkCode.nameless
    var isKnown = false
  }

  /// `PythonFrameTable.remark` in one byte.
  enum RemarkCode: UInt8 {
    case none, nameless, firstLineOnly
  }

  private var indices: [CodeKey: Int32] = [:]
  private(set) var bounds: [Bounds] = []
  private(set) var entries: [Entry] = []
  // The last answers, by address: a lookup in the dictionary costs far more.
  private var recent: [Int32]
  private static let recentBits: UInt64 = 12

  /// An empty table.
  public init() {
    recent = Array(repeating: -1, count: 1 << Int(Self.recentBits))
  }

  /// Code objects in the table.
  public var count: Int { entries.count }

  /// Takes the names of one code object from a names record: its header and the bytes behind it.
  @discardableResult
  public func add(names record: RawSpan) throws(RecordFault) -> CodeIndex {
    let names = try NamesRecord(record)
    let object = CodeObject(names)
    let position = position(of: names.key)
    // Strings that memory gave are whole; a record's may be cut.
    if entries[Int(position)].object == nil {
      let isCut = names.qualifiedName.isCut || names.fileName.isCut
      entries[Int(position)].object = object
      entries[Int(position)].isSettled = object.isComplete && !isCut
      updateBounds(Int(position))
    }
    return CodeIndex(value: position)
  }

  /// The code object of a frame. What is not known of it is looked up in `memory`, once.
  ///
  /// - Parameter memory: The running process; nil where it is gone or not to be read (captures).
  public func index(of key: CodeKey, memory: CodeMemory?) -> CodeIndex {
    let position = position(of: key)
    if !entries[Int(position)].isSettled, let memory { settle(Int(position), with: memory) }
    return CodeIndex(value: position)
  }

  /// Length of a known code object's instructions, in bytes; nil where it is not known.
  func length(of key: CodeKey) -> Int64? {
    guard let position = indices[key], bounds[Int(position)].isKnown else { return nil }
    return bounds[Int(position)].end
  }

  func object(_ index: CodeIndex) -> CodeObject? { entries[Int(index.value)].object }

  private func settle(_ position: Int, with memory: CodeMemory) {
    entries[position].isSettled = true
    defer { updateBounds(position) }
    guard let proven = CodeObject.proven(entries[position].key, with: memory.reader) else { return }
    guard var object = entries[position].object else {
      entries[position].object = proven
      return
    }
    object.qualifiedName = proven.qualifiedName ?? object.qualifiedName
    object.fileName = proven.fileName ?? object.fileName
    object.lineTable = proven.lineTable ?? object.lineTable
    entries[position].object = object
  }

  private func updateBounds(_ position: Int) {
    guard let object = entries[position].object else { return }
    bounds[position] = Bounds(
      end: 2 * Int64(min(object.codeUnits, 1 << 40)), firstTraceable: 2 * Int64(object.firstTraceable),
      remark: object.qualifiedName == nil ? .nameless : object.lineTable == nil ? .firstLineOnly : .none,
      isKnown: true)
  }

  private func position(of key: CodeKey) -> Int32 {
    let mixed =
      (key.code ^ key.fingerprint &* 0x9E37_79B9_7F4A_7C15 ^ key.interpreter) &* 0x9E37_79B9_7F4A_7C15
    let slot = Int(mixed >> (64 - Self.recentBits))
    let guess = recent[slot]
    if guess >= 0, entries[Int(guess)].key == key { return guess }
    let position: Int32
    if let known = indices[key] {
      position = known
    } else {
      position = Int32(entries.count)
      indices[key] = position
      entries.append(Entry(key: key, object: nil, isSettled: key.fingerprint == CodeFingerprint.none))
      bounds.append(Bounds())
    }
    recent[slot] = position
    return position
  }
}
