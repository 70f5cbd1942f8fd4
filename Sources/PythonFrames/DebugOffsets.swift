// Reads the table of its own offsets that CPython 3.13 publishes.

import ProcessImages
import PythonChain

/// `_Py_DebugOffsets` of 3.13 at the start of `_PyRuntime` (Include/internal/pycore_runtime.h): a cookie of 8
/// bytes, then 64-bit numbers.
struct DebugOffsets {
  /// Bytes of the record in 3.13.
  static let size = 584
  /// "xdebugpy".
  static let cookie: [UInt8] = [0x78, 0x64, 0x65, 0x62, 0x75, 0x67, 0x70, 0x79]

  /// The record's head, which is the same in every release that has one.
  struct Head: Equatable {
    let version: PythonVersion
    let isFreeThreaded: Bool

    /// The head in the first 24 bytes of `_PyRuntime`, or nil where there is none (3.12 and before).
    init?(_ bytes: [UInt8]) {
      guard bytes.count >= 24, bytes.starts(with: DebugOffsets.cookie) else { return nil }
      guard let hex = UInt32(exactly: DebugOffsets.number(bytes, at: 8)) else { return nil }
      version = PythonVersion(hex: hex)
      isFreeThreaded = DebugOffsets.number(bytes, at: 16) != 0
    }
  }

  private let bytes: [UInt8]

  /// Reads the record, which is initialised data, at `runtime`.
  init?(runtime: UInt64, memory: any ByteSource) {
    guard let bytes = memory.bytes(runtime, count: Self.size), Head(bytes) != nil else { return nil }
    self.bytes = bytes
  }

  /// The number at `position` in the record, little-endian; 0 outside of it.
  private static func number(_ bytes: [UInt8], at position: Int) -> UInt64 {
    guard position >= 0, position + 8 <= bytes.count else { return 0 }
    var value: UInt64 = 0
    for index in 0..<8 { value |= UInt64(bytes[position + index]) << UInt64(8 * index) }
    return value
  }

  /// Numbers beyond 32 bits become the largest one, which no bound admits.
  private func offset(_ position: Int) -> UInt32 {
    UInt32(clamping: Self.number(bytes, at: position))
  }

  /// The layout the record describes. What it lacks comes from `known`, the numbers of the same minor release.
  func candidate(known: LayoutCandidate) -> LayoutCandidate {
    var result = known
    result.raw.runtime_interpreters_head = offset(40)
    result.raw.interpreter_next = offset(64)
    result.raw.interpreter_threads_head = offset(72)
    result.raw.interpreter_gc_collecting = UInt32(clamping: UInt64(offset(80)) + UInt64(offset(576)))
    result.raw.interpreter_ceval_gil = offset(112)
    // These two are stated for the lock that an interpreter has inside of it; the one in use is of the same kind.
    result.raw.gil_locked = offset(136) &- offset(120)
    result.raw.gil_last_holder = offset(144) &- offset(120)
    result.raw.thread_next = offset(168)
    result.raw.thread_interp = offset(176)
    result.raw.thread_frame = offset(184)
    result.raw.thread_native_id = offset(200)
    result.raw.thread_status = offset(216)
    result.raw.frame_previous = offset(232)
    result.raw.frame_executable = offset(240)
    result.raw.frame_instruction = offset(248)
    result.raw.frame_owner = offset(264)
    result.raw.code_filename = offset(280)
    result.raw.code_qualname = offset(296)
    result.raw.code_linetable = offset(304)
    result.raw.code_firstlineno = offset(312)
    result.codeAdaptive = offset(344)
    // `_co_firsttraceable` is the int before `co_extra`, the last two members before the instructions (code.h).
    result.raw.code_firsttraceable = result.codeAdaptive >= 16 ? result.codeAdaptive - 16 : .max
    result.raw.object_type = offset(360)
    result.raw.bytes_size = offset(520)
    result.raw.bytes_value = offset(528)
    result.raw.unicode_state = offset(544)
    result.raw.unicode_length = offset(552)
    // Characters of an ascii string follow the PyASCIIObject, those of others the PyCompactUnicodeObject,
    // which is 16 bytes longer (unicodeobject.h).
    result.raw.unicode_ascii_data = offset(560)
    result.raw.unicode_compact_data = UInt32(clamping: UInt64(offset(560)) + 16)
    result.sizes = [
      .runtime: offset(24), .interpreter: offset(48), .thread: offset(152), .frame: offset(224),
      .code: offset(272), .object: offset(352),
    ]
    return result
  }
}
