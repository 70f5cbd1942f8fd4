// How the rest of caduceus reads bytes that belong to the target: one protocol, so that the same code runs
// on a live process, on a file and on a recorded capture.

/// Bytes addressed by the target's virtual addresses, or by offsets in one of its files.
///
/// Used off the per-sample path only (layouts, names, unwind tables, symbols).
public protocol ByteSource: AnyObject {
  /// Fills all of `buffer` with the bytes at `address`; false where any of them cannot be read.
  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool
}

extension ByteSource {
  /// The little-endian integer at `address`, or nil where it cannot be read.
  public func load<T: FixedWidthInteger>(_ address: UInt64, as type: T.Type = T.self) -> T? {
    var value: T = 0
    let done = unsafe withUnsafeMutableBytes(of: &value) { unsafe read(address, into: $0) }
    return done ? T(littleEndian: value) : nil
  }

  /// `count` bytes at `address`, or nil where any of them cannot be read or `count` is not in 0...limit.
  public func bytes(_ address: UInt64, count: Int, limit: Int = 1 << 20) -> [UInt8]? {
    guard count >= 0, count <= limit else { return nil }
    var complete = false
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      complete = unsafe read(address, into: UnsafeMutableRawBufferPointer(buffer))
      initialized = complete ? count : 0
    }
    return complete ? bytes : nil
  }
}
