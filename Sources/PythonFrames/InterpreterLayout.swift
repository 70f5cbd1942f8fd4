// Where one interpreter keeps what caduceus reads: a value that exists only after it was checked on the process.

import ProcessImages
import PythonChain

/// Why no layout could be made.
public enum LayoutError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The interpreter is being set up, or runs nothing at this moment: the same call may succeed later.
  case notYet(String)
  /// An offset is not what the process has. The field is named as in `python_layout`: `thread.native_thread_id`.
  case wrong(field: String, detail: String)
  /// There is no layout for this release.
  case unsupported(PythonVersion)

  /// One line for the user.
  public var description: String {
    switch self {
    case .notYet(let what): "the Python interpreter is not ready: \(what)"
    case .wrong(let field, let detail): "layout field \(field): \(detail)"
    case .unsupported(let version):
      "CPython \(version) is not supported; supported: \(PythonVersion.supported)"
    }
  }

  /// Nothing was found that could prove a layout.
  static let idle = LayoutError.notYet("it runs no Python code")

  /// True where trying again may help.
  public var isTemporary: Bool {
    if case .notYet = self { true } else { false }
  }
}

/// An interpreter that was found in a process, before anything else is known about it.
public struct FoundInterpreter: Hashable, Sendable {
  /// Path of the file that holds the runtime, as in /proc/PID/maps.
  public var module: String
  /// Address of `_PyRuntime`.
  public var runtime: UInt64
  /// The release.
  public var version: PythonVersion
  /// Address of `PyCode_Type`; 0 where it has no symbol.
  public var codeType: UInt64
  /// Address of 3.12's `_Py_next_func_version` (Objects/funcobject.c), which only a symbol table names; else 0.
  public var nextVersionAddress: UInt64
  /// Address of `_PyEval_EvalFrameDefault`; 0 where it has no symbol.
  public var evaluationLoop: UInt64

  /// An interpreter from its parts.
  public init(
    module: String, runtime: UInt64, version: PythonVersion, codeType: UInt64 = 0,
    nextVersionAddress: UInt64 = 0, evaluationLoop: UInt64 = 0
  ) {
    self.module = module
    self.runtime = runtime
    self.version = version
    self.codeType = codeType
    self.nextVersionAddress = nextVersionAddress
    self.evaluationLoop = evaluationLoop
  }
}

/// Where the offsets come from that are then checked on the process.
public enum LayoutSource: Sendable, Equatable {
  /// `_Py_DebugOffsets`, the table that the interpreter publishes in its own memory.
  case debugOffsets
  /// The numbers of the release that caduceus knows.
  case table
}

extension FoundInterpreter {
  /// Where its offsets come from: 3.13 was the first release to publish them.
  public var layoutSource: LayoutSource { version.minor >= 13 ? .debugOffsets : .table }
}

/// Where one interpreter keeps its threads, frames and code objects; each offset was checked on the live process.
public struct InterpreterLayout: Sendable {
  /// The interpreter.
  public let interpreter: FoundInterpreter
  /// What the eBPF program reads by.
  public let raw: python_layout
  /// Offset of a code object's first instruction (`co_code_adaptive`), in bytes.
  public let codeAdaptive: UInt32

  /// The release.
  public var version: PythonVersion { interpreter.version }

  /// Checks the offsets of the interpreter's release on the process.
  ///
  /// - Parameters:
  ///   - interpreter: As `InterpreterFinder` found it.
  ///   - memory: The process's memory. The process may run meanwhile.
  ///   - threads: The process's thread ids, numbered as the process itself sees them (its pid namespace).
  ///   - rounds: The process may run while it is read, so a chain may fail by bad luck: how often it is tried, at
  ///     least once.
  public init(
    validating interpreter: FoundInterpreter, memory: any ByteSource, threads: Set<Int32>,
    rounds: Int = 64
  ) throws(LayoutError) {
    let candidate = try Self.candidate(for: interpreter, memory: memory)
    try self.init(validating: candidate, of: interpreter, memory: memory, threads: threads, rounds: rounds)
  }

  /// Checks any candidate; the way in for tests that spoil one field.
  init(
    validating candidate: LayoutCandidate, of interpreter: FoundInterpreter, memory: any ByteSource,
    threads: Set<Int32>, rounds: Int = 64
  ) throws(LayoutError) {
    guard let known = LayoutTable.known(minor: interpreter.version.minor) else {
      throw .unsupported(interpreter.version)
    }
    let validation = LayoutValidation(known: known, memory: memory, threads: threads, rounds: rounds)
    let proven = try validation.prove(candidate)
    self.interpreter = interpreter
    raw = proven.raw
    codeAdaptive = proven.codeAdaptive
  }

  /// A layout as it was recorded together with everything that is read by it: it was proven then, on the process.
  package init(recorded interpreter: FoundInterpreter, raw: python_layout, codeAdaptive: UInt32) {
    self.interpreter = interpreter
    self.raw = raw
    self.codeAdaptive = codeAdaptive
  }

  /// The offsets the release should have: from the interpreter's own table where it publishes one (3.13).
  static func candidate(
    for interpreter: FoundInterpreter, memory: any ByteSource
  ) throws(LayoutError) -> LayoutCandidate {
    guard interpreter.version.isSupported, let known = LayoutTable.known(minor: interpreter.version.minor)
    else {
      throw .unsupported(interpreter.version)
    }
    var candidate = known
    if interpreter.layoutSource == .debugOffsets {
      guard let head = memory.bytes(interpreter.runtime, count: 24) else {
        throw .wrong(field: "runtime", detail: "no memory at \(hex(interpreter.runtime))")
      }
      guard let offsets = DebugOffsets(runtime: interpreter.runtime, memory: memory) else {
        throw head.allSatisfy { $0 == 0 }
          ? .notYet("its data is not mapped yet")
          : .wrong(field: "runtime", detail: "no debug offsets at \(hex(interpreter.runtime))")
      }
      guard DebugOffsets.Head(head)?.isFreeThreaded == false else {
        throw .wrong(field: "free_threaded", detail: "the interpreter was built without the GIL")
      }
      candidate = offsets.candidate(known: known)
    }
    candidate.raw.runtime = interpreter.runtime
    candidate.raw.code_type = interpreter.codeType
    if interpreter.version.minor == 12 { candidate.raw.next_version_address = interpreter.nextVersionAddress }
    return candidate
  }

  /// Reads objects by this layout.
  func objects(in memory: any ByteSource) -> ObjectReader {
    ObjectReader(layout: raw, codeAdaptive: codeAdaptive, memory: memory)
  }
}

/// An address as people write it.
func hex(_ address: UInt64) -> String { "0x" + String(address, radix: 16) }
