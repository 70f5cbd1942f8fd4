// Names the offsets of a layout, and says how large each may be.

import PythonChain

/// One offset of `python_layout`: its name in messages, and the bounds of what it may be.
struct LayoutField: Sendable {
  /// What an offset is relative to, with the largest offset of which the readers keep room.
  enum Space: Sendable {
    case runtime, interpreter, gil, thread, cframe, frame, code, object, bytes, unicode

    /// Bytes of the object that a reader may look at. Frames, code objects and thread states are read whole into
    /// buffers of this size, in the interrupt too.
    var limit: UInt32 {
      switch self {
      case .runtime, .interpreter: 1 << 20
      case .gil: 256
      case .thread: 512
      case .cframe: 32
      case .frame: 80
      case .code: 216
      case .object: 32
      case .bytes: 64
      case .unicode: 96
      }
    }
  }

  let name: String
  let path: WritableKeyPath<python_layout, UInt32> & Sendable
  /// Bytes that are read there.
  let width: UInt32
  let space: Space
  /// Minor versions that have the field; in others it must be 0.
  let minors: ClosedRange<UInt32>
  /// True where a healthy process may keep a value there that a wrong offset would read as well (nearly always 0),
  /// so that only the known number proves it.
  let needsKnownValue: Bool

  init(
    _ name: String, _ path: WritableKeyPath<python_layout, UInt32> & Sendable, _ width: UInt32,
    _ space: Space,
    minors: ClosedRange<UInt32> = 11...13, known: Bool = false
  ) {
    self.name = name
    self.path = path
    self.width = width
    self.space = space
    self.minors = minors
    self.needsKnownValue = known
  }

  /// Every offset that is checked alike, in the order in which validation follows them.
  static let all: [LayoutField] = [
    LayoutField("runtime.interpreters_head", \.runtime_interpreters_head, 8, .runtime),
    LayoutField("runtime.tstate_current", \.runtime_tstate_current, 8, .runtime, minors: 11...11),
    LayoutField("interpreter.next", \.interpreter_next, 8, .interpreter, known: true),
    LayoutField("interpreter.threads_head", \.interpreter_threads_head, 8, .interpreter, known: true),
    LayoutField("interpreter.gc_collecting", \.interpreter_gc_collecting, 4, .interpreter, known: true),
    LayoutField("interpreter.ceval_gil", \.interpreter_ceval_gil, 8, .interpreter, minors: 12...13),
    LayoutField("gil.last_holder", \.gil_last_holder, 8, .gil, minors: 12...13, known: true),
    LayoutField("gil.locked", \.gil_locked, 4, .gil, minors: 12...13, known: true),
    LayoutField("thread.next", \.thread_next, 8, .thread, known: true),
    LayoutField("thread.interp", \.thread_interp, 8, .thread),
    LayoutField("thread.native_thread_id", \.thread_native_id, 8, .thread),
    LayoutField("thread.frame", \.thread_frame, 8, .thread),
    LayoutField("thread.root_cframe", \.thread_root_cframe, 8, .thread, minors: 11...12),
    LayoutField("thread.status", \.thread_status, 4, .thread, minors: 13...13, known: true),
    LayoutField("cframe.current_frame", \.cframe_current_frame, 8, .cframe, minors: 11...12),
    LayoutField("cframe.previous", \.cframe_previous, 8, .cframe, minors: 11...12),
    LayoutField("frame.executable", \.frame_executable, 8, .frame),
    LayoutField("frame.previous", \.frame_previous, 8, .frame),
    LayoutField("frame.instruction", \.frame_instruction, 8, .frame),
    LayoutField("frame.owner", \.frame_owner, 1, .frame, known: true),
    LayoutField("frame.is_entry", \.frame_is_entry, 1, .frame, minors: 11...11, known: true),
    LayoutField("code.version", \.code_version, 4, .code, minors: 12...13, known: true),
    LayoutField("code.filename", \.code_filename, 8, .code, known: true),
    LayoutField("code.qualname", \.code_qualname, 8, .code, known: true),
    LayoutField("code.linetable", \.code_linetable, 8, .code),
    LayoutField("code.firstlineno", \.code_firstlineno, 4, .code, known: true),
    LayoutField("code.firsttraceable", \.code_firsttraceable, 4, .code),
    LayoutField("code.size", \.code_size, 8, .code),
    LayoutField("object.type", \.object_type, 8, .object),
    LayoutField("bytes.size", \.bytes_size, 8, .bytes),
    LayoutField("bytes.value", \.bytes_value, 1, .bytes),
    LayoutField("unicode.length", \.unicode_length, 8, .unicode),
    LayoutField("unicode.hash", \.unicode_hash, 8, .unicode, known: true),
    LayoutField("unicode.state", \.unicode_state, 4, .unicode, known: true),
    LayoutField("unicode.ascii_data", \.unicode_ascii_data, 1, .unicode, known: true),
    LayoutField("unicode.compact_data", \.unicode_compact_data, 1, .unicode, known: true),
  ]
}
