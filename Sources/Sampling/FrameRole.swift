// Which native frames belong to the interpreter's own machinery: what a reader of a mixed stack does not want to
// see between a Python function and the C function it calls.

/// What a native frame is to the reader.
enum FrameRole: UInt8, Sendable {
  /// Shown.
  case ordinary
  /// Carries calls between Python functions and native code: evaluation loops, vectorcall and generator resumption.
  case callPlumbing
  /// The interpreter's way from the process's entry point to the first Python frame.
  case startUp
  /// Another function of the interpreter's file: shown, but not where it is on that way, too.
  case interpreter

  /// The role of a function by its symbol; nil: it has none.
  init(symbol name: String?, isInterpreter: Bool, hasInterpreter: Bool) {
    if isInterpreter {
      let role = name.map(FrameRole.init(interpreterSymbol:)) ?? .ordinary
      self = role == .ordinary ? .interpreter : role
    } else {
      self = hasInterpreter && name.map(Self.entryNames.contains) == true ? .startUp : .ordinary
    }
  }

  /// The role of a function of the interpreter's own module, by its symbol.
  init(interpreterSymbol name: String) {
    let base = name.prefix { $0 != "." }  // without .constprop.0, .cold and the like
    if Self.startUpNames.contains(String(base)) {
      self = .startUp
    } else if Self.plumbingNames.contains(String(base))
      || Self.plumbingPrefixes.contains(where: base.hasPrefix)
    {
      self = .callPlumbing
    } else {
      self = .ordinary
    }
  }

  /// The role of a function of the C library or the main program, below the interpreter's start.
  static let entryNames: Set<String> = [
    "_start", "__libc_start_main", "__libc_start_call_main", "__libc_start_main@@GLIBC_2.34",
    "__libc_start_main_impl",
    "main",
  ]

  // Modules/main.c and Python/pythonrun.c of CPython 3.11 to 3.13.
  private static let startUpNames: Set<String> = [
    "main", "_start", "Py_Main", "Py_BytesMain", "pymain_main", "Py_RunMain", "pymain_run_python",
    "pymain_run_file", "pymain_run_file_obj", "pymain_run_module", "pymain_run_command", "pymain_run_stdin",
    "_PyRun_SimpleFileObject", "_PyRun_SimpleFile", "_PyRun_AnyFileObject", "PyRun_AnyFileExFlags",
    "PyRun_SimpleStringFlags", "_PyRun_SimpleStringFlagsWithName", "PyRun_StringFlags",
    "_PyRun_StringFlagsWithName",
    "pyrun_file", "pyrun_simple_file", "run_mod", "run_eval_code_obj", "PyEval_EvalCode",
  ]

  // Objects/call.c, Objects/methodobject.c, Objects/classobject.c, Objects/genobject.c, Python/ceval.c.
  private static let plumbingNames: Set<String> = [
    "_PyEval_Vector", "_PyFunction_Vectorcall", "PyObject_Vectorcall", "_PyObject_Vectorcall",
    "PyObject_VectorcallMethod", "PyObject_VectorcallDict", "PyVectorcall_Call", "_PyVectorcall_Call",
    "_PyObject_MakeTpCall", "cfunction_call", "method_vectorcall", "object_vacall", "vectorcall_method",
    "vectorcall_maybe", "vectorcall_unbound", "call_method", "call_maybe", "gen_send_ex", "gen_send_ex2",
    "gen_iternext", "_PyEvalFramePushAndInit", "_PyEval_Frame", "_PyEval_EvalFrame", "slot_tp_call",
  ]
  private static let plumbingPrefixes: [String] = [
    "_PyEval_EvalFrameDefault", "cfunction_vectorcall_", "method_vectorcall_", "PyObject_Call",
    "_PyObject_Call",
    "_PyObject_FastCall", "_TAIL_CALL_",
  ]
}

/// Which native frames are shown.
public enum NativeFrames: String, Sendable, CaseIterable {
  /// Every frame.
  case all
  /// Everything but the interpreter's call plumbing and start-up.
  case extensions
  /// None: the time is given to the Python frame.
  case none
}
