// Why a process's Python code cannot be shown, in the user's words.

/// Why no interpreter was found that caduceus reads. Each says in one sentence what the process is.
public enum InterpreterProblem: Error, Equatable, Sendable, CustomStringConvertible {
  /// No mapped file holds an interpreter; a program that is just being loaded may get one.
  case noPython(program: String)
  /// PyPy, which has none of CPython's structures.
  case pyPy(module: String)
  /// A release without a layout.
  case unsupported(PythonVersion, module: String)
  /// An interpreter that does not say which release it is; one that is just being loaded may say it later.
  case unknownVersion(module: String)
  /// A build without the GIL.
  case freeThreaded(PythonVersion, module: String)
  /// A program for 32 bits, or not for x86-64.
  case otherMachine(program: String)

  /// One sentence.
  public var description: String {
    let supported = "supported: CPython \(PythonVersion.supported)"
    switch self {
    case .noPython(let program): return "no Python interpreter in this process (\(program)); \(supported)"
    case .pyPy(let module): return "this process runs PyPy (\(module)); \(supported)"
    case .unsupported(let version, let module):
      return "this process runs CPython \(version) (\(module)); \(supported)"
    case .unknownVersion(let module):
      return "the release of the Python interpreter in \(module) is unknown; \(supported)"
    case .freeThreaded(let version, let module):
      return
        "this process runs the free-threaded build of CPython \(version) (\(module)); \(supported), with the GIL"
    case .otherMachine(let program):
      return "\(program) is not a 64-bit x86-64 program; \(supported) on x86-64"
    }
  }

  /// True for a process that is just being started and may yet load or initialise an interpreter.
  public var mayChange: Bool {
    switch self {
    case .noPython, .unknownVersion: true
    default: false
    }
  }
}
