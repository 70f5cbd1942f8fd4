// Finds the Python interpreter among a process's mapped files.

import ProcessImages

/// Finds the interpreter of one process. Files that hold none are remembered, so that it can be asked again and
/// again while a program loads.
public final class InterpreterFinder {
  private let images: any ImageProvider
  private let memory: any ByteSource
  /// Files without an interpreter.
  private var rejected: Set<Module.Key> = []

  private static let runtime = "_PyRuntime"
  private static let symbols = [
    runtime, "Py_Version", "PyCode_Type", "_PyEval_EvalFrameDefault", "Py_GetVersion", "pypy_main_startup",
  ]

  /// What CPython exports wherever it exports anything: where all of it is, nothing else has to be read.
  private static let needed = [runtime, "Py_Version", "PyCode_Type", "_PyEval_EvalFrameDefault"]

  /// - Parameters:
  ///   - images: The files of the process.
  ///   - memory: Its memory.
  public init(images: any ImageProvider, memory: any ByteSource) {
    self.images = images
    self.memory = memory
  }

  /// The interpreter in a process with these mappings (of /proc/PID/maps, by address).
  public func find(in mappings: [Mapping]) throws(InterpreterProblem) -> FoundInterpreter {
    var candidates: [Module.Key: [Mapping]] = [:]
    var order: [Module.Key] = []
    for mapping in mappings where mapping.hasFile {
      let key = Module.Key(mapping)
      guard !rejected.contains(key) else { continue }
      if candidates[key] == nil { order.append(key) }
      candidates[key, default: []].append(mapping)
    }
    // Embedding programs hide an interpreter in any file; the usual names come first.
    let usual = order.filter { Self.isPythonName($0.path) }
    let others = order.filter { key in
      !Self.isPythonName(key.path) && (candidates[key] ?? []).contains { $0.isExecutable }
    }
    for key in usual + others {
      let own = candidates[key] ?? []
      if Self.fileName(key.path).hasPrefix("libpypy") { throw .pyPy(module: key.path) }
      // The loader maps a file's parts one after the other: until the data is there, there is no interpreter.
      if let found = try interpreter(in: own, key: key),
        mappings.contains(where: { $0.isWritable && $0.contains(found.runtime) })
      {
        return found
      }
    }
    throw absence(mappings)
  }

  /// nil where the file holds none.
  private func interpreter(in own: [Mapping], key: Module.Key) throws(InterpreterProblem) -> FoundInterpreter?
  {
    guard let first = own.first else { return nil }
    guard let image = images.image(for: first) else {
      // The loader maps a file's parts one after the other; a part that failed may be followed by a better one.
      if own.contains(where: \.isExecutable) { rejected.insert(key) }
      return nil
    }
    let section = image.section(named: ".PyRuntime")
    let symbols = symbols(of: image, mayHaveRuntime: section != nil || Self.isPythonName(key.path))
    if symbols["pypy_main_startup"] != nil { throw .pyPy(module: key.path) }
    guard let runtime = symbols[Self.runtime]?.virtualAddress ?? section?.virtualAddress else {
      // Releases before 3.7 have no runtime to look for.
      if symbols["Py_GetVersion"] != nil, symbols["Py_Version"] == nil {
        let version = own.lazy.compactMap { image.bias(of: $0) }.first.flatMap {
          writtenVersion(of: image, bias: $0)
        }
        guard let version else { throw .unknownVersion(module: key.path) }
        throw .unsupported(version, module: key.path)
      }
      rejected.insert(key)
      return nil
    }
    guard let bias = own.lazy.compactMap({ image.bias(of: $0) }).first else { return nil }
    let version = try version(of: image, runtime: runtime, symbols: symbols, bias: bias, module: key.path)
    guard version.isSupported else { throw .unsupported(version, module: key.path) }
    func address(_ name: String) -> UInt64 { symbols[name].map { bias &+ $0.virtualAddress } ?? 0 }
    let counter = version.minor == 12 ? image.symbol(named: "_Py_next_func_version") : nil
    return FoundInterpreter(
      module: key.path, runtime: bias &+ runtime, version: version, codeType: address("PyCode_Type"),
      nextVersionAddress: counter.map { bias &+ $0.virtualAddress } ?? 0,
      evaluationLoop: address("_PyEval_EvalFrameDefault"))
  }

  /// Only what a file exports is asked for at first: a symbol table may have hundreds of megabytes, and there may be
  /// hundreds of files without an interpreter.
  private func symbols(of image: ElfImage, mayHaveRuntime: Bool) -> [String: ElfSymbol] {
    let exported = image.exportedSymbols(named: Self.symbols)
    if Self.needed.allSatisfy({ exported[$0] != nil }) { return exported }
    return mayHaveRuntime || !exported.isEmpty ? image.symbols(named: Self.symbols) : exported
  }

  /// Best evidence first: the debug offsets (3.13), the constant `Py_Version` (3.11), the text in memory.
  private func version(
    of image: ElfImage, runtime: UInt64, symbols: [String: ElfSymbol], bias: UInt64, module: String
  ) throws(InterpreterProblem) -> PythonVersion {
    if let bytes = image.virtualAddresses.bytes(runtime, count: 24), let head = DebugOffsets.Head(bytes) {
      if head.isFreeThreaded { throw .freeThreaded(head.version, module: module) }
      return head.version
    }
    if let symbol = symbols["Py_Version"],
      let hex: UInt32 = image.virtualAddresses.load(symbol.virtualAddress), hex >> 24 == 3
    {
      return PythonVersion(hex: hex)
    }
    guard let version = writtenVersion(of: image, bias: bias) else { throw .unknownVersion(module: module) }
    return version
  }

  /// The text is written at start-up, into the file's writable memory.
  private func writtenVersion(of image: ElfImage, bias: UInt64) -> PythonVersion? {
    for segment in image.segments where segment.isWritable {
      let start = bias &+ segment.virtualAddress
      guard start <= UInt64.max - segment.memorySize else { continue }
      if let version = VersionText.search(start..<start + segment.memorySize, in: memory) { return version }
    }
    return nil
  }

  /// What the process is instead.
  private func absence(_ mappings: [Mapping]) -> InterpreterProblem {
    guard let program = mappings.first(where: { $0.hasFile }) else { return .noPython(program: "no program") }
    let name = Self.fileName(program.filePath)
    // ELF header: class at 4 (2: 64 bits), machine at 18 (62: x86-64).
    if program.fileOffset == 0, let head = memory.bytes(program.start, count: 20),
      head.starts(with: [0x7f, 0x45, 0x4c, 0x46]), head[4] != 2 || head[18] != 62 || head[19] != 0
    {
      return .otherMachine(program: name)
    }
    return .noPython(program: name)
  }

  private static func fileName(_ path: String) -> String {
    path.utf8.lastIndex(of: 0x2f).map { String(path[path.utf8.index(after: $0)...]) } ?? path
  }

  /// Whether a file has a usual name of an interpreter.
  public static func isPythonName(_ path: String) -> Bool {
    let name = fileName(path)
    return ["python", "libpython", "pypy", "libpypy"].contains(where: name.hasPrefix)
  }
}
