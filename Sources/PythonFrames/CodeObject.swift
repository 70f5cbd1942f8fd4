// What is known about one code object: its names, its first line and its line table.

import ProcessImages

/// Which code object: an address alone is used again and again.
public struct CodeKey: Hashable, Sendable {
  /// Address of the interpreter state.
  public var interpreter: UInt64
  /// Address of the code object.
  public var code: UInt64
  /// Tells apart the code objects that lived there; 0 where none could be read.
  public var fingerprint: UInt64

  /// A key from its parts.
  public init(interpreter: UInt64, code: UInt64, fingerprint: UInt64) {
    self.interpreter = interpreter
    self.code = code
    self.fingerprint = fingerprint
  }
}

/// A code object's names and lines, as far as they could be had.
struct CodeObject: Equatable {
  /// nil where the name could not be had.
  var qualifiedName: String?
  var fileName: String?
  var firstLine: Int32
  var codeUnits: UInt64
  /// In code units.
  var firstTraceable: UInt32
  /// nil where it is gone, or only a part of it was handed over.
  var lineTable: [UInt8]?

  /// Nothing that a further look could add.
  var isComplete: Bool { qualifiedName != nil && fileName != nil && lineTable != nil }
}

extension CodeObject {
  /// What a names record says. The cut strings end in "…".
  init(_ record: NamesRecord) {
    qualifiedName = Self.text(record.qualifiedName)
    fileName = Self.text(record.fileName)
    firstLine = record.firstLine
    codeUnits = UInt64(record.codeUnits)
    firstTraceable = record.firstTraceable
    let isWhole = record.lineTable.count == Int(record.lineTableLength) && record.lineTableLength > 0
    lineTable = isWhole ? record.lineTable : nil
  }

  private static func text(_ handed: HandedText) -> String? {
    if handed.bytes.isEmpty, handed.characters > 0 || handed.kind == 0 { return nil }
    let text = UnicodeText.decode(handed.bytes, kind: Int(handed.kind))
    return handed.isCut ? text.map { $0 + "…" } : text
  }

  /// Reads the code object at `key.code` from the running process, with proof that it was the one of `key` from
  /// the first to the last read; nil where that cannot be proven.
  ///
  /// The fingerprint is read before and after. In 3.12 and later it is unique, so the object lived all the while,
  /// and it owns its strings. In 3.11 it is a hash of what was read.
  static func proven(_ key: CodeKey, with reader: ObjectReader) -> CodeObject? {
    guard key.fingerprint != CodeFingerprint.none, let header = reader.header(key.code),
      header.type == reader.layout.code_type, CodeFingerprint.read(header, with: reader) == key.fingerprint
    else { return nil }
    func text(_ object: UInt64) -> String? {
      reader.text(object).map { $0.isCut ? $0.text + "…" : $0.text }
    }
    let object = CodeObject(
      qualifiedName: text(header.qualifiedName), fileName: text(header.fileName), firstLine: header.firstLine,
      codeUnits: header.codeUnits, firstTraceable: header.firstTraceable,
      lineTable: reader.contents(header.lineTable))
    guard reader.header(key.code) == header, CodeFingerprint.read(header, with: reader) == key.fingerprint
    else { return nil }
    return object
  }
}

/// Reads code objects that were not handed over whole from the running process.
public struct CodeMemory {
  let reader: ObjectReader

  /// Reads by `layout` from the memory of the process it was proven on.
  public init(layout: InterpreterLayout, memory: any ByteSource) {
    reader = layout.objects(in: memory)
  }
}
