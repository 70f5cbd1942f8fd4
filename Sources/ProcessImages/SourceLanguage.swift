// Which language a function was written in, by its symbol and by what the strings of its module give away.

internal import Glibc

/// A language that native code is compiled from.
public enum SourceLanguage: UInt8, Sendable, CaseIterable {
  /// C.
  case c
  /// C++.
  case cplusplus
  /// Rust.
  case rust
  /// C or C++ that Cython made.
  case cython
  /// Fortran.
  case fortran

  /// The language that a symbol of the symbol table (not demangled) tells by its form; nil where it has none, as
  /// C's symbols have none.
  ///
  /// - Cython: `__pyx_` and `__Pyx_` in the names of everything that it makes.
  /// - Rust: `_R` and a path (v0), `_ZN…17h<16 hexadecimal digits>E` (legacy).
  /// - C++: `_Z`.
  /// - Fortran: `__module_MOD_procedure` and `MAIN__` (gfortran), `module_mp_procedure_` (Intel), `_QMmoduleP…`,
  ///   `_QP…` and `_QQmain` (flang). A plain `procedure_` is C's too: `LanguageTraits` knows more.
  public init?(symbol: String) {
    let name = symbol.utf8
    if symbol.contains("__pyx_") || symbol.contains("__Pyx_") {
      self = .cython
    } else if name.starts(with: "_R".utf8), RustPath(name.dropFirst(2)).isPlausible {
      self = .rust
    } else if name.starts(with: "_Z".utf8) {
      self = isLegacyRust(symbol) ? .rust : .cplusplus
    } else if Self.isFortran(symbol) {
      self = .fortran
    } else {
      return nil
    }
  }

  private static func isFortran(_ symbol: String) -> Bool {
    let base = symbol.prefix { $0 != "." && $0 != "@" }
    if base.hasPrefix("__"), base.contains("_MOD_") { return true }
    if base == "MAIN__" || base == "_QQmain" { return true }
    if base.hasPrefix("_QM") || base.hasPrefix("_QP") {
      return base.utf8.dropFirst(3).first.map(isLower) ?? false
    }
    return base.hasSuffix("_") && base.contains("_mp_") && !base.hasPrefix("_mp_")
  }

  /// Whether a symbol has the form `procedure_` of Fortran's external procedures. The C interfaces of Fortran
  /// libraries have it too where a vendor renames all symbols alike, as in `scipy_cblas_dgemm64_`: they are known by
  /// their names. (`LAPACKE_` has capitals, which no procedure has.)
  static func hasFortranForm(_ symbol: String) -> Bool {
    let base = symbol.prefix { $0 != "." && $0 != "@" }
    return base.utf8.last == 0x5F && base.utf8.first.map(isLower) == true
      && base.utf8.allSatisfy { isLower($0) || isDigit($0) || $0 == 0x5F } && !isInterfaceOfC(base)
  }

  /// Whether the first or the second word of a name is that of a C interface, and something follows.
  private static func isInterfaceOfC(_ name: Substring) -> Bool {
    let words = name.split(separator: "_")
    return words.dropLast().prefix(2).contains { $0 == "cblas" || $0 == "openblas" }
  }
}

private func isLower(_ byte: UInt8) -> Bool { (0x61...0x7A).contains(byte) }
private func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
private func isLetter(_ byte: UInt8) -> Bool { isLower(byte | 0x20) }

/// The beginning of a path in Rust's v0 mangling (RFC 2603), enough of it to tell it from C's names that begin with
/// `_R`.
private struct RustPath {
  private var rest: Substring.UTF8View

  init(_ name: Substring.UTF8View) { rest = name }

  var isPlausible: Bool {
    var copy = self
    return copy.path(depth: 0)
  }

  private mutating func path(depth: Int) -> Bool {
    guard depth < 8, let tag = rest.popFirst(), let next = rest.first else { return false }
    switch UInt8(tag) {
    case UInt8(ascii: "C"):  // crate root: identifier, perhaps with a disambiguator
      return next == UInt8(ascii: "s") || isDigit(next)
    case UInt8(ascii: "N"):  // namespace, path, identifier
      rest = rest.dropFirst()
      return isLetter(next) && path(depth: depth + 1)
    case UInt8(ascii: "I"):  // path with generic arguments
      return path(depth: depth + 1)
    case UInt8(ascii: "M"), UInt8(ascii: "X"):  // <T>, <T as Trait>: where the impl stands, then the types
      if next == UInt8(ascii: "s") {
        guard let end = rest.firstIndex(of: 0x5F) else { return false }
        rest = rest[rest.index(after: end)...]
      }
      return path(depth: depth + 1)
    case UInt8(ascii: "Y"):  // <T as Trait>
      return isLetter(next)
    default: return false
    }
  }
}

/// What the strings of a module say of the languages in it.
public struct LanguageTraits: Sendable, Equatable {
  /// Whether it was made by Cython: it holds the strings of Cython's run-time support.
  public private(set) var isCython = false
  /// Whether it links gfortran's run-time library.
  public private(set) var usesFortranRuntime = false

  /// Greatest size of a section that is searched, in bytes, and how much of it is in memory at a time.
  private static let maximumStrings: UInt64 = 64 << 20
  private static let piece: UInt64 = 1 << 20

  /// A module that says nothing.
  public init() {}

  /// Searches the file's dynamic strings and, in an extension module of Python, its constants.
  init(image: ElfImage) {
    usesFortranRuntime = Self.contains(["gfortran"], ".dynstr", of: image)
    // The module of the frames in Cython's tracebacks, and the one that modules of one Cython release share.
    isCython =
      Self.contains(["PyInit_"], ".dynstr", of: image)
      && Self.contains(["cython_runtime\0", "_cython_"], ".rodata", of: image)
  }

  /// Whether a section holds one of some texts, none longer than 32 bytes.
  private static func contains(_ texts: [StaticString], _ section: String, of image: ElfImage) -> Bool {
    guard let section = image.section(named: section), !section.isCompressed, section.size <= maximumStrings
    else { return false }
    var offset: UInt64 = 0
    while offset < section.size {
      // A text may lie across the border of two pieces.
      let count = min(piece + 32, section.size - offset)
      guard
        let bytes = image.bytes.bytes(section.fileOffset &+ offset, count: Int(count), limit: Int(piece) + 32)
      else { return false }
      if texts.contains(where: { contains($0, bytes) }) { return true }
      offset += piece
    }
    return false
  }

  private static func contains(_ text: StaticString, _ bytes: [UInt8]) -> Bool {
    unsafe bytes.withUnsafeBytes { buffer in
      let wanted = unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
      guard let base = buffer.baseAddress, let start = wanted.baseAddress, let first = unsafe wanted.first
      else {
        return false
      }
      var at = 0
      while at + wanted.count <= buffer.count {
        // memchr(3) is what makes megabytes quick.
        guard let found = unsafe memchr(base + at, Int32(first), buffer.count - wanted.count - at + 1) else {
          break
        }
        at = unsafe UnsafeRawPointer(found) - base
        if unsafe memcmp(found, start, wanted.count) == 0 { return true }
        at += 1
      }
      return false
    }
  }
}

extension Module {
  /// The language of the function at a virtual address of the module, by its symbol, the debug information and the
  /// module's strings; nil where none of them says anything. `symbol` is as the symbol table has it, nil where there
  /// is none. Reads debug information: not for while samples wait.
  public func language(ofSymbol symbol: String?, at virtualAddress: UInt64) -> SourceLanguage? {
    let told = symbol.flatMap(SourceLanguage.init(symbol:))
    // To the compiler that wrote the debug information, Cython's output is C or C++.
    if told == .cython { return told }
    if traits.isCython, symbol?.hasPrefix("PyInit_") ?? true { return .cython }
    if let known = languages.language(at: virtualAddress) { return known }
    guard let symbol else { return nil }
    if told == nil, traits.usesFortranRuntime, SourceLanguage.hasFortranForm(symbol) { return .fortran }
    return told ?? .c
  }

  /// Whether the code was made at run time: there is no file behind it, or one that only stands for memory.
  public var isMadeAtRunTime: Bool {
    if !isFileBacked { return !path.hasPrefix("[v") }
    guard image == nil else { return false }
    return ["/memfd:", "/dev/zero", "/dev/shm/", "/SYSV"].contains { path.hasPrefix($0) }
  }
}
