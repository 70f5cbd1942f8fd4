// The interpreter layouts as the readers see them: written by one thread of ours, in a table that never moves.

import CPerfEvent
import PythonChain

/// Owner of the table. Slots are not used twice in one run, so that a stamp is never ambiguous.
@safe final class SharedLayouts: @unchecked Sendable {
  private let table: UnsafeMutablePointer<python_layout>
  private let current: UnsafeMutablePointer<UInt64>
  private var last: UInt32 = 0

  init() {
    unsafe table = .allocate(capacity: Int(PYTHON_CHAIN_LAYOUT_SLOTS))
    unsafe table.initialize(repeating: python_layout(), count: Int(PYTHON_CHAIN_LAYOUT_SLOTS))
    unsafe current = .allocate(capacity: 1)
    unsafe current.initialize(to: 0)
  }

  deinit {
    unsafe table.deallocate()
    unsafe current.deallocate()
  }

  /// Makes a layout the one in force; nil when all slots are used up.
  func use(_ layout: python_layout) -> UInt32? {
    guard last + 1 < UInt32(PYTHON_CHAIN_LAYOUT_SLOTS) else { return nil }
    last += 1
    unsafe table[Int(last)] = layout
    unsafe caduceus_store_shared(current, UInt64(last))
    return last
  }

  /// From now on no layout is known.
  func forget() { unsafe caduceus_store_shared(current, 0) }

  /// The slot in force, 0 for none, and its layout.
  var inForce: (slot: UInt32, layout: UnsafeRawPointer) {
    let slot = unsafe UInt32(caduceus_load_shared(current))
    return unsafe (slot, UnsafeRawPointer(table + Int(slot)))
  }
}
