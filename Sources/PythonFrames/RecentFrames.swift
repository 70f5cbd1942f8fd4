// The last answers about frames, so that a warm frame costs a few loads.

/// Direct-mapped, by everything that an answer depends on. An answer in it never changes: the names of the code object
/// are complete.
@safe final class RecentFrames {
  private struct Entry {
    var interpreter: UInt64
    var code: UInt64
    var fingerprint: UInt64
    var offset: Int32
    var owner: UInt8
    var isUsed: Bool
    var id: Int32
  }

  private static let bits: UInt64 = 11
  private let entries: UnsafeMutablePointer<Entry>

  init() {
    let empty = Entry(interpreter: 0, code: 0, fingerprint: 0, offset: 0, owner: 0, isUsed: false, id: 0)
    unsafe entries = .allocate(capacity: 1 << Int(Self.bits))
    unsafe entries.initialize(repeating: empty, count: 1 << Int(Self.bits))
  }

  deinit { unsafe entries.deallocate() }

  func find(_ frame: ChainFrame, _ interpreter: UInt64) -> PythonFrameID? {
    let entry = unsafe entries[Self.slot(frame)]
    guard entry.isUsed, entry.code == frame.code, entry.offset == frame.offset,
      entry.fingerprint == frame.fingerprint, entry.owner == frame.owner, entry.interpreter == interpreter
    else { return nil }
    return PythonFrameID(value: entry.id)
  }

  func store(_ id: PythonFrameID, for frame: ChainFrame, _ interpreter: UInt64) {
    unsafe entries[Self.slot(frame)] = Entry(
      interpreter: interpreter, code: frame.code, fingerprint: frame.fingerprint, offset: frame.offset,
      owner: frame.owner, isUsed: true, id: id.value)
  }

  @inline(__always)
  private static func slot(_ frame: ChainFrame) -> Int {
    let mixed = (frame.code ^ UInt64(UInt32(bitPattern: frame.offset)) << 40) &* 0x9E37_79B9_7F4A_7C15
    return Int(mixed >> (64 - bits))
  }
}
