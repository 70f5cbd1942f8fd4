// The kernel's functions: /proc/kallsyms, read once.

/// Which kernel function is at an address.
public struct KernelSymbols {
  private struct Entry {
    var address: UInt64
    var name: UInt32
    var nameLength: UInt16
    var module: UInt16
  }

  /// kallsyms gives no sizes: past its last symbol nothing is named but this many bytes.
  private static let lastSymbolSize: UInt64 = 4096

  private var entries: [Entry] = []
  private let text: [UInt8]
  /// Module names; the first one is the kernel itself.
  private var modules: [String] = [""]

  /// Whether the kernel hid its addresses (kptr_restrict, or CAP_SYSLOG is missing): there are no symbols then.
  public private(set) var isRestricted = false

  /// Reads /proc/kallsyms, which takes the kernel a tenth of a second to write: do it once, when first needed.
  public init() throws(ProcessReadError) {
    self.init(text: try ProcFile.read("/proc/kallsyms", limit: 128 << 20))
  }

  /// The symbols in the text of a kallsyms file; lines that are not of the documented form are left out.
  public init(text: [UInt8]) {
    self.text = text
    var cursor = TextCursor(text)
    var moduleNumbers: [ArraySlice<UInt8>: UInt16] = [:]
    var sawZero = false
    entries.reserveCapacity(text.count / 80)
    while !cursor.isAtEnd {
      if let address = cursor.hexadecimal(), cursor.skip(0x20), let kind = cursor.current {
        cursor.position += 1
        cursor.skipBlanks()
        let name = cursor.word()
        // t, T, w, W
        if kind | 0x20 == 0x74 || kind | 0x20 == 0x77, !name.isEmpty {
          cursor.skipBlanks()
          sawZero = sawZero || address == 0
          let module = module(cursor.word(), &moduleNumbers)
          if address != 0, let start = UInt32(exactly: name.lowerBound),
            let length = UInt16(exactly: name.count)
          {
            entries.append(Entry(address: address, name: start, nameLength: length, module: module))
          }
        }
      }
      _ = cursor.line()
    }
    entries.sort { ($0.address, $0.name) < ($1.address, $1.name) }
    isRestricted = entries.isEmpty && sawZero
  }

  /// How many functions it has.
  public var count: Int { entries.count }

  /// The function at an address and its kernel module (nil for the kernel itself; `bpf` for eBPF programs).
  public func lookup(_ address: UInt64) -> (name: String, module: String?)? {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low &+ high) >> 1
      if entries[middle].address <= address { low = middle &+ 1 } else { high = middle }
    }
    guard low > 0, low < entries.count || address - entries[low - 1].address < KernelSymbols.lastSymbolSize
    else {
      return nil
    }
    var index = low - 1
    // Of several names for one address the first in the kernel's own order.
    while index > 0, entries[index - 1].address == entries[index].address { index -= 1 }
    let entry = entries[index]
    let start = Int(entry.name)
    let name = String(decoding: text[start..<start + Int(entry.nameLength)], as: UTF8.self)
    return (name, entry.module == 0 ? nil : modules[Int(entry.module)])
  }

  /// The number of a module that is written as `[name]`.
  private mutating func module(_ range: Range<Int>, _ numbers: inout [ArraySlice<UInt8>: UInt16]) -> UInt16 {
    guard range.count > 2 else { return 0 }
    let name = text[(range.lowerBound + 1)..<(range.upperBound - 1)]
    if let number = numbers[name] { return number }
    guard let number = UInt16(exactly: modules.count) else { return 0 }
    numbers[name] = number
    modules.append(String(decoding: name, as: UTF8.self))
    return number
  }
}
