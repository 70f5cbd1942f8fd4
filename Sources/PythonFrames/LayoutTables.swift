// The numbers of each supported release, measured from its headers.

import PythonChain

/// A layout nobody has checked yet.
struct LayoutCandidate {
  var raw: python_layout
  /// Offset of a code object's first instruction, in bytes.
  var codeAdaptive: UInt32
  /// `_Py_DebugOffsets`' sizes of the structures, where it states them.
  var sizes: [LayoutField.Space: UInt32] = [:]
}

/// Offsets for x86-64 GIL builds, from the headers of CPython 3.11.2, 3.11.7, 3.12.1, 3.13.0, 3.13.5 and 3.13.18
/// (Include/internal/pycore_runtime.h, pycore_interp.h, pycore_frame.h, pycore_gil.h, Include/cpython/pystate.h,
/// code.h, unicodeobject.h). Each is the same in every patch release compared.
enum LayoutTable {
  /// The layout of CPython 3.`minor`, for a runtime at address 0; nil for releases that are not supported.
  static func known(minor: UInt32) -> LayoutCandidate? {
    var raw = python_layout()
    raw.minor = minor
    raw.thread_next = 8
    raw.thread_interp = 16
    raw.frame_instruction = 56
    raw.code_filename = 112
    raw.code_qualname = 128
    raw.code_linetable = 136
    raw.code_firstlineno = 68
    raw.code_version = 92
    raw.code_size = 16
    raw.object_type = 8
    raw.bytes_size = 16
    raw.bytes_value = 32
    raw.unicode_length = 16
    raw.unicode_hash = 24
    raw.unicode_state = 32
    raw.unicode_ascii_data = 40
    raw.unicode_compact_data = 56
    switch minor {
    case 11: return python311(raw)
    case 12: return python312(raw)
    case 13: return python313(raw)
    default: return nil
    }
  }

  /// Offset of five 32-bit flags in the runtime: `_initialized`, `preinitializing`, `preinitialized`,
  /// `core_initialized`, `initialized` (pycore_runtime.h).
  static func runtimeFlags(minor: UInt32) -> UInt64 { minor >= 13 ? UInt64(DebugOffsets.size) : 0 }

  private static func python311(_ common: python_layout) -> LayoutCandidate {
    var raw = common
    raw.runtime_interpreters_head = 40
    raw.runtime_tstate_current = 576
    raw.interpreter_next = 0
    raw.interpreter_threads_head = 16
    raw.interpreter_gc_collecting = 648 + 200
    raw.thread_native_id = 160
    raw.thread_frame = 56
    raw.thread_root_cframe = 336
    raw.cframe_current_frame = 8
    raw.cframe_previous = 16
    raw.frame_executable = 32
    raw.frame_previous = 48
    raw.frame_owner = 69
    raw.frame_is_entry = 68
    raw.code_version = 0
    raw.code_firstlineno = 72
    raw.code_firsttraceable = 168
    raw.unicode_ascii_data = 48
    raw.unicode_compact_data = 72
    return LayoutCandidate(raw: raw, codeAdaptive: 184)
  }

  private static func python312(_ common: python_layout) -> LayoutCandidate {
    var raw = common
    raw.runtime_interpreters_head = 40
    raw.interpreter_next = 0
    raw.interpreter_threads_head = 72
    raw.interpreter_gc_collecting = 112 + 200
    raw.interpreter_ceval_gil = 384
    raw.gil_last_holder = 8
    raw.gil_locked = 16
    raw.thread_native_id = 144
    raw.thread_frame = 56
    raw.thread_root_cframe = 272
    raw.cframe_current_frame = 0
    raw.cframe_previous = 8
    raw.frame_executable = 0
    raw.frame_previous = 8
    raw.frame_owner = 70
    raw.code_firsttraceable = 176
    return LayoutCandidate(raw: raw, codeAdaptive: 192)
  }

  private static func python313(_ common: python_layout) -> LayoutCandidate {
    var raw = common
    raw.interpreter_next_version = 17000
    raw.runtime_interpreters_head = 632
    raw.interpreter_next = 7264
    raw.interpreter_threads_head = 7344
    raw.interpreter_gc_collecting = 7400 + 200
    raw.interpreter_ceval_gil = 16
    raw.gil_last_holder = 8
    raw.gil_locked = 16
    raw.thread_native_id = 160
    raw.thread_frame = 72
    raw.thread_status = 32
    raw.thread_holds_gil_mask = 1 << 5
    raw.frame_executable = 0
    raw.frame_previous = 8
    raw.frame_owner = 70
    raw.code_firsttraceable = 184
    return LayoutCandidate(raw: raw, codeAdaptive: 200)
  }
}
