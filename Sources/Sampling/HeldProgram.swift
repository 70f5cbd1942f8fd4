// The program of `caduceus run`: forked, held until everything is ready, then executed.

internal import CHeldProcess
import Glibc

/// A child that waits for its release.
public final class HeldProgram {
  /// The child.
  public let processID: Int32
  /// Who runs the program.
  public let userName: String
  /// What the user should know about the program's environment; continues "running ... as ...".
  public let environmentNote: String?
  /// Full path of the file that was chosen for the command: as it is found in the program's PATH, links not
  /// followed. Known after `start`.
  public private(set) var executable: String?
  private var release: Int32
  private let reports: Int32
  private let name: String
  private(set) var status: Int32?

  /// Forks. The child takes on its identity at once and keeps our working directory; the command is looked up with
  /// the rights and in the PATH of that identity.
  public init(command: [String], identity: ProgramIdentity = .invokingUser) throws(SamplingError) {
    guard let first = command.first else { throw .command("", errno: ENOENT) }
    let situation = try ProgramSituation(identity)
    name = first
    userName = situation.name
    environmentNote = situation.note
    var held = caduceus_held_process()
    let result = unsafe Self.withCStrings(command.map { [UInt8]($0.utf8) }) { arguments in
      unsafe Self.withCStrings(situation.environment.entries) { variables in
        unsafe Self.withCString(situation.environment["PATH"]) { path in
          unsafe Self.withCString(situation.user?.name) { user in
            var program = unsafe caduceus_program(
              arguments: arguments, environment: variables, search_path: path)
            var identity = unsafe caduceus_identity(
              change: situation.user == nil ? 0 : 1, drop_capabilities: situation.dropsCapabilities ? 1 : 0,
              uid: situation.user?.uid ?? 0, gid: situation.user?.gid ?? 0, user: user)
            return unsafe caduceus_fork_held(&held, &program, &identity)
          }
        }
      }
    }
    guard result == 0 else { throw .command(first, errno: -result) }
    processID = held.pid
    release = held.release
    reports = held.reports
  }

  deinit {
    if release >= 0 { close(release) }
    close(reports)
  }

  /// Lets the child execute its program; throws when that fails.
  public func start() throws(SamplingError) {
    var byte: UInt8 = 0
    _ = unsafe write(release, &byte, 1)
    close(release)
    release = -1
    let (path, failure) = readReports()
    executable = path.map(Self.absolute)
    if let failure {
      _ = wait()
      throw .command(name, errno: failure)
    }
  }

  /// What the child tries, until its end is closed by the successful exec.
  private func readReports() -> (path: String?, failure: Int32?) {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = unsafe read(reports, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { break }
      bytes += chunk[..<count]
    }
    var path: String?
    var rest = bytes[...]
    while let kind = rest.popFirst() {
      if UInt32(kind) == caduceus_report_failed.rawValue {
        return (path, rest.reversed().reduce(Int32(0)) { $0 << 8 | Int32($1) })
      }
      path = String(decoding: rest.prefix { $0 != 0 }, as: UTF8.self)
      rest = rest.drop { $0 != 0 }.dropFirst()
    }
    return (path, nil)
  }

  private static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let folder = unsafe getcwd(nil, 0) else { return path }
    defer { unsafe free(folder) }
    return unsafe String(cString: folder) + "/" + path
  }

  private static func withCString<Result>(
    _ text: String?, _ body: (UnsafePointer<CChar>?) -> Result
  ) -> Result {
    guard let text else { return body(nil) }
    return unsafe text.withCString { unsafe body($0) }
  }

  /// An array as exec takes it: pointers to texts that end with a zero byte, and a null pointer.
  private static func withCStrings<Result>(
    _ texts: [[UInt8]], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    var all = unsafe texts.map { unsafe strdup($0.map { CChar(bitPattern: $0) } + [0]) } + [nil]
    defer { for index in unsafe all.indices { unsafe free(all[index]) } }
    return unsafe body(&all)
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
