// What the files of a process say about the native code in them: names, the way to the caller, whether they are
// still the files that are mapped.

import Glibc
import NativeUnwinding
import ProcessImages

/// Facts about one file with code in a process.
public struct ModuleDiagnosis: Equatable, Sendable {
  /// What the file is to Python.
  public enum Kind: Equatable, Sendable {
    /// It holds the interpreter.
    case interpreter
    /// The program itself, where the interpreter is a library of it.
    case program
    /// A Python extension: it has a `PyInit_` function of its own name.
    case `extension`
    /// Any other library, of which some extension makes use.
    case library
    /// The C library, its loader and its parts.
    case cLibrary
  }

  /// Which of its functions have names.
  public enum Symbols: Equatable, Sendable {
    /// All: there is a .symtab, in the file or in its separate debug file.
    case all
    /// Only those that it exports, by .dynsym.
    case exported
    /// None.
    case missing
  }

  /// Whether the file is the one that was mapped.
  public enum FileState: Equatable, Sendable {
    /// It is.
    case present
    /// It was removed since.
    case deleted
    /// It was removed since, and there is another one in its place.
    case replaced
  }

  /// Path as /proc/PID/maps has it, without ` (deleted)`.
  public var path: String
  /// What it is to Python.
  public var kind: Kind
  /// Whether the mapped file itself can be read; nothing is known of its contents otherwise.
  public var isReadable: Bool
  /// Which of its functions have names.
  public var symbols: Symbols
  /// Whether it says how to find a function's caller.
  public var hasUnwindInformation: Bool
  /// Build-id in hexadecimal; empty where the file has none.
  public var buildID: String
  /// Whether the file is the one that was mapped.
  public var file: FileState

  /// A module from its parts.
  public init(
    path: String, kind: Kind, isReadable: Bool = true, symbols: Symbols = .all,
    hasUnwindInformation: Bool = true, buildID: String = "", file: FileState = .present
  ) {
    self.path = path
    self.kind = kind
    self.isReadable = isReadable
    self.symbols = symbols
    self.hasUnwindInformation = hasUnwindInformation
    self.buildID = buildID
    self.file = file
  }

  /// For messages: the path below site-packages and the like, else the file's name.
  public var shortPath: String {
    for folder in ["/site-packages/", "/dist-packages/", "/lib-dynload/"] {
      if let range = path.firstRange(of: folder) { return String(path[range.upperBound...]) }
    }
    return Self.fileName(path)
  }

  /// Whether its native code is of interest to who profiles extensions.
  /// That of `python3` itself is not: it does nothing but start the interpreter.
  public var isExtensionCode: Bool {
    switch kind {
    case .interpreter, .cLibrary: false
    case .program: !Self.fileName(path).hasPrefix("python")
    case .extension, .library: true
    }
  }
}

extension ModuleDiagnosis {
  /// Every file with code that is mapped into a process, by address.
  static func gather(_ pid: Int32, mappings: [Mapping], interpreter: String, program: String?)
    -> [ModuleDiagnosis]
  {
    let space = AddressSpace(mappings: mappings, provider: LiveImages(pid: pid))
    var seen: Set<Module.Key> = []
    return space.areas.compactMap { area in
      guard area.mapping.hasFile, seen.insert(area.module.key).inserted else { return nil }
      return ModuleDiagnosis(area, pid, interpreter, program)
    }
  }

  private init(_ area: CodeArea, _ pid: Int32, _ interpreter: String, _ program: String?) {
    let module = area.module
    let image = module.image
    path = module.path
    file = Self.state(of: area.mapping, pid)
    isReadable = image != nil
    hasUnwindInformation = image?.hasUnwindInformation ?? false
    buildID = image?.buildIDText ?? ""
    symbols = .missing
    if let image {
      let hasAll = image.hasFullSymbols || module.debugImage?.hasFullSymbols ?? false
      symbols = hasAll ? .all : image.exportsFunctions ? .exported : .missing
    }
    let name = Self.fileName(module.path)
    if module.path == interpreter {
      kind = .interpreter
    } else if area.mapping.path == program {
      kind = .program
    } else if Self.isCLibrary(name) {
      kind = .cLibrary
    } else if image?.symbol(named: "PyInit_" + name.prefix { $0 != "." }) != nil {
      kind = .extension
    } else {
      kind = .library
    }
  }

  private static func state(of mapping: Mapping, _ pid: Int32) -> FileState {
    guard mapping.path != mapping.filePath else { return .present }
    var status = stat()
    return unsafe stat("/proc/\(pid)/root" + mapping.filePath, &status) == 0 ? .replaced : .deleted
  }

  static func fileName(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }

  /// glibc's and musl's files: `libc.so.6`, `libc-2.31.so`, `ld-linux-x86-64.so.2`, `ld-musl-x86_64.so.1`.
  static func isCLibrary(_ name: String) -> Bool {
    if name.hasPrefix("ld-") || name.hasPrefix("libnss_") { return name.contains(".so") }
    guard let end = name.firstRange(of: ".so") else { return false }
    let stem = name[..<end.lowerBound].prefix { $0 != "-" && $0 != "." }
    return cLibraryParts.contains(String(stem))
  }

  private static let cLibraryParts: Set<String> = [
    "libc", "libm", "libmvec", "libpthread", "libdl", "librt", "libutil", "libresolv", "libanl",
    "libthread_db",
  ]
}
