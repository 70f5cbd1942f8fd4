// Who asked for root's rights: the user to whom programs and files belong.

internal import CHeldProcess
import Glibc
import PerfEvents

/// The user who called sudo, doas or pkexec.
public struct InvokingUser: Sendable, Equatable {
  /// What gave us root's rights.
  enum Means: Sendable {
    case sudo, doas, pkexec
  }

  /// User id.
  public let uid: UInt32
  /// Primary group id.
  public let gid: UInt32
  /// Login name.
  public let name: String
  let means: Means

  /// From the variables that these programs set (sudo(8): SUDO_UID and following; doas(1): DOAS_USER; pkexec(1):
  /// PKEXEC_UID); nil when we are not root, or root by another way. Nobody but root can have set them then.
  public static var current: InvokingUser? {
    guard geteuid() == 0 else { return nil }
    if let uid = variable("SUDO_UID").flatMap({ UInt32($0) }), uid != 0,
      let gid = variable("SUDO_GID").flatMap({ UInt32($0) }), let name = variable("SUDO_USER")
    {
      return InvokingUser(uid: uid, gid: gid, name: name, means: .sudo)
    }
    if let name = variable("DOAS_USER"), let account = Account(name: name), account.uid != 0 {
      return InvokingUser(uid: account.uid, gid: account.gid, name: name, means: .doas)
    }
    if let uid = variable("PKEXEC_UID").flatMap({ UInt32($0) }), uid != 0, let account = Account(uid: uid) {
      return InvokingUser(uid: uid, gid: account.gid, name: account.name, means: .pkexec)
    }
    return nil
  }

  /// Does something with files as the invoking user, where there is one: what that user may not read or write fails,
  /// and what is created belongs to that user. Root's rights would follow every link that somebody else put there.
  public static func withFileRights<Result>(
    _ body: () throws(SamplingError) -> Result
  ) throws(SamplingError) -> Result {
    guard let user = current else { return try body() }
    let code = unsafe user.name.withCString { unsafe caduceus_take_file_rights(user.uid, user.gid, $0) }
    guard code == 0 else {
      throw .notPermitted(what: "cannot take on the rights of \(user.name): \(errorText(-code))")
    }
    defer { caduceus_return_file_rights() }
    return try body()
  }

  private static func variable(_ name: String) -> String? {
    guard let value = unsafe getenv(name) else { return nil }
    return unsafe String(cString: value)
  }
}

/// An entry of the user database (getpwnam(3)).
struct Account: Equatable {
  let uid: UInt32
  let gid: UInt32
  let name: String
  let home: String
  let shell: String

  /// Nil when there is no such user.
  init?(uid: UInt32) {
    guard let entry = unsafe getpwuid(uid) else { return nil }
    unsafe self.init(entry.pointee)
  }

  /// Nil when there is no such user.
  init?(name: String) {
    guard let entry = unsafe getpwnam(name) else { return nil }
    unsafe self.init(entry.pointee)
  }

  private init(_ entry: passwd) {
    unsafe uid = entry.pw_uid
    unsafe gid = entry.pw_gid
    unsafe name = String(cString: entry.pw_name)
    unsafe home = String(cString: entry.pw_dir)
    unsafe shell = String(cString: entry.pw_shell)
  }
}
