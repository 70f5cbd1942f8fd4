// Second sources for the tests: binutils, and the Python builds of this machine, wherever they are.

import Foundation
import Testing

@testable import ProcessImages

/// A folder that is gone when its owner is.
final class TemporaryFolder {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appending(path: "caduceus-images-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func write(_ bytes: [UInt8], as name: String) throws -> String {
    let file = path + "/" + name
    try Data(bytes).write(to: URL(filePath: file))
    return file
  }
}

/// What a tool printed; nil where it is not installed or failed.
func output(_ command: [String]) -> String? {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = command
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = FileHandle.nullDevice
  process.standardInput = FileHandle.nullDevice
  guard (try? process.run()) != nil else { return nil }
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return process.terminationStatus == 0 ? String(decoding: data, as: UTF8.self) : nil
}

enum TestFiles {
  /// Our own libc, as the loader mapped it.
  static let libc: String? = (try? ProcessMaps.read(getpid()))?
    .first { $0.isExecutable && $0.path.contains("/libc.so") || $0.path.contains("/libc-2") }?.path

  /// Where Python's shared library would be, and its program.
  private static let pythonFiles: [String] = {
    let script = """
      import os, sys, sysconfig
      v = sysconfig.get_config_var
      print(os.path.join(v('LIBDIR') or '', v('INSTSONAME') or ''))
      print(os.path.realpath(sys.executable))
      """
    return output(["python3", "-c", script])?.split(separator: "\n").map(String.init) ?? []
  }()

  static let python: String? = pythonFiles.last

  /// The file that holds `_PyRuntime`: a shared libpython or a python linked statically.
  static let libpython: String? = pythonFiles.first { image($0)?.symbol(named: "_PyRuntime") != nil }

  static var all: [String] { [libc, libpython].compactMap { $0 } }

  static func image(_ path: String) -> ElfImage? {
    FileBytes(path: path).flatMap { try? ElfImage(bytes: $0, size: $0.size) }
  }

  static func bytes(_ path: String) -> [UInt8] {
    (try? Data(contentsOf: URL(filePath: path))).map { [UInt8]($0) } ?? []
  }
}

/// Numbers that are the same in every run (SplitMix64).
struct FixedRandom: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
