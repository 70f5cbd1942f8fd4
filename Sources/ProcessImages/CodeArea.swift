// One executable mapping of a process, and finding the one that holds an address.

/// One executable mapping, or the part of it that is still there.
public final class CodeArea {
  /// What is mapped there.
  public let mapping: Mapping
  /// The file, or the memory without one.
  public let module: Module

  init(_ mapping: Mapping, _ module: Module) {
    self.mapping = mapping
    self.module = module
  }

  private var isPlaced = false
  private var knownBias: UInt64 = 0
  private var knownImage: ElfImage?

  /// The module's image; nil where it has none, or none of whose segments is mapped here. Opens the file when
  /// it is first asked for, as `bias` does.
  public var image: ElfImage? {
    if !isPlaced { place() }
    return knownImage
  }

  /// What this mapping adds to the module's virtual addresses, modulo 2^64.
  public var bias: UInt64 {
    if !isPlaced { place() }
    return knownBias
  }

  /// An address in the module's own terms: an ELF virtual address where there is an image, else an offset in
  /// the file, else (no file) the address itself.
  public func virtualAddress(_ address: UInt64) -> UInt64 { address &- bias }

  private func place() {
    if let image = module.image, let bias = image.bias(of: mapping) {
      knownImage = image
      knownBias = bias
    } else if mapping.hasFile {
      knownBias = mapping.start &- mapping.fileOffset
    }
    isPlaced = true
  }
}

/// Where an address lies: which module, and where that module was put.
public struct CodeLocation {
  /// The mapping that holds the address.
  public let area: CodeArea
  /// The address that was asked for.
  public let address: UInt64

  /// The module that is mapped there.
  public var module: Module { area.module }
  /// What this mapping adds to the module's virtual addresses, modulo 2^64.
  public var bias: UInt64 { area.bias }
  /// The module's image; nil where it has none, or none of whose segments is mapped here.
  public var image: ElfImage? { area.image }
  /// The address in the module's own terms; see `CodeArea.virtualAddress`.
  public var virtualAddress: UInt64 { area.virtualAddress(address) }
}

/// Executable mappings in the order of their addresses. Its own type, so that a search from the class that keeps it
/// is one access to that class.
struct AreaTable {
  private(set) var areas: [CodeArea] = []
  /// Apart from `areas`: the only memory that the search touches.
  private var starts: [UInt64] = []
  private var ends: [UInt64] = []

  init() {}

  /// Of areas in rising order that do not overlap.
  init(_ areas: [CodeArea]) {
    self.areas = areas
    starts = areas.map(\.mapping.start)
    ends = areas.map(\.mapping.end)
  }

  func area(containing address: UInt64) -> CodeArea? {
    let index = upperBound(address) - 1
    guard index >= 0, address < ends[index] else { return nil }
    return areas[index]
  }

  /// Nothing may overlap it.
  mutating func insert(_ area: CodeArea) {
    let at = upperBound(area.mapping.start)
    areas.insert(area, at: at)
    starts.insert(area.mapping.start, at: at)
    ends.insert(area.mapping.end, at: at)
  }

  /// Takes a range out; parts of areas that stick out of it stay.
  mutating func remove(_ start: UInt64, _ end: UInt64) {
    var first = upperBound(start)
    if first > 0, ends[first - 1] > start { first -= 1 }
    var last = first
    var rest: [CodeArea] = []
    while last < areas.count, starts[last] < end {
      let area = areas[last]
      if area.mapping.start < start {
        var left = area.mapping
        left.end = start
        rest.append(CodeArea(left, area.module))
      }
      if area.mapping.end > end {
        var right = area.mapping
        right.start = end
        if right.hasFile { right.fileOffset &+= end - area.mapping.start }
        rest.append(CodeArea(right, area.module))
      }
      last += 1
    }
    areas.replaceSubrange(first..<last, with: rest)
    starts.replaceSubrange(first..<last, with: rest.map(\.mapping.start))
    ends.replaceSubrange(first..<last, with: rest.map(\.mapping.end))
  }

  /// How many areas start at or before `address`.
  private func upperBound(_ address: UInt64) -> Int {
    var low = 0
    var high = starts.count
    while low < high {
      let middle = (low &+ high) >> 1
      if starts[middle] <= address { low = middle &+ 1 } else { high = middle }
    }
    return low
  }
}
