// Writes a finished file so that nobody ever sees half of it.

import Glibc

/// Who shall own a written file.
public struct FileOwner: Sendable, Equatable {
  /// User id.
  public var uid: UInt32
  /// Group id.
  public var gid: UInt32

  /// An owner by ids.
  public init(uid: UInt32, gid: UInt32) {
    self.uid = uid
    self.gid = gid
  }
}

/// Why a file could not be written.
public struct ExportError: Error, Equatable, CustomStringConvertible {
  /// What was tried, as in "cannot `create` the file".
  public let operation: String
  /// The file that was asked for.
  public let path: String
  /// The system's error number.
  public let code: Int32

  /// One sentence for the user, with the system's own reason.
  public var description: String {
    let reason = unsafe String(cString: strerror(code))
    return "cannot \(operation) \(printable(path)): \(reason)"
  }
}

/// Writing of whole files.
public enum ExportedFile {
  /// Writes `bytes` to a new file beside `path` and renames it to `path`; on failure nothing is left behind.
  ///
  /// The mode of the file follows the umask. `owner` is set on the open file, before it gets its name, so
  /// that a root process follows no link another user could put there. A regular file at `path` is replaced.
  /// Where `path` is a link, a device or a pipe (`/dev/stdout`), that is opened and written in place, and
  /// keeps its owner.
  public static func write(
    _ bytes: [UInt8], to path: String, owner: FileOwner? = nil
  ) throws(ExportError) {
    var status = stat()
    let exists = unsafe lstat(path, &status) == 0
    switch exists ? status.st_mode & S_IFMT : S_IFREG {
    case S_IFREG: try replace(path, bytes, owner)
    case S_IFDIR: throw ExportError(operation: "write", path: path, code: EISDIR)
    default:
      let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
      if descriptor < 0 { throw ExportError(operation: "open", path: path, code: errno) }
      try fill(descriptor, bytes, nil, path)
    }
  }

  private static func replace(_ path: String, _ bytes: [UInt8], _ owner: FileOwner?) throws(ExportError) {
    let (descriptor, temporary) = try create(beside: path)
    do throws(ExportError) {
      try fill(descriptor, bytes, owner, path)
      if unsafe rename(temporary, path) != 0 {
        throw ExportError(operation: "rename the finished file to", path: path, code: errno)
      }
    } catch {
      unsafe unlink(temporary)
      throw error
    }
  }

  /// A new file in the folder of `path`; its name does not grow with that of `path`.
  private static func create(beside path: String) throws(ExportError) -> (descriptor: Int32, path: String) {
    let folder = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? ""
    for attempt in 0..<100 {
      let name = "\(folder).caduceus-\(getpid())-\(attempt).tmp"
      let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
      if descriptor >= 0 { return (descriptor, name) }
      if errno != EEXIST { break }
    }
    throw ExportError(operation: "create", path: path, code: errno)
  }

  /// Writes everything and closes the file, also on failure.
  private static func fill(
    _ descriptor: Int32, _ bytes: [UInt8], _ owner: FileOwner?, _ path: String
  ) throws(ExportError) {
    var code: Int32 = 0
    if let owner, fchown(descriptor, owner.uid, owner.gid) != 0 { code = errno }
    var written = 0
    while code == 0, written < bytes.count {
      let result = unsafe bytes.withUnsafeBytes { all in
        let rest = unsafe UnsafeRawBufferPointer(rebasing: all[written...])
        return unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
      }
      if result >= 0 {
        written += result
      } else if errno != EINTR {
        code = errno
      }
    }
    if close(descriptor) != 0, code == 0, errno != EINTR { code = errno }
    if code != 0 { throw ExportError(operation: "write", path: path, code: code) }
  }
}
