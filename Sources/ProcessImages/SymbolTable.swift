// Which function is at an address: one sorted, packed table per module.

/// The functions of one module by virtual address. Never the nearest name: an address outside of every
/// symbol's bytes has none.
public struct SymbolTable {
  /// A function that was found. Its name is made when it is asked for: `SymbolTable.name(of:)`.
  public struct Symbol: Hashable, Sendable {
    /// First virtual address.
    public let virtualAddress: UInt64
    /// Bytes; never 0.
    public let size: UInt32
    /// True where the file does not say how large it is: it may be a label inside of a function.
    public let isLabel: Bool
    let nameOffset: UInt32
  }

  struct Entry {
    var start: UInt64
    var size: UInt32
    /// Offset among the names; the highest bit: `Symbol.isLabel`.
    var name: UInt32

    static let label: UInt32 = 1 << 31
  }

  /// By start; no two start at the same address.
  let entries: [Entry]
  /// For each entry the nearest earlier one that reaches over its start, or -1; empty where none does.
  let enclosing: [Int32]
  /// Names one after another, each with a 0 at its end.
  let names: [UInt8]

  /// A table without symbols.
  public init() {
    entries = []
    enclosing = []
    names = []
  }

  init(entries: [Entry], names: [UInt8]) {
    self.entries = entries
    self.names = names
    enclosing = SymbolTable.enclosing(entries)
  }

  /// The given functions, whose order does not matter and whose starts must differ.
  package init(functions: [(start: UInt64, size: UInt32, name: String)]) {
    var names: [UInt8] = []
    var entries: [Entry] = []
    for function in functions.sorted(by: { $0.start < $1.start }) {
      entries.append(Entry(start: function.start, size: function.size, name: UInt32(names.count)))
      names += [UInt8](function.name.utf8) + [0]
    }
    self.init(entries: entries, names: names)
  }

  /// How many functions it has.
  public var count: Int { entries.count }

  /// How many functions begin at or before an address.
  private func upperBound(_ virtualAddress: UInt64) -> Int {
    var low = 0
    var high = entries.count
    while low < high {
      let middle = (low &+ high) >> 1
      if entries[middle].start <= virtualAddress { low = middle &+ 1 } else { high = middle }
    }
    return low
  }

  /// Where the first function behind `virtualAddress` begins; nil where there is none.
  package func start(after virtualAddress: UInt64) -> UInt64? {
    let index = upperBound(virtualAddress)
    return index < entries.count ? entries[index].start : nil
  }

  /// The innermost function whose bytes include `virtualAddress`.
  public func lookup(_ virtualAddress: UInt64) -> Symbol? {
    var index = upperBound(virtualAddress) - 1
    while index >= 0 {
      let entry = entries[index]
      if virtualAddress - entry.start < UInt64(entry.size) {
        return Symbol(
          virtualAddress: entry.start, size: entry.size, isLabel: entry.name & Entry.label != 0,
          nameOffset: entry.name & ~Entry.label)
      }
      index = enclosing.isEmpty ? -1 : Int(enclosing[index])
    }
    return nil
  }

  /// The name as the file has it (mangled), without a version; `foo@plt` for a stub.
  public func name(of symbol: Symbol) -> String {
    let start = Int(symbol.nameOffset)
    guard start < names.count else { return "" }
    return String(decoding: names[start...].prefix { $0 != 0 }, as: UTF8.self)
  }

  /// The function at an address and how many bytes of it lie before the address.
  public func name(at virtualAddress: UInt64) -> (name: String, offset: UInt64)? {
    lookup(virtualAddress).map { (name(of: $0), virtualAddress - $0.virtualAddress) }
  }

  private static func enclosing(_ entries: [Entry]) -> [Int32] {
    var result = [Int32](repeating: -1, count: entries.count)
    var isNested = false
    for index in entries.indices.dropFirst() {
      let start = entries[index].start
      var candidate = index - 1
      while candidate >= 0, start - entries[candidate].start >= UInt64(entries[candidate].size) {
        candidate = Int(result[candidate])
      }
      result[index] = Int32(candidate)
      if candidate >= 0 { isNested = true }
    }
    return isNested ? result : []
  }
}
