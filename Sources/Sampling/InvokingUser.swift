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
    if let uid = number("SUDO_UID"), uid != 0, let gid = number("SUDO_GID"), let name = variable("SUDO_USER")
    {
      return InvokingUser(uid: uid, gid: gid, name: name, means: .sudo)
    }
    if let name = variable("DOAS_USER"), let account = Account(name: name), account.uid != 0 {
      return InvokingUser(uid: account.uid, gid: account.gid, name: name, means: .doas)
    }
    if let uid = number("PKEXEC_UID"), uid != 0, let account = Account(uid: uid) {
      return InvokingUser(uid: uid, gid: account.gid, name: account.name, means: .pkexec)
    }
    return nil
  }

  /// Refuses a caller that is said, but not said rightly: who it was must not become root by a slip.
  static func check() throws(SamplingError) {
    guard geteuid() == 0 else { return }
    for name in ["SUDO_UID", "SUDO_GID", "PKEXEC_UID"] {
      if let text = variable(name), number(name) == nil { throw refusal(name, text, "no user or group id") }
    }
    if let text = variable("SUDO_UID"), number("SUDO_UID") != 0, current?.means != .sudo {
      throw refusal("SUDO_UID", text, "without SUDO_GID and SUDO_USER")
    }
    if let text = variable("DOAS_USER"), Account(name: text) == nil {
      throw refusal("DOAS_USER", text, "no user of this machine")
    }
    if let uid = number("PKEXEC_UID"), Account(uid: uid) == nil {
      throw refusal("PKEXEC_UID", "\(uid)", "no user of this machine")
    }
  }

  private static func refusal(_ name: String, _ text: String, _ problem: String) -> SamplingError {
    .notPermitted(
      what:
        "not permitted: the caller is not known: \(name) is \(safeText(text)), \(problem); call it by sudo, doas or pkexec, "
        + "or unset \(name)")
  }

  /// A user or group id as these programs write it: decimal digits, and not the id that means none (2^32 - 1).
  private static func number(_ name: String) -> UInt32? {
    guard let text = variable(name), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
      let number = UInt32(text), number != .max
    else { return nil }
    return number
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
