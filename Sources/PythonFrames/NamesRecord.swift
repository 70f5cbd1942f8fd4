// The border for names that the eBPF program hands over: checks a record's sizes once and copies it out.

import PythonChain

/// Why a record is not used.
public enum RecordFault: Error, Equatable, Sendable {
  /// Fewer bytes than the record's header or than the record says.
  case short
  /// The first word is another kind's.
  case kind(UInt32)
  /// A size or a count contradicts the record's size or its limits.
  case sizes
}

/// A string as handed over: characters that followed, and how many the string has.
struct HandedText: Equatable {
  var bytes: [UInt8]
  var characters: UInt32
  var kind: UInt8

  /// The string had more characters than were handed over.
  var isCut: Bool { UInt64(bytes.count) < UInt64(characters) * UInt64(max(1, kind)) }
}

/// A names record of one code object.
struct NamesRecord: Equatable {
  var key: CodeKey
  var firstLine: Int32
  var codeUnits: UInt32
  var firstTraceable: UInt32
  var qualifiedName: HandedText
  var fileName: HandedText
  var lineTable: [UInt8]
  /// Bytes of the whole line table.
  var lineTableLength: UInt32

  /// Checks and copies; nothing in `record` is believed.
  init(_ record: RawSpan) throws(RecordFault) {
    let size = MemoryLayout<python_chain_names>.size
    guard record.byteCount >= size else { throw .short }
    let header = unsafe record.unsafeLoadUnaligned(as: python_chain_names.self)
    guard header.kind == PYTHON_CHAIN_NAMES.rawValue else { throw .kind(header.kind) }
    guard Int(header.size) <= record.byteCount else { throw .short }
    let lengths = [header.qualname_bytes, header.filename_bytes, header.linetable_bytes]
    guard header.qualname_bytes <= UInt32(PYTHON_CHAIN_QUALNAME_BYTES),
      header.filename_bytes <= UInt32(PYTHON_CHAIN_FILENAME_BYTES),
      header.linetable_bytes <= UInt32(PYTHON_CHAIN_LINETABLE_BYTES),
      lengths.reduce(size, { $0 + Int($1) }) <= Int(header.size),
      header.linetable_bytes <= header.linetable_length,
      Self.fits(header.qualname_bytes, header.qualname_length, header.qualname_kind),
      Self.fits(header.filename_bytes, header.filename_length, header.filename_kind)
    else { throw .sizes }

    var position = size
    func take(_ count: UInt32) -> [UInt8] {
      let range = position..<position + Int(count)
      position = range.upperBound
      return range.map { unsafe record.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    }
    key = CodeKey(interpreter: header.interpreter, code: header.code, fingerprint: header.fingerprint)
    firstLine = Int32(bitPattern: header.first_line)
    codeUnits = header.code_units
    firstTraceable = header.first_traceable
    qualifiedName = HandedText(
      bytes: take(header.qualname_bytes), characters: header.qualname_length, kind: header.qualname_kind)
    fileName = HandedText(
      bytes: take(header.filename_bytes), characters: header.filename_length, kind: header.filename_kind)
    lineTable = take(header.linetable_bytes)
    lineTableLength = header.linetable_length
  }

  /// No more bytes than the characters have.
  private static func fits(_ bytes: UInt32, _ characters: UInt32, _ kind: UInt8) -> Bool {
    bytes == 0 || ([1, 2, 4].contains(kind) && UInt64(bytes) <= UInt64(characters) * UInt64(kind))
  }
}
