// The interpreters of this machine, and the extension that the test programs need.

import Foundation

/// An installed CPython.
struct Interpreter: Sendable, CustomStringConvertible {
  let path: String
  /// `3.12.1`.
  let version: String
  let major: Int
  let minor: Int

  var description: String { "CPython \(version) (\(path))" }
  /// A release that caduceus reads.
  var isSupported: Bool { major == 3 && (11...13).contains(minor) }

  /// Every CPython with the GIL on PATH and in pyenv, each file once, oldest first.
  static let installed: [Interpreter] = {
    let files = FileManager.default
    let environment = ProcessInfo.processInfo.environment
    var candidates: [String] = []
    let folders = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
    for folder in folders where !folder.hasSuffix("shims") {
      let names = ((try? files.contentsOfDirectory(atPath: folder)) ?? []).sorted()
      candidates += names.filter(isInterpreterName).map { folder + "/" + $0 }
    }
    let roots = [environment["PYENV_ROOT"], environment["HOME"].map { $0 + "/.pyenv" }]
    for root in Set(roots.compactMap { $0 }) {
      let versions = ((try? files.contentsOfDirectory(atPath: root + "/versions")) ?? []).sorted()
      candidates += versions.map { "\(root)/versions/\($0)/bin/python" }
    }
    var found: [String: Interpreter] = [:]
    for path in candidates where files.isExecutableFile(atPath: path) {
      let real = unsafe realpath(path, nil).map { text in
        defer { unsafe free(text) }
        return unsafe String(cString: text)
      }
      guard let real, found[real] == nil, let interpreter = probe(real) else { continue }
      found[real] = interpreter
    }
    return found.values.sorted { $0.version.compare($1.version, options: .numeric) == .orderedAscending }
  }()

  /// Every one that caduceus reads.
  static let supported = installed.filter(\.isSupported)

  /// The newest of each supported release.
  static let perRelease: [Interpreter] = (11...13).compactMap { minor in supported.last { $0.minor == minor }
  }

  /// The newest supported one: for tests that are not about interpreters.
  static var any: Interpreter {
    get throws {
      guard let newest = supported.last else {
        throw LiveError("no CPython 3.11, 3.12 or 3.13 on PATH or in pyenv")
      }
      return newest
    }
  }

  /// The newest of a release, 3.`minor`.
  static func newest(_ minor: Int) throws -> Interpreter {
    guard let found = supported.last(where: { $0.minor == minor }) else {
      throw LiveError("no CPython 3.\(minor) on PATH or in pyenv")
    }
    return found
  }

  /// One that an unprivileged user can start: pyenv's are below somebody's home.
  static func everybodys(amongst interpreters: [Interpreter] = installed) throws -> Interpreter {
    // setpriv itself still has root's rights when it executes; what the shell executes has none.
    let shell = Restricted.nobody + ["/bin/sh", "-c", "exec \"$@\"", "sh"]
    let found = interpreters.last { ((try? Child.run(shell + [$0.path, "-c", ""]))?.status ?? 1) == 0 }
    guard let found else { throw LiveError("no interpreter that everybody may run") }
    return found
  }

  /// `python3`, `python2.7` and the like, but not `python3-config`.
  private static func isInterpreterName(_ name: String) -> Bool {
    name.hasPrefix("python") && name.dropFirst(6).allSatisfy { $0.isNumber || $0 == "." }
  }

  private static func probe(_ path: String) -> Interpreter? {
    let question = """
      import platform, sys, sysconfig
      print(platform.python_implementation() + " " + platform.python_version() + " %d %d " % sys.version_info[:2]
            + str(sysconfig.get_config_var("Py_GIL_DISABLED") or 0))
      """
    guard let answer = try? Child.run([path, "-c", question]), answer.status == 0 else { return nil }
    let words = answer.outputText.split(whereSeparator: \.isWhitespace).map(String.init)
    guard words.count == 5, words[0] == "CPython", words[4] == "0", let major = Int(words[2]),
      let minor = Int(words[3])
    else { return nil }
    return Interpreter(path: path, version: words[1], major: major, minor: minor)
  }

  /// The folder with `situations.so` for this interpreter, built once per run of the tests.
  func extensionFolder() throws -> String {
    let folder = Folder.base + "/situations-\(major).\(minor)"
    if FileManager.default.fileExists(atPath: folder + "/situations.so") { return folder }
    // All builds of a release have one binary interface; headers may be there for only one of them.
    var problems = ""
    for builder in [self] + Self.supported where builder.minor == minor {
      let built = try Child.run(["/bin/sh", Program.path("build_extension.sh"), builder.path, folder])
      if built.status == 0 { return folder }
      problems += built.errorText
    }
    throw LiveError("situations.c cannot be built for \(self): \(problems)")
  }
}
