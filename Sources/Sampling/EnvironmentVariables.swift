// The environment of a program, and what it would have been without sudo.

import Glibc
import ProcessImages

/// Variables in their order, as bytes: neither names nor values need be text.
struct EnvironmentVariables: Equatable {
  /// Each `NAME=VALUE`.
  private(set) var entries: [[UInt8]]

  /// From the form of /proc/PID/environ: entries that end with a zero byte. What is not `NAME=VALUE` is left out.
  init(block: some Collection<UInt8>) {
    entries = block.split(separator: 0).map { [UInt8]($0) }.filter { !Self.name($0).isEmpty }
  }

  /// From texts `NAME=VALUE`.
  init(_ texts: [String]) { self.init(block: [UInt8](texts.map { $0 + "\0" }.joined().utf8)) }

  /// What we were started with. The dynamic loader takes variables out of the environment of a program that has
  /// capabilities (ld.so(8), secure-execution mode); a program that we start without them shall have them.
  static func ours() -> EnvironmentVariables {
    guard let range = try? ProcessFacts(pid: getpid()).initialEnvironmentRange(),
      let start = unsafe UnsafeRawPointer(bitPattern: UInt(range.lowerBound))
    else { return EnvironmentVariables(block: []) }
    return unsafe EnvironmentVariables(block: UnsafeRawBufferPointer(start: start, count: range.count))
  }

  /// The value of a variable; the first one where it is there twice, as getenv(3) has it.
  subscript(name: String) -> String? {
    get {
      let start = [UInt8]((name + "=").utf8)
      guard let entry = entries.first(where: { $0.starts(with: start) }) else { return nil }
      return String(decoding: entry[start.count...], as: UTF8.self)
    }
    set {
      remove([UInt8](name.utf8))
      if let newValue { entries.append([UInt8]("\(name)=\(newValue)".utf8)) }
    }
  }

  /// Without the variables whose name fulfils a condition.
  mutating func removeAll(where condition: (String) -> Bool) {
    entries.removeAll { condition(String(decoding: Self.name($0), as: UTF8.self)) }
  }

  private mutating func remove(_ name: [UInt8]) { entries.removeAll { Self.name($0) == name[...] } }

  private static func name(_ entry: [UInt8]) -> ArraySlice<UInt8> {
    guard let sign = entry.firstIndex(of: UInt8(ascii: "=")) else { return [] }
    return entry[..<sign]
  }

  private var byName: [[UInt8]: [UInt8]] {
    Dictionary(entries.map { ([UInt8](Self.name($0)), $0) }) { first, _ in first }
  }

  // MARK: Without sudo

  /// What sudo, doas and their PAM modules set by themselves, beside everything that begins with `SUDO_` (sudo(8),
  /// doas(1), pam_systemd(8), pam_xauth(8)).
  private static let setByMeans: Set<String> = [
    "PATH", "HOME", "MAIL", "SHELL", "TERM", "USER", "LOGNAME", "USERNAME", "PS1", "DOAS_USER", "PKEXEC_UID",
    "XDG_SESSION_ID", "XDG_SESSION_CLASS", "XDG_SESSION_TYPE", "XDG_RUNTIME_DIR", "XDG_SEAT", "XDG_VTNR",
    "DBUS_SESSION_BUS_ADDRESS", "KRB5CCNAME", "XAUTHORITY",
  ]

  /// True for a variable that says something about root or about sudo, not about the user.
  static func isSetByMeans(_ name: String) -> Bool { name.hasPrefix("SUDO_") || setByMeans.contains(name) }

  /// The environment of a program that is to find what it would find without sudo: all that the user's shell gave
  /// sudo, and what was set on purpose since then.
  ///
  /// - `shell`: what sudo was started with. It counts wherever nothing else is said here.
  /// - `given`: what sudo gave the process that it started.
  /// - `ours`: what we were started with.
  /// - `arguments`: those of sudo. An assignment among them (`sudo A=1 caduceus`, `sudo env A=1 caduceus`) counts
  ///   for any variable, when we have it.
  ///
  /// Of all others those that sudo sets by itself are the shell's, or not there. What is new since the shell counts,
  /// and so does what was changed or removed between sudo and us (by a script, or in a shell of root's).
  static func withoutSudo(
    shell: EnvironmentVariables, given: EnvironmentVariables, ours: EnvironmentVariables, arguments: [String]
  ) -> EnvironmentVariables {
    var result = shell
    let (before, between, now) = (shell.byName, given.byName, ours.byName)
    let assignments = Set(arguments)
    for entry in ours.entries {
      let name = [UInt8](Self.name(entry))
      guard now[name] == entry, before[name] != entry else { continue }
      let isAssigned = assignments.contains(String(decoding: entry, as: UTF8.self))
      let isNew = before[name] == nil || between[name] != entry
      guard isAssigned || isNew && !isSetByMeans(String(decoding: name, as: UTF8.self)) else { continue }
      result.remove(name)
      result.entries.append(entry)
    }
    for name in between.keys where now[name] == nil && !isSetByMeans(String(decoding: name, as: UTF8.self)) {
      result.remove(name)
    }
    return result
  }
}
