// Second sources of this machine: its tools, and the files they are asked about, wherever they are.

import Foundation
import ProcessImages

/// What a tool printed; nil where it is not installed, or failed. `mayFail`: readelf complains about a debug file and
/// fails, having printed everything.
package func output(_ command: [String], mayFail: Bool = false) -> String? {
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
  // 127: env found no such program.
  let status = process.terminationStatus
  return status == 0 || (mayFail && status != 127) ? String(decoding: data, as: UTF8.self) : nil
}

/// Files that are on every machine that runs the tests.
package enum SystemFiles {
  /// Our own libc, as the loader mapped it.
  package static let libc: String? = (try? ProcessMaps.read(getpid()))?
    .first { $0.isExecutable && ($0.path.contains("/libc.so") || $0.path.contains("/libc-2")) }?.path

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

  /// The system's Python.
  package static let python: String? = pythonFiles.last

  /// The file that holds `_PyRuntime`: a shared libpython or a python linked statically.
  package static let libpython: String? = pythonFiles.first { image($0)?.symbol(named: "_PyRuntime") != nil }

  package static var all: [String] { [libc, libpython].compactMap { $0 } }

  package static func image(_ path: String) -> ElfImage? {
    FileBytes(path: path).flatMap { try? ElfImage(bytes: $0, size: $0.size) }
  }

  package static func bytes(_ path: String) -> [UInt8] {
    (try? Data(contentsOf: URL(filePath: path))).map { [UInt8]($0) } ?? []
  }
}

/// A folder that is gone when its owner is.
package final class TemporaryFolder: Sendable {
  package let path: String

  package init() throws {
    let url = FileManager.default.temporaryDirectory.appending(path: "caduceus-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  package func write(_ bytes: [UInt8], as name: String) throws -> String {
    let file = path + "/" + name
    try Data(bytes).write(to: URL(filePath: file))
    return file
  }
}
