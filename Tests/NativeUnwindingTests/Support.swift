// Second sources and hand-made processes.

import Foundation
import ProcessImages
import Snapshots

@testable import NativeUnwinding

/// What a tool printed; nil where it is not installed. readelf may complain about a debug file and fail, having
/// printed everything.
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
  return String(decoding: data, as: UTF8.self)
}

enum Files {
  /// Our own libc, as the loader mapped it.
  static let libc = (try? ProcessMaps.read(getpid()))?
    .first { $0.isExecutable && $0.path.contains("/libc.so") }?.path

  /// The file of the system's Python that holds the interpreter, by the interpreter's own word.
  static let python: String? = {
    let script =
      "import os, sys, sysconfig; v = sysconfig.get_config_var; "
      + "lib = os.path.join(v('LIBDIR') or '', v('INSTSONAME') or ''); "
      + "print(lib if lib.endswith('.so.1.0') and os.path.exists(lib) else os.path.realpath(sys.executable))"
    return output(["python3", "-c", script])?.trimmingCharacters(in: .whitespacesAndNewlines)
  }()

  static func image(_ path: String) -> ElfImage? {
    FileBytes(path: path).flatMap { try? ElfImage(bytes: $0, size: $0.size) }
  }
}

/// One file as if it was mapped at its own virtual addresses plus a bias.
final class OneFile: ImageProvider {
  static let bias: UInt64 = 0x7f12_3400_0000
  private let file: ElfImage

  init(_ file: ElfImage) { self.file = file }

  func image(for mapping: Mapping) -> ElfImage? { file }

  static func space(_ image: ElfImage) -> AddressSpace {
    let mappings = image.segments.filter(\.isExecutable).map { segment in
      let start = segment.virtualAddress & ~4095
      return Mapping(
        start: start + bias, end: (segment.end + 4095) & ~4095 + bias,
        fileOffset: segment.fileOffset & ~4095, isExecutable: true, inode: 1, path: "/file")
    }
    return AddressSpace(mappings: mappings, provider: OneFile(image))
  }
}

/// Bytes at one address.
final class BytesAt: ByteSource {
  let start: UInt64
  var contents: [UInt8]

  init(_ start: UInt64, _ contents: [UInt8]) {
    self.start = start
    self.contents = contents
  }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard address >= start, address - start <= UInt64(contents.count),
      UInt64(contents.count) - (address - start) >= UInt64(buffer.count)
    else { return false }
    for index in 0..<buffer.count { unsafe buffer[index] = contents[Int(address - start) + index] }
    return true
  }
}

/// Bytes of another source, some of them replaced.
final class Patched: ByteSource {
  private let source: any ByteSource
  private let patches: [UInt64: UInt8]

  init(_ source: any ByteSource, _ patches: [UInt64: UInt8]) {
    self.source = source
    self.patches = patches
  }

  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard unsafe source.read(address, into: buffer) else { return false }
    for index in 0..<buffer.count {
      if let byte = patches[address &+ UInt64(index)] { unsafe buffer[index] = byte }
    }
    return true
  }
}

/// Words as the bytes of a stack.
func stackBytes(_ words: [UInt64]) -> [UInt8] {
  words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } }
}
