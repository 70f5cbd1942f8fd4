// The bytes of a file, by pread and never mapped: a mapped file that its owner truncates kills the reader.

internal import Glibc

/// A bounded cache of file chunks, shared by the files of one process.
public final class ChunkCache {
  /// Bytes per chunk.
  public static let chunkSize = 64 << 10

  private struct Key: Hashable {
    var file: UInt64
    var chunk: UInt64
  }

  private struct Slot {
    var key: Key
    var bytes: [UInt8]
    var wasUsed: Bool
  }

  private let capacity: Int
  private var slots: [Slot] = []
  private var index: [Key: Int] = [:]
  private var hand = 0
  private var lastFile: UInt64 = 0

  /// A cache of at most `capacity` chunks (64 KiB each); the least recently used ones go first, roughly.
  public init(capacity: Int = 128) { self.capacity = max(1, capacity) }

  func newFile() -> UInt64 {
    lastFile += 1
    return lastFile
  }

  /// The chunk, loaded where it is not there yet; shorter than a whole one at the end of the file.
  func chunk(_ number: UInt64, of file: UInt64, load: () -> [UInt8]?) -> [UInt8]? {
    let key = Key(file: file, chunk: number)
    if let slot = index[key] {
      slots[slot].wasUsed = true
      return slots[slot].bytes
    }
    guard let bytes = load() else { return nil }
    let slot = freeSlot()
    let entry = Slot(key: key, bytes: bytes, wasUsed: true)
    if slot < slots.count {
      index[slots[slot].key] = nil
      slots[slot] = entry
    } else {
      slots.append(entry)
    }
    index[key] = slot
    return bytes
  }

  /// The clock algorithm: one round of grace for a chunk that was used since the hand last passed.
  private func freeSlot() -> Int {
    guard slots.count >= capacity else { return slots.count }
    while true {
      hand = (hand + 1) % slots.count
      guard slots[hand].wasUsed else { return hand }
      slots[hand].wasUsed = false
    }
  }
}

/// O_PATH of open(2), which Swift does not import.
private let openPathOnly: Int32 = 0o10_000_000

/// A regular file's bytes, by offset.
public final class FileBytes: ByteSource {
  /// Bytes in the file when it was opened.
  public let size: UInt64
  /// Device of the file as stat(2) says it (which may differ from /proc/PID/maps on overlayfs and btrfs).
  public let device: (major: UInt32, minor: UInt32)
  /// Inode of the file.
  public let inode: UInt64
  private let file: FileDescriptor
  private let cache: ChunkCache
  private let cacheKey: UInt64

  /// Opens a regular file; nil where it cannot be opened or is anything else (devices are never opened).
  public init?(path: String, cache: ChunkCache = ChunkCache(capacity: 8)) {
    // A first descriptor that cannot be read from: opening a device or a FIFO could have effects.
    guard let place = FileDescriptor(opening: path, flags: openPathOnly) else { return nil }
    var status = stat()
    guard unsafe fstat(place.raw, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size >= 0,
      let file = FileDescriptor(opening: "/proc/self/fd/\(place.raw)", flags: O_NOCTTY)
    else { return nil }
    self.file = file
    size = UInt64(status.st_size)
    inode = UInt64(status.st_ino)
    device = FileBytes.deviceNumbers(UInt64(status.st_dev))
    self.cache = cache
    cacheKey = cache.newFile()
  }

  /// Fills `buffer` with the bytes at an offset; false where any lies past the end of the file.
  public func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard buffer.count > 0 else { return true }
    let (end, overflow) = address.addingReportingOverflow(UInt64(buffer.count))
    guard !overflow, end <= UInt64(Int64.max) else { return false }
    if buffer.count >= ChunkCache.chunkSize {
      return unsafe readDirectly(address, into: buffer) == buffer.count
    }
    var done = 0
    while done < buffer.count {
      let at = address + UInt64(done)
      let number = at / UInt64(ChunkCache.chunkSize)
      let skip = Int(at % UInt64(ChunkCache.chunkSize))
      guard let chunk = cache.chunk(number, of: cacheKey, load: { loadChunk(number) }), skip < chunk.count
      else { return false }
      let count = min(buffer.count - done, chunk.count - skip)
      unsafe chunk.withUnsafeBytes { bytes in
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
        unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[skip..<skip + count]))
      }
      done += count
    }
    return true
  }

  private func loadChunk(_ number: UInt64) -> [UInt8]? {
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: ChunkCache.chunkSize) { buffer, count in
      count = unsafe readDirectly(
        number * UInt64(ChunkCache.chunkSize), into: UnsafeMutableRawBufferPointer(buffer))
    }
    return bytes.isEmpty ? nil : bytes
  }

  /// Bytes read: fewer than asked only at the end of the file or on an error.
  private func readDirectly(_ offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Int {
    var done = 0
    while done < buffer.count, let base = buffer.baseAddress {
      let count = unsafe pread(file.raw, base + done, buffer.count - done, off_t(offset) + off_t(done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      done += count
    }
    return done
  }

  /// glibc's major() and minor() are macros that Swift does not import.
  static func deviceNumbers(_ device: UInt64) -> (major: UInt32, minor: UInt32) {
    let major = ((device >> 8) & 0xFFF) | ((device >> 32) & 0xFFFF_F000)
    let minor = (device & 0xFF) | ((device >> 12) & 0xFFFF_FF00)
    return (UInt32(truncatingIfNeeded: major), UInt32(truncatingIfNeeded: minor))
  }
}

/// Opens the file behind a mapping of another process.
public enum TargetFile {
  /// The file that is mapped there, deleted or in another mount namespace as it may be.
  ///
  /// 1. /proc/PID/map_files/START-END is the mapped file itself (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE).
  /// 2. The mapping's path under /proc/PID/root, then as we see it ourselves (the kernel writes paths as seen
  ///    from the reader's root). A path may name another file by now, so the inode must be the mapping's.
  ///    The device should be too, but stat(2) and /proc/PID/maps name different devices for one file on
  ///    overlayfs and btrfs: with another device the file is accepted when the mapping's offset lies inside
  ///    of it. Readers that know the build-id compare it.
  public static func open(_ mapping: Mapping, of pid: Int32, cache: ChunkCache) -> FileBytes? {
    guard mapping.hasFile else { return nil }
    let range = String(mapping.start, radix: 16) + "-" + String(mapping.end, radix: 16)
    if let file = FileBytes(path: "/proc/\(pid)/map_files/\(range)", cache: cache), isSameInode(file, mapping)
    {
      return file
    }
    for path in ["/proc/\(pid)/root" + mapping.filePath, mapping.filePath] {
      guard let file = FileBytes(path: path, cache: cache), isSameInode(file, mapping) else { continue }
      if file.device == (mapping.deviceMajor, mapping.deviceMinor) || mapping.fileOffset < file.size {
        return file
      }
    }
    return nil
  }

  /// overlayfs may number the file system in the top bits of stat(2)'s inode; /proc/PID/maps is without them.
  private static func isSameInode(_ file: FileBytes, _ mapping: Mapping) -> Bool {
    (file.inode ^ mapping.inode) << 8 == 0
  }
}
