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
    /// The first address behind it in the target.
    var end: UInt64 { function.end &+ bias }
  }

  let addressSpace: AddressSpace
  /// For code that has no file (trampolines, code made at run time); nil in a replay.
  let memory: (any ByteSource)?
  /// Files whose unwind information is treated as if it was not there: what is found without it can be compared.
  var isHidden: ((ElfImage) -> Bool)?
  private var tables: [ObjectIdentifier: UnwindTable] = [:]
  /// The image libunwind is reading from, and its bias.
  private var current: (image: ElfImage, bias: UInt64)?

  init(addressSpace: AddressSpace, memory: (any ByteSource)?) {
    self.addressSpace = addressSpace
    self.memory = memory
  }

  /// The function with unwind information that covers an address.
  func function(covering address: UInt64) -> Located? {
    guard let location = addressSpace.location(of: address), let image = location.image,
      isHidden?(image) != true, let function = table(of: image).function(covering: location.virtualAddress)
    else { return nil }
    return Located(image: image, bias: location.bias, function: function)
  }

  private func table(of image: ElfImage) -> UnwindTable {
    if let known = tables[ObjectIdentifier(image)] { return known }
    let table = UnwindTable(image: image)
    tables[ObjectIdentifier(image)] = table
    return table
  }

  /// Where the function at an address begins and ends, by its unwind information or else by the symbols. `isLabel`:
  /// the symbol has no size, so that it may stand anywhere in a function.
  func functionExtent(at address: UInt64) -> (start: UInt64, end: UInt64, isLabel: Bool)? {
    if let located = function(covering: address) { return (located.start, located.end, false) }
    guard let location = addressSpace.location(of: address),
      let symbol = location.module.symbols.lookup(location.virtualAddress)
    else { return nil }
    let start = symbol.virtualAddress &+ location.bias
    return (start, start &+ UInt64(symbol.size), symbol.isLabel)
  }

  /// Where the code of the function at an address ends at the latest: where the next known function begins, or the
  /// mapping ends.
  func functionEnd(after address: UInt64) -> UInt64 {
    guard let location = addressSpace.location(of: address) else { return address }
    var end = min(location.area.mapping.end, address &+ UInt64(FollowedFunction.limit) / 4)
    if let image = location.image {
      if isHidden?(image) != true, let next = table(of: image).start(after: location.virtualAddress) {
        end = min(end, next &+ location.bias)
      }
      if let next = location.module.symbols.start(after: location.virtualAddress) {
        end = min(end, next &+ location.bias)
      }
    }
    return end
  }

  /// Whether a system call's instruction ends at an address.
  func endsSystemCall(_ address: UInt64) -> Bool { code(at: address &- 2, count: 2) == [0x0f, 0x05] }

  /// Whether a stack that was made for a coroutine begins with a return to this address: nothing called it.
  func isContextEntry(_ address: UInt64) -> Bool {
    guard let bytes = code(at: address &- 3, count: 15) else { return false }
    // glibc, sysdeps/unix/sysv/linux/x86_64/__start_context.S: mov %rbx,%rsp; mov (%rsp),%rdi; test %rdi,%rdi; je
    let glibc: [UInt8] = [0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff, 0x74]
    if bytes[3...].starts(with: glibc) { return true }
    // Boost.Context, src/asm/make_x86_64_sysv_elf_gas.S: push %rbp; jmp *%rbx; then what is returned to: xor
    // %rdi,%rdi; call _exit; hlt
    let boost: [UInt8] = [0x55, 0xff, 0xe3, 0x48, 0x31, 0xff, 0xe8]
    return bytes.starts(with: boost) && bytes[11] == 0xf4
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
