// The ELF files of a running process, opened from wherever they can be reached.

internal import Glibc

/// Opens the files behind a live process's mappings. Each stays open as long as somebody holds its image: what is
/// deleted or unmapped meanwhile can still be read.
public final class LiveImages: ImageProvider {
  private let pid: Int32
  private let cache: ChunkCache
  private let limit: Int
  private let debugFolder: String
  private var opened = 0
  /// Why the last file could not be had.
  public private(set) var lastProblem: FileProblem?

  /// All files of the process share one cache. `limit`: files that are opened at most. `debugFolder`: where files of
  /// debug information lie.
  public init(
    pid: Int32, cache: ChunkCache = ChunkCache(), limit: Int = .max, debugFolder: String = "/usr/lib/debug"
  ) {
    self.pid = pid
    self.cache = cache
    self.limit = limit
    self.debugFolder = debugFolder
  }

  /// The file behind a mapping, or the vDSO.
  public func image(for mapping: Mapping) -> ElfImage? {
    lastProblem = nil
    if mapping.path == "[vdso]" { return LiveImages.vdso() }
    guard opened < limit else {
      lastProblem = .tooManyOpenFiles
      return nil
    }
    guard let file = TargetFile.open(mapping, of: pid, cache: cache) else {
      lastProblem = errno == EMFILE || errno == ENFILE ? .tooManyOpenFiles : .gone
      return nil
    }
    guard let image = try? ElfImage(bytes: file, size: file.size) else { return nil }
    opened += 1
    return image
  }

  /// .build-id/xx/rest.debug of the debug folder in the process's own root, then in ours; the build-id must be equal.
  public func debugImage(for image: ElfImage) -> ElfImage? {
    guard image.buildID.count >= 2 else { return nil }
    let name =
      ElfImage.hexadecimal(image.buildID[..<1]) + "/" + ElfImage.hexadecimal(image.buildID[1...]) + ".debug"
    for root in ["/proc/\(pid)/root", ""] {
      guard let file = FileBytes(path: root + debugFolder + "/.build-id/" + name, cache: cache),
        let debug = try? ElfImage(bytes: file, size: file.size), debug.buildID == image.buildID
      else { continue }
      return debug
    }
    return nil
  }

  /// The vDSO of the running kernel, copied from our own memory: the kernel maps the same one into every 64-bit
  /// process. Nil where the kernel has none.
  public static func vdso() -> ElfImage? {
    let own = getpid()
    guard let maps = try? ProcessMaps.read(own), let mapping = maps.first(where: { $0.path == "[vdso]" }),
      let bytes = ProcessMemory(pid: own).bytes(
        mapping.start, count: Int(clamping: mapping.end - mapping.start))
    else { return nil }
    return try? ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
  }
}
