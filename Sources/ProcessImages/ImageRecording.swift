// A process's ELF files in a golden capture: every byte of them that was read, and nothing else.

/// Opens files through another provider and remembers what is read from them.
public final class RecordingImages: ImageProvider {
  private struct Opened {
    var size: UInt64
    var bytes: RecordingByteSource
  }

  private let provider: any ImageProvider
  private var files: [Module.Key: Opened] = [:]
  private var debugFiles: [[UInt8]: Opened] = [:]

  /// Records what `provider` opens.
  public init(_ provider: any ImageProvider) { self.provider = provider }

  /// The provider's image, recorded. One that is opened again is recorded together with the first.
  public func image(for mapping: Mapping) -> ElfImage? {
    guard let image = provider.image(for: mapping) else { return nil }
    let key = Module.Key(mapping)
    let opened = files[key] ?? Opened(size: image.size, bytes: RecordingByteSource(image.bytes))
    files[key] = opened
    return try? ElfImage(bytes: opened.bytes, size: opened.size)
  }

  /// The provider's debug image, recorded.
  public func debugImage(for image: ElfImage) -> ElfImage? {
    guard !image.buildID.isEmpty, let debug = provider.debugImage(for: image) else { return nil }
    let opened =
      debugFiles[image.buildID] ?? Opened(size: debug.size, bytes: RecordingByteSource(debug.bytes))
    debugFiles[image.buildID] = opened
    return try? ElfImage(bytes: opened.bytes, size: opened.size)
  }

  /// What has been read so far.
  public var recorded: RecordedImages {
    RecordedImages(
      files: files.mapValues { ($0.size, $0.bytes.recorded) },
      debugFiles: debugFiles.mapValues { ($0.size, $0.bytes.recorded) })
  }
}

/// Serves recorded files; all others do not exist.
public final class RecordedImages: ImageProvider {
  typealias File = (size: UInt64, bytes: RecordedByteSource)

  private let files: [Module.Key: File]
  private let debugFiles: [[UInt8]: File]

  init(
    files: [Module.Key: File],
    debugFiles: [[UInt8]: File]
  ) {
    self.files = files
    self.debugFiles = debugFiles
  }

  /// The recorded file behind a mapping.
  public func image(for mapping: Mapping) -> ElfImage? {
    guard let file = files[Module.Key(mapping)] else { return nil }
    return try? ElfImage(bytes: file.bytes, size: file.size)
  }

  /// The recorded debug file with the image's build-id.
  public func debugImage(for image: ElfImage) -> ElfImage? {
    guard let file = debugFiles[image.buildID] else { return nil }
    return try? ElfImage(bytes: file.bytes, size: file.size)
  }

  /// The compact form; the same recording always gives the same bytes.
  public func serialized() -> [UInt8] {
    var writer = CompactWriter()
    writer.number(UInt64(files.count))
    for (key, file) in files.sorted(by: { ($0.key.path, $0.key.inode) < ($1.key.path, $1.key.inode) }) {
      writer.number(UInt64(key.deviceMajor))
      writer.number(UInt64(key.deviceMinor))
      writer.number(key.inode)
      writer.text(key.path)
      writer.number(file.size)
      file.bytes.write(to: &writer)
    }
    writer.number(UInt64(debugFiles.count))
    for (buildID, file) in debugFiles.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      writer.block(buildID)
      writer.number(file.size)
      file.bytes.write(to: &writer)
    }
    return writer.bytes
  }

  /// Reads the compact form.
  public init(serialized bytes: [UInt8]) throws(RecordingError) {
    var reader = CompactReader(bytes)
    var files: [Module.Key: File] = [:]
    for _ in 0..<(try reader.number()) {
      guard let major = UInt32(exactly: try reader.number()), let minor = UInt32(exactly: try reader.number())
      else {
        throw .malformed
      }
      let inode = try reader.number()
      let key = Module.Key(deviceMajor: major, deviceMinor: minor, inode: inode, path: try reader.text())
      let size = try reader.number()
      files[key] = (size, try RecordedByteSource(from: &reader))
    }
    var debugFiles: [[UInt8]: File] = [:]
    for _ in 0..<(try reader.number()) {
      let buildID = try reader.block()
      let size = try reader.number()
      debugFiles[buildID] = (size, try RecordedByteSource(from: &reader))
    }
    guard reader.isAtEnd else { throw .malformed }
    self.files = files
    self.debugFiles = debugFiles
  }
}
