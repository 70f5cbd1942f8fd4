// Where the result of a run goes, found out and tried before sampling.

import Collectors
import Glibc
import Sampling

/// A file of a run.
struct Destination {
  let format: OutputFormat
  /// As the user will see it named.
  private(set) var path: String
  /// The default name without a number.
  private let plainPath: String
  /// The name was chosen by us: nothing that has it is replaced.
  let isDefaultName: Bool

  /// A file of that name, or with a default name.
  init(_ format: OutputFormat, named name: String?, pid: Int32) throws(SamplingError) {
    self.format = format
    if let name {
      var status = stat()
      let isFolder = unsafe stat(name, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
      let folder = name.hasSuffix("/") ? name : name + "/"
      // In a folder the names are those of CPython 3.15's sampling profiler.
      path = isFolder ? "\(folder)\(format.rawValue)_\(pid).\(format.fileExtension)" : name
      isDefaultName = isFolder
    } else {
      // The first version of CPython's sampling profiler had one default name, with a dot.
      let mark = format == .collapsed ? "." : "_"
      path = "\(format.rawValue)\(mark)\(pid).\(format.fileExtension)"
      isDefaultName = true
    }
    plainPath = path
    // What the user who called sudo may not write is not written.
    let user = InvokingUser.current
    path = try InvokingUser.withFileRights { [self] () throws(SamplingError) in
      let chosen = isDefaultName ? freeName() : path
      try Self.check(chosen, for: user)
      return chosen
    }
  }

  /// Writes the result as the invoking user. A default name that somebody has taken meanwhile gets a number.
  /// Gives the failure's text.
  mutating func write(_ bytes: [UInt8]) -> String? {
    do throws(SamplingError) {
      // A copy: what is done with the user's rights cannot change us.
      var file = self
      let failure = try InvokingUser.withFileRights { () -> String? in
        do throws(ExportError) {
          try file.fill(bytes)
          return nil
        } catch {
          return error.description
        }
      }
      self = file
      return failure
    } catch {
      return error.description
    }
  }

  private mutating func fill(_ bytes: [UInt8]) throws(ExportError) {
    guard isDefaultName else { return try ExportedFile.write(bytes, to: path) }
    for _ in 0..<100 {
      do throws(ExportError) {
        return try ExportedFile.write(bytes, to: path, replacing: false)
      } catch {
        guard error.code == EEXIST else { throw error }
        path = freeName()
      }
    }
    throw ExportError(operation: "create", path: path, code: EEXIST)
  }

  /// `name.txt`, or `name-2.txt` and so on where that exists.
  private func freeName() -> String {
    let dot = plainPath.lastIndex(of: ".") ?? plainPath.endIndex
    var candidate = plainPath
    var number = 2
    var status = stat()
    while unsafe lstat(candidate, &status) == 0 {
      candidate = "\(plainPath[..<dot])-\(number)\(plainPath[dot...])"
      number += 1
    }
    return candidate
  }

  /// Finds out before sampling whether the file can be written.
  private static func check(_ path: String, for user: InvokingUser?) throws(SamplingError) {
    func failure(_ code: Int32) -> SamplingError {
      var text = unsafe String(cString: strerror(code))
      if code == EACCES, let user { text += " for \(user.name)" }
      return .notPermitted(what: "cannot write \(path): \(text); name another file with -o")
    }
    var status = stat()
    if unsafe stat(path, &status) == 0 {
      // A link, a device or a pipe is written in place.
      var named = stat()
      let isInPlace = unsafe lstat(path, &named) == 0 && named.st_mode & S_IFMT != S_IFREG
      if isInPlace, ExportedFile.ownDescriptor(path) != nil { return }
      guard unsafe faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 else { throw failure(errno) }
      if isInPlace { return }
    } else if errno != ENOENT {
      throw failure(errno)
    }
    // The finished file is going to be made beside its name: what works now works then.
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    let trial = "\(folder).caduceus-\(getpid()).tmp"
    let descriptor = unsafe open(trial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure(errno) }
    close(descriptor)
    unsafe unlink(trial)
  }
}
