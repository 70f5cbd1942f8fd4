// The unwind information of everything that is mapped: from an address to its FDE and its bytes.

import ProcessImages
import Snapshots

/// Finds functions and reads file bytes for an address space. Not thread safe.
final class CodeMap {
  /// A function at its place in the target's memory.
  struct Located {
    let image: ElfImage
    let bias: UInt64
    let function: UnwindTable.Function
    /// The function's first address in the target.
    var start: UInt64 { function.start &+ bias }
  }

  let addressSpace: AddressSpace
  /// For code that has no file (trampolines, code made at run time); nil in a replay.
  let memory: (any ByteSource)?
  private var tables: [ObjectIdentifier: UnwindTable] = [:]
  /// The image libunwind is reading from, and its bias.
  private var current: (image: ElfImage, bias: UInt64)?

  init(addressSpace: AddressSpace, memory: (any ByteSource)?) {
    self.addressSpace = addressSpace
    self.memory = memory
  }

  /// The function with unwind information that covers an address.
  func function(covering address: UInt64) -> Located? {
    guard let location = addressSpace.location(of: address), let image = location.image else { return nil }
    let table: UnwindTable
    if let known = tables[ObjectIdentifier(image)] {
      table = known
    } else {
      table = UnwindTable(image: image)
      tables[ObjectIdentifier(image)] = table
    }
    guard let function = table.function(covering: location.virtualAddress) else { return nil }
    return Located(image: image, bias: location.bias, function: function)
  }

  /// Makes `located` the image that `readWord` reads.
  func select(_ located: Located) { current = (located.image, located.bias) }

  /// An aligned word of the selected image, at the target's address. The end of a segment may cut a word: what
  /// lies behind it reads as zero.
  func readWord(_ address: UInt64) -> UInt64? {
    guard let current else { return nil }
    let place = address &- current.bias
    if let word = current.image.virtualAddresses.load(place, as: UInt64.self) { return word }
    var word: UInt64 = 0
    var any = false
    for index in 0..<8 {
      guard let byte = current.image.virtualAddresses.load(place &+ UInt64(index), as: UInt8.self) else {
        continue
      }
      any = true
      word |= UInt64(byte) << UInt64(index * 8)
    }
    return any ? word : nil
  }

  /// Bytes of code at the target's address, from its file or, where it has none, from memory.
  func code(at address: UInt64, count: Int) -> [UInt8]? {
    guard let location = addressSpace.location(of: address) else { return nil }
    if let image = location.image {
      return image.virtualAddresses.bytes(location.virtualAddress, count: count)
    }
    return memory?.bytes(address, count: count)
  }
}
