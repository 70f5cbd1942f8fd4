// Names that are read from the memory of a process that runs on: believed only when the code object is the same before
// and after.

import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

/// Memory in which a code object is replaced by another one after some reads.
private final class ChangingMemory: ByteSource {
  private let before: [UInt8]
  private let after: [UInt8]
  private let base: UInt64
  private let changesAfter: Int
  private(set) var reads = 0

  init(_ base: UInt64, _ before: [UInt8], _ after: [UInt8], changesAfter: Int) {
    (self.base, self.before, self.after, self.changesAfter) = (base, before, after, changesAfter)
  }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    reads += 1
    let bytes = reads > changesAfter ? after : before
    guard address >= base, address - base <= UInt64(bytes.count),
      UInt64(bytes.count) - (address - base) >= UInt64(buffer.count)
    else { return false }
    for index in 0..<buffer.count { unsafe buffer[index] = bytes[Int(address - base) + index] }
    return true
  }
}

@Suite struct ProvenNamesTests {
  private static let base: UInt64 = 0x10_0000
  private static let codeType: UInt64 = 0x77_0000

  /// A code object at the base as 3.12 has them, its name, its file's name and its line table behind it.
  private func memory(version: UInt32, name: String) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 0x400)
    func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
      for index in 0..<T.bitWidth / 8 { bytes[at + index] = UInt8(truncatingIfNeeded: value >> T(8 * index)) }
    }
    func text(_ text: String, _ at: Int) {
      put(UInt64(text.utf8.count), at + 16)
      // Compact, ASCII, one byte per character.
      put(UInt32(1 << 2 | 1 << 5 | 1 << 6), at + 32)
      for (index, byte) in text.utf8.enumerated() { bytes[at + 40 + index] = byte }
    }
    put(Self.codeType, 8)
    put(UInt64(12), 16)
    put(Self.base + 0x100, 24)
    put(Self.base + 0x200, 32)
    put(Self.base + 0x300, 40)
    put(Int32(3), 48)
    put(version, 56)
    text(name, 0x100)
    text("file.py", 0x200)
    put(UInt64(3), 0x300 + 16)
    for (index, byte) in [0x80 | 11 << 3 | 7, 0, 0].enumerated() { bytes[0x300 + 32 + index] = UInt8(byte) }
    return bytes
  }

  private var layout: python_layout {
    var layout = python_layout()
    layout.minor = 12
    layout.code_type = Self.codeType
    (layout.object_type, layout.code_size) = (8, 16)
    (layout.code_qualname, layout.code_filename, layout.code_linetable) = (24, 32, 40)
    (layout.code_firstlineno, layout.code_firsttraceable, layout.code_version) = (48, 52, 56)
    (layout.bytes_size, layout.bytes_value) = (16, 32)
    (layout.unicode_length, layout.unicode_hash, layout.unicode_state) = (16, 24, 32)
    (layout.unicode_ascii_data, layout.unicode_compact_data) = (40, 56)
    return layout
  }

  private func proven(_ memory: ChangingMemory) -> CodeObject? {
    let reader = ObjectReader(layout: layout, codeAdaptive: 64, memory: memory)
    return CodeObject.proven(CodeKey(interpreter: 1, code: Self.base, fingerprint: 41), with: reader)
  }

  @Test func aCodeObjectThatStaysIsBelieved() throws {
    let bytes = memory(version: 41, name: "first")
    let object = try #require(proven(ChangingMemory(Self.base, bytes, bytes, changesAfter: 0)))
    #expect(object.qualifiedName == "first" && object.fileName == "file.py")
    #expect(
      object.firstLine == 3 && object.codeUnits == 12 && object.lineTable == [0x80 | 11 << 3 | 7, 0, 0])
  }

  /// Replaced after any of the reads: nothing of it is believed, whichever name was read.
  @Test func aCodeObjectThatIsReplacedMeanwhileIsNot() {
    let (before, after) = (memory(version: 41, name: "first"), memory(version: 42, name: "other"))
    let whole = ChangingMemory(Self.base, before, before, changesAfter: 0)
    _ = proven(whole)
    #expect(whole.reads > 5)
    for reads in 0..<whole.reads {
      #expect(proven(ChangingMemory(Self.base, before, after, changesAfter: reads)) == nil, "\(reads)")
    }
    #expect(proven(ChangingMemory(Self.base, before, after, changesAfter: whole.reads)) != nil)
  }
}
