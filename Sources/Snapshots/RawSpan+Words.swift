// Loads of little-endian words from borrowed bytes. Bounds are checked by the span; the callers check sizes once
// at the border, so that a failing check is a programming error.

extension RawSpan {
  /// The 64-bit word at `offset` bytes, of any alignment.
  @inline(__always)
  public func word(at offset: Int) -> UInt64 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self)
  }

  /// The 32-bit word at `offset` bytes, of any alignment.
  @inline(__always)
  public func word32(at offset: Int) -> UInt32 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self)
  }

  /// The 16-bit word at `offset` bytes, of any alignment.
  @inline(__always)
  public func word16(at offset: Int) -> UInt16 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self)
  }

  /// The byte at `offset`.
  @inline(__always)
  public func byte(at offset: Int) -> UInt8 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
  }
}
