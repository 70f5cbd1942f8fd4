// As whom a program is run, and what it is given.

import Glibc

/// As whom `run` runs its program.
public enum ProgramIdentity: Sendable {
  /// As the user who called us: under sudo as the user who called sudo, otherwise as ourselves; never with
  /// capabilities that only we have.
  case invokingUser
  /// As root, in root's environment; only root may.
  case root
}

/// What an identity means for one program.
struct ProgramSituation {
  /// Nil: the program stays who we are.
  let user: InvokingUser?
  let dropsCapabilities: Bool
  let environment: EnvironmentVariables
  /// Who runs the program.
  let name: String
  /// What the user should know about the environment.
  let note: String?

  init(_ identity: ProgramIdentity) throws(SamplingError) {
    let isRoot = geteuid() == 0
    if case .root = identity, !isRoot {
      throw .notPermitted(what: "--as-root needs root; run it with sudo")
    }
    let caller = InvokingUser.current
    if case .invokingUser = identity, let caller {
      user = caller
      dropsCapabilities = true
      name = caller.name
      do {
        let elevating = try ElevatingProcess(for: caller)
        environment = .withoutSudo(
          shell: elevating.environment, given: elevating.given, ours: .ours(), arguments: elevating.arguments)
        note = nil
      } catch {
        environment = Self.substitute(for: caller)
        note = Self.note(error, caller)
      }
      return
    }
    user = nil
    dropsCapabilities = !isRoot
    environment = .ours()
    name = Account(uid: geteuid())?.name ?? "user \(geteuid())"
    note = nil
  }

  /// Our own environment, with what is known of the user.
  private static func substitute(for user: InvokingUser) -> EnvironmentVariables {
    var environment = EnvironmentVariables.ours()
    environment.removeAll { EnvironmentVariables.isSetByMeans($0) && $0 != "PATH" && $0 != "TERM" }
    let account = Account(uid: user.uid)
    environment["HOME"] = account?.home
    environment["SHELL"] = account?.shell
    environment["USER"] = user.name
    environment["LOGNAME"] = user.name
    return environment
  }

  private static func note(_ problem: ElevatingProcess.Missing, _ user: InvokingUser) -> String {
    let what = "\(user.means)"
    let reason =
      switch problem {
      case .notFound: "no \(what) among the processes that started this one"
      case .unreadable: "\(what) cannot be read"
      case .ofAnotherUser: "the nearest \(what) served another user"
      }
    return "not in \(user.name)'s own environment but in what \(what) left of it, PATH included (\(reason))"
  }
}
