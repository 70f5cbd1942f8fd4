// A small cache in front of lookups by code address: what makes a warm frame cheap.

/// Direct-mapped: a new value replaces the one in its slot. Never allocates after it was made. Not thread safe.
@safe public final class AddressCache<Value: BitwiseCopyable> {
  @usableFromInline
  struct Entry {
    @usableFromInline var address: UInt64
    @usableFromInline var value: Value

    @inlinable
    init(address: UInt64, value: Value) {
      self.address = address
      self.value = value
    }
  }

  @usableFromInline let entries: UnsafeMutablePointer<Entry>
  @usableFromInline let bits: UInt64

  /// A cache of 2 to the power of `bits` entries; `filler` is any value.
  public init(bits: Int, filler: Value) {
    self.bits = UInt64(bits)
    unsafe entries = .allocate(capacity: 1 << bits)
    unsafe entries.initialize(repeating: Entry(address: 0, value: filler), count: 1 << bits)
    // An empty entry has an address that belongs to another slot: 0 belongs to slot 0, 1 to another one.
    unsafe entries[0].address = 1
  }

  deinit { unsafe entries.deallocate() }

  /// The value stored for `address`.
  @inlinable @inline(__always)
  public func find(_ address: UInt64) -> Value? {
    let slot = slot(address)
    return unsafe entries[slot].address == address ? unsafe entries[slot].value : nil
  }

  /// Stores a value for `address`.
  @inlinable
  public func store(_ value: Value, for address: UInt64) {
    unsafe entries[slot(address)] = Entry(address: address, value: value)
  }

  /// Forgets everything.
  public func removeAll() {
    for slot in 0..<(1 << Int(bits)) { unsafe entries[slot].address = slot == 0 ? 1 : 0 }
  }

  @inlinable @inline(__always)
  func slot(_ address: UInt64) -> Int {
    Int(truncatingIfNeeded: (address &* 0x9E37_79B9_7F4A_7C15) &>> (64 &- bits))
  }
}
