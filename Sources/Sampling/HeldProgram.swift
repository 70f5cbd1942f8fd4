// The program of `caduceus run`: forked, held until everything is ready, then executed.

internal import CHeldProcess
import Glibc

/// A child that waits for its release.
public final class HeldProgram {
  /// The child.
  public let processID: Int32
  private var release: Int32
  private let failure: Int32
  private let name: String
  private(set) var status: Int32?

  /// Forks. Under sudo the child takes on the identity of the invoking user.
  public init(command: [String]) throws(SamplingError) {
    guard let first = command.first else { throw .command("", errno: ENOENT) }
    name = first
    var held = caduceus_held_process()
    var identity = unsafe caduceus_identity()
    let user = InvokingUser.current
    if let user {
      unsafe identity.change = 1
      unsafe identity.uid = user.uid
      unsafe identity.gid = user.gid
    }
    var arguments: [UnsafeMutablePointer<CChar>?] = unsafe command.map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe arguments.indices { unsafe free(arguments[index]) } }
    let result = unsafe (user?.name ?? "root").withCString { text in
      unsafe identity.user = text
      return unsafe caduceus_fork_held(&held, &arguments, &identity)
    }
    guard result == 0 else { throw .command(first, errno: -result) }
    processID = held.pid
    release = held.release
    failure = held.failure
  }

  deinit {
    if release >= 0 { close(release) }
    close(failure)
  }

  /// Lets the child execute its program; throws when that fails.
  public func start() throws(SamplingError) {
    var byte: UInt8 = 0
    _ = unsafe write(release, &byte, 1)
    close(release)
    release = -1
    var code: Int32 = 0
    // End of file: the descriptor was closed by the successful exec.
    let count = unsafe read(failure, &code, 4)
    if count == 4 {
      _ = wait()
      throw .command(name, errno: code)
    }
  }

  /// Ends a child whose program has not begun: it must not run unobserved.
  public func abandon() {
    kill(processID, SIGKILL)
    _ = wait()
  }

  /// True once the program has ended; it stays a zombie until `wait`.
  public var hasEnded: Bool {
    var info = unsafe siginfo_t()
    let result = unsafe waitid(P_PID, id_t(processID), &info, WEXITED | WNOHANG | WNOWAIT)
    let signal = unsafe info.si_signo
    return result == 0 && signal == SIGCHLD
  }

  /// Waits for the end; the exit status as a shell gives it (128 + signal).
  public func wait() -> Int32 {
    if let status { return status }
    var raw: Int32 = 0
    while unsafe waitpid(processID, &raw, 0) < 0 && errno == EINTR { continue }
    let signal = raw & 0x7f
    let result = signal == 0 ? raw >> 8 & 0xff : 128 + signal
    status = result
    return result
  }
}

/// The user who called sudo.
public struct InvokingUser: Sendable, Equatable {
  /// User id.
  public let uid: UInt32
  /// Primary group id.
  public let gid: UInt32
  /// Login name.
  public let name: String

  /// From sudo's environment (sudo(8), SUDO_UID and following); nil when we are not root through sudo.
  public static var current: InvokingUser? {
    func variable(_ name: String) -> String? {
      guard let value = unsafe getenv(name) else { return nil }
      return unsafe String(cString: value)
    }
    guard geteuid() == 0, let uid = variable("SUDO_UID").flatMap({ UInt32($0) }), uid != 0,
      let gid = variable("SUDO_GID").flatMap({ UInt32($0) }), let name = variable("SUDO_USER")
    else { return nil }
    return InvokingUser(uid: uid, gid: gid, name: name)
  }
}
