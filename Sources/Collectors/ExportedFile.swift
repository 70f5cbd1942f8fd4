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

  /// A failure of one step.
  public init(operation: String, path: String, code: Int32) {
    self.operation = operation
    self.path = path
    self.code = code
  }

  /// One sentence for the user, with the system's own reason.
  public var description: String {
    let reason = unsafe String(cString: strerror(code))
    return "cannot \(operation) \(printable(path)): \(reason)"
  }
}

/// Writing of whole files.
public enum ExportedFile {
  /// Writes `bytes` to a new file that gets the name `path` when it is complete; on failure nothing is left behind.
  ///
  /// The mode of the file follows the umask. `owner` is set on the open file, before it gets its name, so
  /// that a root process follows no link another user could put there. A regular file at `path` is replaced,
  /// unless `replacing` is false: then it is an error (EEXIST). Where `path` is a link, a device or a pipe
  /// (`/dev/stdout`), that is opened and written in place, and keeps its owner. What is our own standard output or
  /// error is not opened again: it may belong to somebody else than who has the rights to files now.
  public static func write(
    _ bytes: [UInt8], to path: String, owner: FileOwner? = nil, replacing: Bool = true
  ) throws(ExportError) {
    var status = stat()
    let exists = unsafe lstat(path, &status) == 0
    if exists && !replacing { throw ExportError(operation: "create", path: path, code: EEXIST) }
    switch exists ? status.st_mode & S_IFMT : S_IFREG {
    case S_IFREG: try create(path, bytes, owner, replacing: replacing)
    case S_IFDIR: throw ExportError(operation: "write", path: path, code: EISDIR)
    default:
      let descriptor =
        ownDescriptor(path).map { fcntl($0, F_DUPFD_CLOEXEC, 0) }
        ?? (unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666))
      if descriptor < 0 { throw ExportError(operation: "open", path: path, code: errno) }
      defer { close(descriptor) }
      try fill(descriptor, bytes, nil, path)
    }
  }

  /// Standard output or error, where `path` leads to the same; nil otherwise.
  public static func ownDescriptor(_ path: String) -> Int32? {
    var named = stat()
    guard unsafe stat(path, &named) == 0 else { return nil }
    return [STDOUT_FILENO, STDERR_FILENO].first { descriptor in
      var own = stat()
      return unsafe fstat(descriptor, &own) == 0 && own.st_dev == named.st_dev && own.st_ino == named.st_ino
    }
  }

  private static func create(_ path: String, _ bytes: [UInt8], _ owner: FileOwner?, replacing: Bool)
    throws(ExportError)
  {
    let folder = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? ""
    // A file without a name vanishes with the process, however that ends. Not every file system has them.
    let nameless = unsafe open(folder.isEmpty ? "." : folder, temporaryFile | O_WRONLY | O_CLOEXEC, 0o666)
    if nameless >= 0 {
      defer { close(nameless) }
      try fill(nameless, bytes, owner, path)
      func link(_ name: String) -> Bool {
        unsafe linkat(AT_FDCWD, "/proc/self/fd/\(nameless)", AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0
      }
      if link(path) { return }
      if errno == EEXIST {
        guard replacing else { throw ExportError(operation: "create", path: path, code: EEXIST) }
        let temporary = temporaryName(folder, 0)
        unsafe unlink(temporary)
        if link(temporary) { return try rename(temporary, path) }
      }
    }
    let (descriptor, temporary) = try createNamed(in: folder, for: path)
    defer { close(descriptor) }
    do throws(ExportError) {
      try fill(descriptor, bytes, owner, path)
    } catch {
      unsafe unlink(temporary)
      throw error
    }
    if replacing { return try rename(temporary, path) }
    let failure = unsafe link(temporary, path) == 0 ? 0 : errno
    unsafe unlink(temporary)
    if failure != 0 { throw ExportError(operation: "create", path: path, code: failure) }
  }

  /// O_TMPFILE (include/uapi/asm-generic/fcntl.h); Glibc's is a macro that Swift does not see.
  private static let temporaryFile: Int32 = 0o20_000_000 | O_DIRECTORY

  private static func rename(_ temporary: String, _ path: String) throws(ExportError) {
    if unsafe Glibc.rename(temporary, path) == 0 { return }
    let code = errno
    unsafe unlink(temporary)
    throw ExportError(operation: "rename the finished file to", path: path, code: code)
  }

  /// A name in the folder of the file; it does not grow with the file's own.
  private static func temporaryName(_ folder: String, _ attempt: Int) -> String {
    "\(folder).caduceus-\(getpid())-\(attempt).tmp"
  }

  private static func createNamed(in folder: String, for path: String) throws(ExportError) -> (
    descriptor: Int32, path: String
  ) {
    for attempt in 0..<100 {
      let name = temporaryName(folder, attempt)
      let descriptor = unsafe open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o666)
      if descriptor >= 0 { return (descriptor, name) }
      if errno != EEXIST { break }
    }
    throw ExportError(operation: "create", path: path, code: errno)
  }

  /// Writes everything, and asks the file system whether it is really there: a full disk may show only then.
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
    // A pipe or a device cannot be synchronised.
    if code == 0, fsync(descriptor) != 0, ![EINVAL, EROFS, ENOTSUP].contains(errno) { code = errno }
    if code != 0 { throw ExportError(operation: "write", path: path, code: code) }
  }
}
