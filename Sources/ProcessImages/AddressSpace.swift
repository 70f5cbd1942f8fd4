// The executable mappings of one process, kept current by its side-band records.

/// Which module is mapped where. Not thread safe.
public final class AddressSpace {
  /// Mappings beyond this are not followed (the kernel allows a process 65,530 by default).
  public static let maximumMappings = 1 << 17

  private let provider: any ImageProvider
  private var table = AreaTable()
  private var modules: [Module.Key: Module] = [:]

  /// An address space with these mappings; those that are not executable are left out.
  public init(mappings: [Mapping] = [], provider: any ImageProvider) {
    self.provider = provider
    replaceAll(mappings)
  }

  /// The address space of a process that runs, with its files.
  public convenience init(
    pid: Int32, cache: ChunkCache = ChunkCache()
  ) throws(ProcessReadError) {
    self.init(mappings: try ProcessMaps.read(pid), provider: LiveImages(pid: pid, cache: cache))
  }

  private init(copying other: AddressSpace) {
    provider = other.provider
    table = other.table
    modules = other.modules
  }

  /// The address space of a forked child: the same mappings and the same modules.
  public func forked() -> AddressSpace { AddressSpace(copying: self) }

  /// The executable mappings, by address.
  public var areas: [CodeArea] { table.areas }

  /// The executable mappings, by address.
  public var mappings: [Mapping] { areas.map(\.mapping) }

  /// Each module that has a mapping, by the address of its first one.
  public var mappedModules: [Module] {
    var seen: Set<Module.Key> = []
    return areas.compactMap { seen.insert($0.module.key).inserted ? $0.module : nil }
  }

  /// Changes whenever the mappings do: what was looked up before holds as long as it is the same.
  public private(set) var generation: UInt64 = 0

  /// The executable mapping at an address; nil where none is known. The quick one, for each frame of a stack.
  public func area(containing address: UInt64) -> CodeArea? { table.area(containing: address) }

  /// Where an address lies; nil where no executable mapping is known to be.
  public func location(of address: UInt64) -> CodeLocation? {
    area(containing: address).map { CodeLocation(area: $0, address: address) }
  }

  /// The module at an address; nil where no executable mapping is known to be.
  public func module(containing address: UInt64) -> Module? { area(containing: address)?.module }

  /// Applies an MMAP2 record, or a line of /proc/PID/maps: what overlaps is replaced, parts of it that stick
  /// out stay. A mapping that is not executable only removes.
  public func apply(_ mapping: Mapping) {
    guard mapping.start < mapping.end else { return }
    guard area(containing: mapping.start)?.mapping != mapping else { return }
    table.remove(mapping.start, mapping.end)
    generation += 1
    guard mapping.isExecutable, table.areas.count < AddressSpace.maximumMappings else { return }
    table.insert(CodeArea(mapping, module(of: mapping)))
  }

  /// Replaces everything by mappings that were read anew; modules that are still there are kept. For after an
  /// exec or a loss of side-band records.
  public func replaceAll(_ mappings: [Mapping]) {
    var seen: UInt64 = 0
    var fresh: [CodeArea] = []
    for mapping in mappings where mapping.isExecutable && mapping.start < mapping.end {
      guard mapping.start >= seen, fresh.count < AddressSpace.maximumMappings else { continue }
      seen = mapping.end
      fresh.append(CodeArea(mapping, module(of: mapping)))
    }
    table = AreaTable(fresh)
    generation += 1
  }

  private func module(of mapping: Mapping) -> Module {
    let key = Module.Key(mapping)
    if let module = modules[key] { return module }
    if modules.count >= AddressSpace.maximumMappings {
      // A process that maps ever new files: only what is mapped now is kept.
      modules = Dictionary(areas.map { ($0.module.key, $0.module) }, uniquingKeysWith: { one, _ in one })
    }
    let module = Module(mapping, provider: provider)
    modules[key] = module
    return module
  }
}
