// Which symbols of a table matter to some addresses: of a library with a million functions a profile needs a hundred.

internal import CLibelf

/// The symbols that may decide which function is at one of some addresses: those that cover it, the nearest ones
/// before and behind it, and what covers the nearest one before. The rules of `SymbolTableBuilder` give the same
/// functions at these addresses with nothing else.
struct NearbySymbols {
  /// The addresses and the starts of the nearest symbols before them, sorted.
  private var points: [UInt64] = []
  /// The starts of the nearest symbols behind.
  private var followers: Set<UInt64> = []

  /// Of a table's functions. `addresses` are sorted.
  init(_ addresses: [UInt64], in table: [Elf64_Sym], isFunction: (Elf64_Sym) -> Bool) {
    var before = [UInt64](repeating: 0, count: addresses.count)
    var behind = [UInt64](repeating: .max, count: addresses.count)
    for symbol in table where isFunction(symbol) {
      let next = Self.lowerBound(addresses, symbol.st_value)
      if next < addresses.count { before[next] = max(before[next], symbol.st_value) }
      if next > 0 { behind[next - 1] = min(behind[next - 1], symbol.st_value) }
    }
    for index in addresses.indices.dropFirst() { before[index] = max(before[index], before[index - 1]) }
    for index in addresses.indices.dropLast().reversed() {
      behind[index] = min(behind[index], behind[index + 1])
    }
    points = (addresses + before).sorted()
    followers = Set(behind)
  }

  func contains(_ symbol: Elf64_Sym) -> Bool {
    let start = symbol.st_value
    if followers.contains(start) { return true }
    let next = Self.lowerBound(points, start)
    return next < points.count && points[next] - start < max(symbol.st_size, 1)
  }

  /// Position of the first address that is not below `address`.
  static func lowerBound(_ sorted: [UInt64], _ address: UInt64) -> Int {
    var low = 0
    var high = sorted.count
    while low < high {
      let middle = (low &+ high) >> 1
      if sorted[middle] < address { low = middle &+ 1 } else { high = middle }
    }
    return low
  }
}
