// Reads code objects, strings and bytes out of an interpreter's memory.

import ProcessImages
import PythonChain

/// Little-endian numbers in bytes that were read at once. Positions outside of them read as 0.
struct Words {
  let bytes: [UInt8]

  func load<T: FixedWidthInteger & UnsignedInteger>(_ position: UInt32, as type: T.Type = T.self) -> T {
    let width = T.bitWidth / 8
    let start = Int(position)
    guard start + width <= bytes.count else { return 0 }
    var value: T = 0
    for index in 0..<width { value |= T(bytes[start + index]) << T(8 * index) }
    return value
  }
}

/// The fixed part of a code object (Include/cpython/code.h).
struct CodeHeader: Equatable {
  var type: UInt64
  var qualifiedName: UInt64
  var fileName: UInt64
  var lineTable: UInt64
  var firstLine: Int32
  /// `_co_firsttraceable`, in code units.
  var firstTraceable: UInt32
  /// `Py_SIZE`: instructions and caches, in code units of 2 bytes.
  var codeUnits: UInt64
  /// `co_version`; 0 in 3.11, which has none.
  var version: UInt32
}

/// A string that was read, and how much of it.
struct ReadText: Equatable {
  var text: String
  /// The string went on after `UnicodeText.characterLimit` characters.
  var isCut: Bool
}

/// Objects of one interpreter, by address. Everything read is untrusted: bounded, and nil where it cannot be.
struct ObjectReader {
  /// Longest line table that is read, in bytes.
  static let lineTableLimit = 1 << 22
  /// Offset of `PyTypeObject.tp_flags`, `tp_name` and of two of the flags (Include/cpython/object.h, object.h).
  static let typeFlags: UInt64 = 168
  static let typeName: UInt64 = 24
  static let unicodeSubclass: UInt64 = 1 << 28
  static let bytesSubclass: UInt64 = 1 << 27

  let layout: python_layout
  /// Offset of a code object's first instruction, in bytes.
  let codeAdaptive: UInt32
  let memory: any ByteSource

  func header(_ code: UInt64) -> CodeHeader? {
    guard let bytes = memory.bytes(code, count: Int(codeAdaptive), limit: 4096) else { return nil }
    let words = Words(bytes: bytes)
    return CodeHeader(
      type: words.load(layout.object_type), qualifiedName: words.load(layout.code_qualname),
      fileName: words.load(layout.code_filename), lineTable: words.load(layout.code_linetable),
      firstLine: Int32(bitPattern: words.load(layout.code_firstlineno)),
      firstTraceable: words.load(layout.code_firsttraceable), codeUnits: words.load(layout.code_size),
      version: layout.code_version == 0 ? 0 : words.load(layout.code_version))
  }

  /// Where a string keeps its characters, and how many; nil for what no code object's name is.
  func string(_ object: UInt64) -> (data: UInt64, length: UInt64, kind: Int)? {
    guard object != 0, let length: UInt64 = memory.load(object &+ UInt64(layout.unicode_length)),
      let word: UInt32 = memory.load(object &+ UInt64(layout.unicode_state)), length < 1 << 30
    else { return nil }
    let state = UnicodeState(word: word)
    guard state.isReadable else { return nil }
    let data = state.isASCII ? layout.unicode_ascii_data : layout.unicode_compact_data
    return (object &+ UInt64(data), length, state.kind)
  }

  func text(_ object: UInt64) -> ReadText? {
    guard let string = string(object) else { return nil }
    let kept = min(Int(string.length), UnicodeText.characterLimit)
    guard let bytes = memory.bytes(string.data, count: kept * string.kind),
      let text = UnicodeText.decode(bytes, kind: string.kind)
    else { return nil }
    return ReadText(text: text, isCut: kept < Int(string.length))
  }

  /// The contents of a `bytes` object.
  func contents(_ object: UInt64) -> [UInt8]? {
    guard object != 0, let size: UInt64 = memory.load(object &+ UInt64(layout.bytes_size)),
      size <= UInt64(Self.lineTableLimit)
    else { return nil }
    return memory.bytes(object &+ UInt64(layout.bytes_value), count: Int(size), limit: Self.lineTableLimit)
  }

  func type(of object: UInt64) -> UInt64? { memory.load(object &+ UInt64(layout.object_type)) }

  func flags(ofType type: UInt64) -> UInt64? { memory.load(type &+ Self.typeFlags) }

  /// Whether `type` is called `code`, as PyCode_Type is.
  func isCodeType(_ type: UInt64) -> Bool {
    guard type != 0, let name: UInt64 = memory.load(type &+ Self.typeName) else { return false }
    return memory.bytes(name, count: 5) == [0x63, 0x6f, 0x64, 0x65, 0]
  }
}
