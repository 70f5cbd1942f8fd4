// A user of this machine for one test, who may use sudo.

import Foundation
import Synchronization

/// A user with a home below the test's own folder; removed with everything that belongs to it.
final class TestUser {
  let name: String
  let home: String
  let uid: UInt32
  let gid: UInt32
  private let folder: Folder

  /// Creates the user. `sudo`: what sudoers says after the user's name; nil: may not use sudo.
  init(sudo rule: String? = "ALL=(root) NOPASSWD:SETENV: ALL") throws {
    Self.removeLeftovers
    let name = "\(Self.prefix)\(getpid())-\(Self.created.wrappingAdd(1, ordering: .relaxed).newValue)"
    let folder = try Folder()
    self.name = name
    self.folder = folder
    home = folder.file("home")
    try Self.tool(
      "useradd", ["--create-home", "--home-dir", home, "--user-group", "--shell", "/bin/bash", name])
    Self.existing.withLock { $0.append(name) }
    unsafe chmod(home, 0o755)
    guard let entry = unsafe getpwnam(name) else { throw LiveError("\(name) was created, but is not there") }
    (uid, gid) = unsafe (entry.pointee.pw_uid, entry.pointee.pw_gid)
    if let rule { try allow(rule) }
  }

  deinit { Self.remove(name) }

  /// Lets the user call sudo; visudo checks the file before sudo sees it.
  private func allow(_ rule: String) throws {
    let checked = folder.file("sudoers")
    try Data("\(name) \(rule)\n".utf8).write(to: URL(fileURLWithPath: checked))
    unsafe chmod(checked, 0o440)
    try Self.tool("visudo", ["-c", "-q", "-f", checked])
    // sudo reads no file whose name has a dot.
    let place = Self.sudoers(name)
    try FileManager.default.copyItem(atPath: checked, toPath: place + ".new")
    unsafe chown(place + ".new", 0, 0)
    guard unsafe rename(place + ".new", place) == 0 else { throw LiveError("cannot make \(place)") }
    try Self.tool("visudo", ["-c", "-q"])
  }

  // MARK: Acting as the user

  /// What a command stands behind that is to become the user's without a process between. (setpriv itself still has
  /// root's rights when it executes; what env executes has none.)
  var direct: [String] {
    ["setpriv", "--reuid", name, "--regid", name, "--init-groups", "/usr/bin/env"]
  }

  /// Puts a command behind a shell of the user's, which waits for it as a terminal's shell does.
  func command(_ command: [String]) -> [String] {
    [
      "setpriv", "--reuid", name, "--regid", name, "--init-groups", "/bin/bash", "-c", "\"$@\"; exit $?",
      "bash",
    ]
      + command
  }

  /// What the user's shell has in its environment.
  var environment: [String: String] {
    [
      "HOME": home, "USER": name, "LOGNAME": name, "SHELL": "/bin/bash", "TERM": "xterm", "LANG": "C.UTF-8",
      "PATH": "\(home)/venv/bin:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV": "\(home)/venv",
      "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1", "FOO": "of the shell",
    ]
  }

  /// Runs a command as the user, in the user's home, to its end.
  func run(_ command: [String], environment: [String: String]? = nil, folder: String? = nil) throws
    -> Finished
  {
    try Child.run(
      self.command(command), environment: environment ?? self.environment, folder: folder ?? home, within: 120
    )
  }

  /// A file in the user's home that belongs to the user.
  @discardableResult func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> String {
    let path = home + "/" + name
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    unsafe chown(path, uid, gid)
    unsafe chmod(path, mode)
    return path
  }

  /// Makes the virtual environment that is first in the user's PATH; the path of its interpreter.
  @discardableResult func makeVirtualEnvironment() throws -> String {
    let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
    let made = try run([interpreter.path, "-m", "venv", "--without-pip", "\(home)/venv"])
    guard made.status == 0 else { throw LiveError("no virtual environment: \(made.description)") }
    return "\(home)/venv/bin/python"
  }

  /// True when a file is the user's and a regular one.
  func owns(_ path: String) -> Bool {
    var status = stat()
    return unsafe lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_uid == uid
      && status.st_gid == gid
  }

  // MARK: Cleaning up

  private static let prefix = "caduceus-test-"
  private static let created = Atomic(0)
  /// Users that are there now.
  private static let existing = Mutex<[String]>([])

  /// Removes what a run of the tests that was killed has left, and sees to it that this one leaves nothing.
  private static let removeLeftovers: Void = {
    atexit { for name in TestUser.existing.withLock({ $0 }) { TestUser.remove(name) } }
    let users = (try? String(contentsOfFile: "/etc/passwd", encoding: .utf8)) ?? ""
    let files = (try? FileManager.default.contentsOfDirectory(atPath: "/etc/sudoers.d")) ?? []
    let names = users.split(separator: "\n").compactMap { $0.split(separator: ":").first.map(String.init) }
    for name in Set(names + files) where name.hasPrefix(prefix) {
      let parts = name.dropFirst(prefix.count).split(separator: "-")
      guard parts.count == 2, let pid = pid_t(parts[0]), kill(pid, 0) != 0, errno == ESRCH else { continue }
      remove(name)
    }
  }()

  private static func sudoers(_ name: String) -> String { "/etc/sudoers.d/\(name)" }

  private static func remove(_ name: String) {
    existing.withLock { $0.removeAll { $0 == name } }
    for path in [sudoers(name), "/run/sudo/ts/\(name)", "/var/lib/sudo/lectured/\(name)"] {
      unsafe unlink(path)
    }
    // It warns where there is no mail, and the group goes with its user on most machines: no failures.
    _ = try? Child.run([path(of: "userdel"), "--force", "--remove", name])
    _ = try? Child.run([path(of: "groupdel"), name])
  }

  private static func tool(_ name: String, _ arguments: [String]) throws {
    let finished = try Child.run([path(of: name)] + arguments)
    guard finished.status == 0 else { throw LiveError("\(name): \(finished.description)") }
  }

  /// The administrator's tools are not in every PATH.
  private static func path(of tool: String) -> String { Machine.find(tool) ?? "/usr/sbin/\(tool)" }
}

/// What a program says about itself when it is asked.
struct SelfReport: Decodable, Equatable {
  /// The program that prints it.
  static let program = """
    import json, os, sys
    print(json.dumps({"executable": sys.executable, "prefix": sys.prefix, "base": sys.base_prefix,
      "users": os.getresuid(), "groups": os.getresgid(), "others": sorted(os.getgroups()), "folder": os.getcwd(),
      "arguments": sys.argv[1:], "environment": dict(os.environ)}))
    """

  let executable: String
  let prefix: String
  let base: String
  let users: [UInt32]
  let groups: [UInt32]
  let others: [UInt32]
  let folder: String
  let arguments: [String]
  var environment: [String: String]

  init(_ finished: Finished) throws {
    guard finished.status == 0 else { throw LiveError(finished.description) }
    self = try JSONDecoder().decode(Self.self, from: finished.output)
    // bash says in it which file it started: sudo, or the program itself.
    environment["_"] = nil
  }
}
