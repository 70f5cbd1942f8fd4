// Finds the CPython interpreters of this machine and runs programs with them.

import Foundation
import ProcessImages
import Testing

@testable import PythonFrames

/// An installed interpreter of a supported release.
struct Interpreter: Sendable, CustomTestStringConvertible {
  let path: String
  let version: PythonVersion

  var testDescription: String { "\(version) at \(path)" }

  /// Every supported one on PATH and in pyenv, each file once.
  static let all: [Interpreter] = {
    let result = installed.filter(\.version.isSupported)
    for minor in 11...13 where !result.contains(where: { $0.version.minor == UInt32(minor) }) {
      print("No CPython 3.\(minor) was found: its tests did not run.")
    }
    return result
  }()

  /// Every CPython on PATH and in pyenv, supported or not.
  static let installed: [Interpreter] = {
    var candidates: [String] = []
    let environment = ProcessInfo.processInfo.environment
    let names = ["python3.11", "python3.12", "python3.13", "python3", "python"]
    for folder in (environment["PATH"] ?? "").split(separator: ":") {
      candidates += names.map { "\(folder)/\($0)" }
    }
    let root = environment["PYENV_ROOT"] ?? NSHomeDirectory() + "/.pyenv"
    for version in (try? FileManager.default.contentsOfDirectory(atPath: root + "/versions")) ?? [] {
      candidates += names.map { "\(root)/versions/\(version)/bin/\($0)" }
    }
    var found: [String: Interpreter] = [:]
    let question = """
      import os, platform, sys, sysconfig
      print(" ".join([os.path.realpath(sys.executable), str(sys.hexversion), platform.python_implementation(),
            str(sysconfig.get_config_var("Py_GIL_DISABLED") or 0)]))
      """
    for path in candidates where FileManager.default.isExecutableFile(atPath: path) {
      guard let answer = try? Child(path, ["-c", question]).finish() else { continue }
      let words = answer.split(whereSeparator: \.isWhitespace)
      guard words.count == 4, words[2] == "CPython", words[3] == "0", let hex = UInt32(words[1]) else {
        continue
      }
      let version = PythonVersion(hex: hex)
      found[String(words[0])] = Interpreter(path: String(words[0]), version: version)
    }
    return found.values.sorted { $0.version.hex < $1.version.hex }
  }()
}

/// A program that runs until its standard input is closed.
final class Child {
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var pending = Data()

  init(_ path: String, _ arguments: [String]) throws {
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.standardInput = input
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
  }

  deinit {
    if process.isRunning { process.terminate() }
  }

  var pid: Int32 { process.processIdentifier }

  /// Thread ids, as we number them; tests run in the target's own pid namespace.
  var threads: Set<Int32> {
    Set(
      ((try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []).compactMap {
        Int32($0)
      })
  }

  /// Writes to standard input.
  func send(_ text: String) { input.fileHandleForWriting.write(Data(text.utf8)) }

  /// The next line of output; nil at its end.
  func line() -> String? {
    while true {
      if let end = pending.firstIndex(of: 10) {
        let line = String(decoding: pending[pending.startIndex..<end], as: UTF8.self)
        pending = Data(pending[pending.index(after: end)...])
        return line
      }
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { return nil }
      pending += more
    }
  }

  /// Waits until the main thread sleeps in the kernel, as /proc/PID/stat says.
  func waitUntilBlocked() {
    while let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let close = stat.range(of: ") ", options: .backwards),
      stat[close.upperBound] == "R" || stat[close.upperBound] == "D"
    {}
  }

  /// Closes standard input, and returns the rest of the output.
  func finish() throws -> String {
    try input.fileHandleForWriting.close()
    let rest = pending + output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: rest, as: UTF8.self)
  }
}

/// A Python program that has told its own stack and now blocks.
struct BlockedPython {
  struct Frame: Decodable {
    let name: String
    let file: String
    let line: Int32
    let first: Int32
    let code: UInt64
    let fingerprint: UInt64
  }

  let child: Child
  let memory: ProcessMemory
  let found: FoundInterpreter
  /// Innermost first, by the interpreter's own answer.
  let truth: [Frame]

  init(_ interpreter: Interpreter) throws {
    child = try Child(interpreter.path, ["-c", Self.program])
    guard let line = child.line() else { throw CocoaError(.fileReadUnknown) }
    truth = try JSONDecoder().decode([Frame].self, from: Data(line.utf8))
    child.waitUntilBlocked()
    memory = ProcessMemory(pid: child.pid)
    let finder = InterpreterFinder(images: LiveImages(pid: child.pid), memory: memory)
    found = try finder.find(in: ProcessMaps.read(child.pid))
  }

  func layout() throws -> InterpreterLayout {
    try InterpreterLayout(validating: found, memory: memory, threads: child.threads)
  }

  /// The chain of the main thread.
  func chain(_ layout: InterpreterLayout) throws -> (walked: WalkedChain, interpreter: UInt64) {
    let raw = layout.raw
    let walker = ChainWalker(reader: layout.objects(in: memory), fingerprints: true)
    var interpreter: UInt64 = memory.load(raw.runtime + UInt64(raw.runtime_interpreters_head)) ?? 0
    while interpreter != 0 {
      var thread: UInt64 = memory.load(interpreter + UInt64(raw.interpreter_threads_head)) ?? 0
      while thread != 0 {
        if memory.load(thread + UInt64(raw.thread_native_id), as: UInt64.self) == UInt64(child.pid) {
          return (walker.walk(thread: thread), interpreter)
        }
        thread = memory.load(thread + UInt64(raw.thread_next)) ?? 0
      }
      interpreter = memory.load(interpreter + UInt64(raw.interpreter_next)) ?? 0
    }
    throw CocoaError(.featureUnsupported)
  }

  /// Callbacks from C, a generator, a method, names and files beyond ASCII; the fingerprint of 3.11 in plain Python.
  static let program = #"""
    import ctypes, json, os, sys
    M = (1 << 64) - 1
    def fingerprint(code):
        if sys.version_info >= (3, 12):
            return ctypes.c_uint32.from_address(id(code) + 92).value
        h = 0x50594331
        def mix(x):
            nonlocal h
            h = (h ^ (x & M)) * 0x9E3779B97F4A7C15 & M
            h ^= h >> 29
        def words(b):
            for i in range(8):
                mix(int.from_bytes(b[8 * i:8 * i + 8].ljust(8, b"\0"), "little"))
        mix(code.co_firstlineno)
        mix(len(code.co_code) // 2)
        mix(ctypes.c_int64.from_address(id(code.co_qualname) + 24).value)
        mix(len(code.co_linetable))
        words(code.co_linetable[:64])
        name, top = code.co_filename, max(map(ord, code.co_filename))
        raw = name.encode("latin-1" if top < 256 else "utf-16-le" if top < 65536 else "utf-32-le")
        mix(len(name))
        words(raw[-64:])
        return h or 1
    def tell(f):
        frames = []
        while f:
            c = f.f_code
            frames.append(dict(name=c.co_qualname, file=c.co_filename, line=f.f_lineno, first=c.co_firstlineno,
                               code=id(c), fingerprint=fingerprint(c)))
            f = f.f_back
        print(json.dumps(frames), flush=True)
    def leaf():
        tell(sys._getframe()); os.read(0, 1)
    class Klasse:
        def méthode(self, n):
            return leaf() if n == 0 else self.méthode(n - 1)
        @property
        def attribute(self):
            return self.méthode(5)
    def generator():
        yield Klasse().attribute
    def key(x):
        return len(list(generator()))
    def 関数():
        sorted([1], key=key)
    space = {"f": 関数}
    exec(compile("def 𝔘(f):\n\n\n    f()\n𝔘(f)", "/tmp/目録/" + "長" * 70 + "𝔉.py", "exec"), space)
    """#
}
