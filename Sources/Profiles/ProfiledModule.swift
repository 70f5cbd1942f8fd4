// The files whose code was sampled, and where the process had them: what lets names be found later, or elsewhere.

/// A program, a shared object or an area without a file, in which sampled functions lie.
public struct ProfiledModule: Sendable, Hashable {
  /// One executable mapping of the module.
  public struct Range: Sendable, Hashable {
    /// First address.
    public var start: UInt64
    /// First address after it.
    public var limit: UInt64
    /// Offset in the file of the byte at `start`, in bytes; 0 where there is no file.
    public var fileOffset: UInt64

    /// A mapping from its parts.
    public init(start: UInt64, limit: UInt64, fileOffset: UInt64) {
      self.start = start
      self.limit = limit
      self.fileOffset = fileOffset
    }
  }

  /// The `file` of the frames that lie in it: a full path, `[vdso]`, or empty for memory without a name.
  public var path: StringID
  /// NT_GNU_BUILD_ID in lower-case hexadecimal; empty where the file has none.
  public var buildID: String
  /// Where it was mapped executable when its functions were sampled, in the order in which they were first seen.
  public var ranges: [Range]

  /// A module from its parts.
  public init(path: StringID, buildID: String, ranges: [Range]) {
    self.path = path
    self.buildID = buildID
    self.ranges = ranges
  }
}
