// One file (or area without a file) that holds code, shared by all of its mappings.

/// Opens the files behind mappings: the live ones, or a recording.
public protocol ImageProvider: AnyObject {
  /// The file behind a mapping; nil where there is none, or it cannot be opened, or is no ELF image we read.
  func image(for mapping: Mapping) -> ElfImage?
  /// The separate debug file with the image's build-id; nil where there is none.
  func debugImage(for image: ElfImage) -> ElfImage?
  /// The functions behind a mapping where they are known without its file's own tables (a recording keeps only the
  /// ones that were looked up); else nil.
  func symbols(for mapping: Mapping) -> SymbolTable?
  /// What the debug information says of the languages behind a mapping where that is known without reading it; else
  /// nil.
  func languages(for mapping: Mapping) -> DebugLanguages?
  /// Why the file that was asked for last could not be had; nil where it could, and where that is not known.
  var lastProblem: FileProblem? { get }
}

/// Why the file behind a mapping could not be had.
public enum FileProblem: Sendable {
  /// There is no way to it any more: unmapped and deleted, or replaced.
  case gone
  /// Too many files are open.
  case tooManyOpenFiles
}

extension ImageProvider {
  /// No debug files.
  public func debugImage(for image: ElfImage) -> ElfImage? { nil }
  /// Not known.
  public func symbols(for mapping: Mapping) -> SymbolTable? { nil }
  /// Not known.
  public func languages(for mapping: Mapping) -> DebugLanguages? { nil }
  /// Not known.
  public var lastProblem: FileProblem? { nil }
}

/// A file that is mapped executable, or anonymous memory with code in it. It has no address of its own: where
/// it is mapped is in `CodeLocation`, so that dlclose and dlopen again keep what was read from it.
public final class Module {
  /// What makes two mappings one module.
  public struct Key: Hashable, Sendable {
    /// Device of the file, as /proc/PID/maps says it; 0 where there is no file.
    public let deviceMajor: UInt32
    /// Device of the file, as /proc/PID/maps says it; 0 where there is no file.
    public let deviceMinor: UInt32
    /// Inode of the file; 0 where there is no file.
    public let inode: UInt64
    /// Path without ` (deleted)`; empty for anonymous memory.
    public let path: String

    /// The key of a mapping's module.
    public init(_ mapping: Mapping) {
      deviceMajor = mapping.deviceMajor
      deviceMinor = mapping.deviceMinor
      inode = mapping.inode
      path = mapping.filePath
    }

    init(deviceMajor: UInt32, deviceMinor: UInt32, inode: UInt64, path: String) {
      self.deviceMajor = deviceMajor
      self.deviceMinor = deviceMinor
      self.inode = inode
      self.path = path
    }
  }

  /// Identity, the same in every process of a run.
  public let key: Key
  /// Base name of the path; `[vdso]` and the like as they are; `[anonymous]` where there is no name.
  public let displayName: String
  /// Whether there is a file (or the vDSO) to read, so that a missing image is a failure.
  public let isFileBacked: Bool

  private let mapping: Mapping
  private let provider: any ImageProvider

  init(_ mapping: Mapping, provider: any ImageProvider) {
    key = Key(mapping)
    isFileBacked = mapping.hasFile || mapping.path == "[vdso]"
    if key.path.isEmpty {
      displayName = "[anonymous]"
    } else if key.path.utf8.first == 0x2F, let slash = key.path.utf8.lastIndex(of: 0x2F) {
      displayName = String(key.path[key.path.utf8.index(after: slash)...])
    } else {
      displayName = key.path
    }
    self.mapping = mapping
    self.provider = provider
  }

  /// Path without ` (deleted)`; empty for anonymous memory.
  public var path: String { key.path }

  /// The ELF image, opened when it is first asked for; nil where there is none or it cannot be read.
  public private(set) lazy var image: ElfImage? = {
    wasOpened = true
    guard isFileBacked else { return nil }
    let image = provider.image(for: mapping)
    if image == nil { problem = provider.lastProblem }
    return image
  }()

  /// Whether `image` has been asked for: from then on the file is held open.
  public private(set) var wasOpened = false
  /// Why there is no image although there is a file, once `image` was asked for.
  public private(set) var problem: FileProblem?

  /// The separate debug file, found by build-id when it is first asked for.
  public private(set) lazy var debugImage: ElfImage? = image.flatMap { provider.debugImage(for: $0) }

  /// The functions of the image and its debug file, read when they are first asked for.
  public private(set) lazy var symbols: SymbolTable =
    provider.symbols(for: mapping)
    ?? image.map { image in
      SymbolTable(image: image, debugImage: image.hasFullSymbols ? nil : debugImage)
    } ?? SymbolTable()

  /// The functions at some virtual addresses alone, which are sorted; not cached. Lean also where the file has hundreds
  /// of megabytes of symbols, but not quick: not while samples wait.
  public func symbols(at addresses: [UInt64]) -> SymbolTable {
    provider.symbols(for: mapping)
      ?? image.map { image in
        SymbolTable(image: image, debugImage: image.hasFullSymbols ? nil : debugImage, at: addresses)
      } ?? SymbolTable()
  }

  /// The languages of the functions by the debug information of the image or of its debug file, read when they are
  /// first asked for: not while samples wait.
  public private(set) lazy var languages: DebugLanguages =
    provider.languages(for: mapping)
    ?? [image, image?.section(named: ".debug_info") == nil ? debugImage : nil].lazy.compactMap { $0 }
    .compactMap { DebugLanguages(image: $0) }.first ?? DebugLanguages()

  /// What its strings say of the languages in it, read when they are first asked for: not while samples wait.
  public private(set) lazy var traits: LanguageTraits =
    image.map { LanguageTraits(image: $0) } ?? LanguageTraits()

  /// A function, object or label by its exact name, in the image or its debug file; not cached.
  public func symbol(named name: String) -> ElfSymbol? {
    guard let image else { return nil }
    if let symbol = image.symbol(named: name) { return symbol }
    return image.hasFullSymbols ? nil : debugImage?.symbol(named: name)
  }
}
