// Which language a function was written in. The truth is what the test itself wrote and compiled.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

/// Compilers and what else makes native code; what is not there is nil.
private enum Compilers {
  static let fortran = output(["gfortran", "--version"]) == nil ? nil : "gfortran"
  static let rust = output(["rustc", "--version"]) == nil ? nil : "rustc"
  /// A Python that has Cython.
  static let cython: String? = {
    let python = ProcessInfo.processInfo.environment["CADUCEUS_READERS_PYTHON"]
    return python.flatMap { output([$0, "-c", "import Cython"]) == nil ? nil : $0 }
  }()

  static let isCI = ProcessInfo.processInfo.environment["CI"] != nil
}

/// The files of one folder, each a module of its own.
private final class CompiledFiles: ImageProvider {
  private let debug: String?

  /// `debug` is the file of separate debug information.
  init(debug: String? = nil) { self.debug = debug }

  func image(for mapping: Mapping) -> ElfImage? { SystemFiles.image(mapping.path) }

  func debugImage(for image: ElfImage) -> ElfImage? { debug.flatMap(SystemFiles.image) }

  static func module(_ path: String, debug: String? = nil) -> Module {
    Module(Mapping(start: 0, end: 1, inode: 1, path: path), provider: CompiledFiles(debug: debug))
  }
}

extension Module {
  /// The language of a function by its symbol as it is in the file; nil where there is no such function.
  fileprivate func language(of symbol: String) -> SourceLanguage? {
    guard let place = self.symbol(named: symbol)?.virtualAddress else { return nil }
    return language(ofSymbol: symbol, at: place)
  }
}

@Suite struct SourceLanguageTests {
  @Test(arguments: [
    // Rust, v0 (RFC 2603 has the first and the third) and legacy.
    ("_RNvC6_123foo3bar", SourceLanguage.rust), ("_RNvCs2OpA4fNwd7R_1r4spin", .rust),
    ("_RINvNtC3std3mem8align_ofdE", .rust), ("_RNvMs_NtCs1234_7mycrate3fooNtB4_3Bar3baz", .rust),
    ("_RNvXCs_5crate3FooNtB2_5Trait3run", .rust), ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", .rust),
    ("_ZN3foo3bar17h0123456789abcdefE.llvm.1234", .rust),
    // C names that begin alike.
    ("_Read", nil), ("_RNG_init", nil), ("_RC", nil), ("_RIM_sqrt", nil), ("_R", nil), ("_RNv", nil),
    ("_RMs", nil),
    ("_Z3foov", .cplusplus), ("_ZN3foo17h0123456789abcdeXEv", .cplusplus), ("_Z3foov.cold", .cplusplus),
    ("_Z3foov@plt", .cplusplus),
    ("__pyx_pw_5algos_1ensure", .cython), ("__Pyx_PyObject_Call", .cython),
    ("_ZL23__pyx_f_5fused_inner_fooP7_object", .cython),
    ("__waves_MOD_spin", .fortran), ("__waves_MOD_spin.constprop.0", .fortran), ("MAIN__", .fortran),
    ("waves_mp_spin_", .fortran), ("_QMwavesPspin", .fortran), ("_QPplain", .fortran), ("_QQmain", .fortran),
    ("_QPX", nil), ("_mp_", nil), ("PyList_New", nil), ("main", nil), ("dgemm_", nil), ("", nil), ("_", nil),
  ]) func symbols(_ symbol: String, _ language: SourceLanguage?) {
    #expect(SourceLanguage(symbol: symbol) == language)
  }

  @Test(arguments: [
    ("dgemm_", true), ("dgemm_.isra.0", true), ("scipy_dgemm_64_", true), ("dgemm", false), ("_foo_", false),
    ("DGEMM_", false), ("", false), ("_", false), ("foo_@plt", true),
    // C interfaces of Fortran libraries, with what vendors put before and behind them.
    ("cblas_dgemm", false), ("cblas_dgemm64_", false), ("scipy_cblas_dgemm64_", false),
    ("scipy_cblas_idamax_", false), ("cblas_xerbla_", false), ("LAPACKE_dgesv", false),
    ("scipy_LAPACKE_dgesv64_", false), ("scipy_openblas_get_num_threads64_", false),
    ("openblas_threads_callback_", false),
    // What only looks like them.
    ("mycblas_dgemm_", true), ("cblas_", true), ("dcblas_", true), ("call_a_cblas_routine_", true),
    ("scipy_dgesv_64_", true),
  ]) func formOfFortran(_ symbol: String, _ has: Bool) {
    #expect(SourceLanguage.hasFortranForm(symbol) == has)
  }

  /// Compiles sources into one shared object; `language` is the file's ending.
  private func build(
    _ folder: TemporaryFolder, _ name: String, _ sources: [(ending: String, text: String)],
    _ options: [String],
    with compiler: String = "g++"
  ) throws -> String {
    let path = "\(folder.path)/\(name).so"
    var files: [String] = []
    for (index, source) in sources.enumerated() {
      let file = "\(name)\(index).\(source.ending)"
      files.append(try folder.write([UInt8](source.text.utf8), as: file))
    }
    // One by one: g++ takes C for C++.
    var objects: [String] = []
    for file in files {
      let driver = file.hasSuffix(".c") ? "gcc" : file.hasSuffix(".f90") ? "gfortran" : "g++"
      // Fortran's compiler writes a file for each module; without a folder it takes the working directory.
      let modules = driver == "gfortran" ? ["-J", folder.path] : []
      try #require(
        output([driver, "-O1", "-fPIC", "-c"] + modules + options + [file, "-o", file + ".o"]) != nil,
        "\(file)")
      objects.append(file + ".o")
    }
    try #require(output([compiler, "-shared"] + options + objects + ["-o", path]) != nil)
    return path
  }

  private static let c = ("c", "int plain(int x) { return x * 3; }\nint tail_(int x) { return x + 1; }\n")
  private static let cplusplus = (
    "cc",
    """
    namespace ns { int mangled(int x) { return x * 5; } }
    extern "C" int unmangled(int x) { return ns::mangled(x) + 7; }
    """
  )

  /// What the functions of `c` and `cplusplus` are taken for.
  private func languages(_ module: Module) -> [SourceLanguage?] {
    ["plain", "tail_", "_ZN2ns7mangledEi", "unmangled"].map { module.language(of: $0) }
  }

  @Test func symbolsAloneWithoutDebugInformation() throws {
    let folder = try TemporaryFolder()
    let path = try build(folder, "bare", [Self.c, Self.cplusplus], [])
    // A C++ function with a C name is known as C++ by debug information only.
    #expect(languages(CompiledFiles.module(path)) == [.c, .c, .cplusplus, .c])
    #expect(CompiledFiles.module(path).languages.language(at: 0) == nil)
  }

  @Test(arguments: [
    ["-g"], ["-g", "-gdwarf-4"], ["-g", "-gz=zlib"], ["-g", "-ffunction-sections", "-freorder-functions"],
  ])
  func debugInformationTellsCAndCplusplus(_ options: [String]) throws {
    let folder = try TemporaryFolder()
    let path = try build(folder, "debug", [Self.c, Self.cplusplus], options)
    #expect(languages(CompiledFiles.module(path)) == [.c, .c, .cplusplus, .cplusplus])
  }

  @Test func debugInformationInAFileOfItsOwn() throws {
    let folder = try TemporaryFolder()
    let path = try build(folder, "split", [Self.c, Self.cplusplus], ["-g"])
    let debug = folder.path + "/split.debug"
    try #require(output(["objcopy", "--only-keep-debug", path, debug]) != nil)
    try #require(output(["strip", "--strip-debug", path]) != nil)
    #expect(languages(CompiledFiles.module(path)) == [.c, .c, .cplusplus, .c])
    #expect(languages(CompiledFiles.module(path, debug: debug)) == [.c, .c, .cplusplus, .cplusplus])
  }

  @Test func everyFunctionOfAFileAsReadelfSays() throws {
    let folder = try TemporaryFolder()
    let path = try build(folder, "whole", [Self.c, Self.cplusplus], ["-g"])
    let text = try #require(output(["readelf", "--debug-dump=info", path]))
    #expect(text.contains("DW_AT_language"))
    // Each unit's language line comes before its functions' address lines.
    var language: SourceLanguage?
    var checked = 0
    let module = CompiledFiles.module(path)
    for line in text.split(separator: "\n") {
      if line.contains("DW_AT_language") { language = line.contains("C++") ? .cplusplus : .c }
      guard line.contains("DW_AT_low_pc"),
        let word = line.split(separator: " ").last(where: { $0.hasPrefix("0x") }),
        let address = UInt64(word.dropFirst(2), radix: 16), address != 0
      else { continue }
      #expect(module.languages.language(at: address) == language, "\(line)")
      checked += 1
    }
    #expect(checked >= 4)
  }

  @Test(
    .enabled(if: Compilers.fortran != nil || Compilers.isCI, "there is no gfortran"),
    arguments: [true, false])
  func fortran(_ withDebugInformation: Bool) throws {
    let source = """
      module waves
      contains
        subroutine spin(x)
          real(8), intent(inout) :: x
          x = sin(x)
          print *, x
        end subroutine
      end module
      subroutine plain(x)
        real(8), intent(inout) :: x
        x = cos(x)
      end subroutine
      """
    let folder = try TemporaryFolder()
    let options = withDebugInformation ? ["-g"] : ["-s"]
    let path = try build(folder, "waves", [("f90", source), Self.c], options, with: "gfortran")
    let module = CompiledFiles.module(path)
    #expect(module.traits.usesFortranRuntime)
    #expect(module.language(of: "__waves_MOD_spin") == .fortran)
    #expect(module.language(of: "plain_") == .fortran)
    // C with a name of Fortran's form, in a module that uses Fortran: told apart by debug information only.
    #expect(module.language(of: "tail_") == (withDebugInformation ? .c : .fortran))
    let object = try build(folder, "none", [Self.c], options)
    #expect(CompiledFiles.module(object).language(of: "tail_") == .c)
    // As in numpy's OpenBLAS: C and Fortran in one library, C under names that end as Fortran's do.
    let interface = ("c", "int scipy_cblas_ddot64_(int x) { return x * 3; }\n")
    let both = try build(folder, "both", [("f90", source), interface], options, with: "gfortran")
    #expect(CompiledFiles.module(both).language(of: "scipy_cblas_ddot64_") == .c)
    #expect(CompiledFiles.module(both).language(of: "plain_") == .fortran)
  }

  @Test(
    .enabled(if: Compilers.rust != nil || Compilers.isCI, "there is no rustc"), arguments: ["default", "v0"],
    [true, false])
  func rust(_ mangling: String, _ withDebugInformation: Bool) throws {
    let folder = try TemporaryFolder()
    let source = """
      #[inline(never)] pub fn spin(x: u64) -> u64 { std::hint::black_box(x).rotate_left(3) }
      #[no_mangle] pub extern "C" fn begin(x: u64) -> u64 { spin(x) + 1 }
      """
    let file = try folder.write([UInt8](source.utf8), as: "turn.rs")
    let path = folder.path + "/libturn.so"
    let debug = withDebugInformation ? ["-g"] : []
    let scheme = mangling == "v0" ? ["-Csymbol-mangling-version=v0"] : []
    try #require(output(["rustc", "--crate-type", "cdylib", file, "-o", path] + scheme + debug) != nil)
    let names = try #require(output(["nm", path])).split(separator: "\n").compactMap {
      $0.split(separator: " ").last
    }
    let mangled = String(try #require(names.first { $0.contains("4spin") }))
    #expect(mangled.hasPrefix("_R") || (mangling == "default" && mangled.hasPrefix("_ZN")))
    let module = CompiledFiles.module(path)
    #expect(module.language(of: mangled) == .rust)
    #expect(module.language(of: "begin") == (withDebugInformation ? .rust : .c))
  }

  @Test(
    .enabled(
      if: Compilers.cython != nil || Compilers.isCI,
      "CADUCEUS_READERS_PYTHON does not name a Python with the packages of Tests/Programs/readers-requirements.txt"
    ),
    arguments: ["c", "cpp"], [true, false])
  func cython(_ ending: String, _ withDebugInformation: Bool) throws {
    let python = try #require(Compilers.cython)
    let folder = try TemporaryFolder()
    let source = try folder.write(
      [UInt8](
        """
        cdef double inner(double x):
            return x * x + 1
        def outer(int n):
            cdef double s = 0
            for i in range(n):
                s += inner(i)
            return s
        """.utf8), as: "loops.pyx")
    let made = folder.path + "/loops." + ending
    let cython =
      [python, "-m", "cython", "-3"] + (ending == "cpp" ? ["--cplus"] : []) + [source, "-o", made]
    try #require(output(cython) != nil)
    let script = "import sysconfig; print(sysconfig.get_path('include'))"
    let include = try #require(output([python, "-c", script])?.trimmingCharacters(in: .newlines))
    let path = folder.path + "/loops.so"
    let driver = ending == "cpp" ? "g++" : "gcc"
    let options = ["-O1", "-fPIC", "-shared", "-I" + include] + (withDebugInformation ? ["-g"] : [])
    try #require(output([driver] + options + [made, "-o", path]) != nil)
    let lines = try #require(output(["nm", path])).split(separator: "\n").filter {
      $0.contains("__pyx_pw_") && $0.contains(" t ")
    }
    let words = try #require(lines.first).split(separator: " ")
    let place = try #require(UInt64(words[0], radix: 16))
    let module = CompiledFiles.module(path)
    #expect(module.language(ofSymbol: String(words[2]), at: place) == .cython)
    #expect(module.language(of: "PyInit_loops") == .cython)
    #expect(module.traits.isCython)
    // As in a wheel: the functions have no names any more.
    try #require(output(["strip", path]) != nil)
    let stripped = CompiledFiles.module(path)
    #expect(stripped.language(ofSymbol: nil, at: place) == .cython)
    // And a module of C without names is not taken for Cython's.
    let object = try build(folder, "bare", [Self.c], ["-s"])
    #expect(CompiledFiles.module(object).language(ofSymbol: nil, at: place) == nil)
  }

  @Test func codeWithoutAFile() {
    func isMade(_ path: String, inode: UInt64 = 0) -> Bool {
      Module(Mapping(start: 0, end: 1, inode: inode, path: path), provider: CompiledFiles()).isMadeAtRunTime
    }
    #expect(isMade(""))
    #expect(isMade("[heap]"))
    #expect(isMade("//anon", inode: 7))
    #expect(isMade("/memfd:doublemapper (deleted)", inode: 7))
    #expect(isMade("/dev/zero (deleted)", inode: 7))
    #expect(!isMade("[vdso]"))
    #expect(!isMade("[vsyscall]"))
    #expect(!isMade("/usr/lib/gone.so (deleted)", inode: 7))
    if let libc = SystemFiles.libc { #expect(!isMade(libc, inode: 7)) }
  }

  /// Whatever is in the debug information of a target's file: reading it ends, and nothing crashes.
  @Test(.timeLimit(.minutes(5))) func damagedDebugInformationIsSafe() throws {
    let folder = try TemporaryFolder()
    let path = try build(folder, "damaged", [Self.c, Self.cplusplus], ["-g"])
    let good = SystemFiles.bytes(path)
    let image = try #require(SystemFiles.image(path))
    let sections = image.sections.filter { $0.name.hasPrefix(".debug_") }
    #expect(sections.count >= 3)
    var random = SeededGenerator(seed: 5)
    for round in 0..<400 {
      var bytes = good
      if round % 8 == 0 {
        // A section's size, from the headers at the end of the file.
        let at = Int.random(in: (bytes.count - image.sections.count * 64)..<bytes.count, using: &random)
        bytes[at] = .random(in: 0...255, using: &random)
      }
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        guard let section = sections.randomElement(using: &random), section.size > 0 else { continue }
        let at = Int(section.fileOffset) + Int.random(in: 0..<Int(section.size), using: &random)
        bytes[at] = .random(in: 0...255, using: &random)
      }
      guard let image = try? ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count)) else { continue }
      _ = DebugLanguages(image: image)?.language(at: 0x1100)
      _ = LanguageTraits(image: image)
    }
  }
}
