// Why something under /proc could not be read, and the one function that reads such files.

internal import Glibc

/// Why a fact about a process could not be read.
public enum ProcessReadError: Error, Equatable, Sendable {
  /// The process (or thread) does not exist, or no longer does.
  case noSuchProcess(path: String)
  /// Reading needs a right that this process does not have (CAP_SYS_PTRACE, CAP_SYSLOG, same user).
  case notPermitted(path: String)
  /// The system call failed for another reason; `errno` is its error number.
  case failed(path: String, errno: Int32)
  /// The text is not of the documented form, or longer than is read.
  case malformed(path: String)
}

extension ProcessReadError: CustomStringConvertible {
  /// What a user reads of it.
  public var description: String {
    switch self {
    case .noSuchProcess(let path): "\(path) does not exist"
    case .notPermitted(let path): "\(path): permission denied"
    case .failed(let path, let code): unsafe "\(path): \(String(cString: strerror(code)))"
    case .malformed(let path): "\(path) is not of the documented form"
    }
  }
}

enum ProcFile {
  /// The whole text of a file under /proc; `.malformed` where it is longer than `limit` bytes.
  static func read(_ path: String, limit: Int = 1 << 20) throws(ProcessReadError) -> [UInt8] {
    guard let file = FileDescriptor(opening: path) else { throw failure(path, errno) }
    var bytes: [UInt8] = []
    var chunk = min(limit, 16 << 10)
    while true {
      let start = bytes.count
      guard start <= limit else { throw .malformed(path: path) }
      bytes.append(contentsOf: repeatElement(0, count: chunk))
      let count = unsafe bytes.withUnsafeMutableBytes {
        unsafe Glibc.read(file.raw, $0.baseAddress.map { unsafe $0 + start }, chunk)
      }
      let code = errno
      bytes.removeLast(chunk - max(count, 0))
      if count == 0 { return bytes }
      if count < 0, code != EINTR { throw failure(path, code) }
      if count == chunk { chunk = min(chunk * 2, 4 << 20) }
    }
  }

  static func failure(_ path: String, _ code: Int32) -> ProcessReadError {
    switch code {
    case ENOENT, ESRCH: .noSuchProcess(path: path)
    case EACCES, EPERM: .notPermitted(path: path)
    default: .failed(path: path, errno: code)
    }
  }
}

/// An open file descriptor that is closed with its owner.
struct FileDescriptor: ~Copyable {
  let raw: Int32

  /// Opens for reading; nil (and errno set) where that fails.
  init?(opening path: String, flags: Int32 = 0) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | flags)
    guard descriptor >= 0 else { return nil }
    raw = descriptor
  }

  deinit { close(raw) }
}
