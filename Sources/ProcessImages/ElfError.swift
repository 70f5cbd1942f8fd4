// Why a file is not used as an ELF image, and reading arrays of ELF structures.

/// Why a file could not be read as an ELF image.
public enum ElfError: Error, Equatable, Sendable {
  /// The file ends before something that its header places inside.
  case truncated
  /// The file does not start with ELF's magic bytes.
  case notElf
  /// A good ELF file of another kind: not 64-bit little-endian x86-64, not a program or shared object.
  case unsupported
  /// A field has a value that no linker writes: sizes that overflow, tables of other entry sizes, too many segments.
  case malformed
}

extension ByteSource {
  /// `count` C structures at `address`, or nil where they cannot be read or are more than `limit`.
  /// ELF's little-endian x86-64 layouts are our own machine's.
  func structures<T: BitwiseCopyable>(_ address: UInt64, count: Int, limit: Int, as type: T.Type = T.self)
    -> [T]?
  {
    guard count >= 0, count <= limit else { return nil }
    var complete = false
    let result = unsafe [T](unsafeUninitializedCapacity: count) { buffer, initialized in
      complete = unsafe read(address, into: UnsafeMutableRawBufferPointer(buffer))
      initialized = complete ? count : 0
    }
    return complete ? result : nil
  }
}
