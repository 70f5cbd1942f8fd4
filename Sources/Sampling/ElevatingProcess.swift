// The sudo or doas that started us: its own environment is what the user's shell had.

import Glibc
import ProcessImages

/// A process among our ancestors that gave us root's rights.
struct ElevatingProcess {
  /// Why there is none to rely on.
  enum Missing: Error {
    case notFound, unreadable, ofAnotherUser
  }

  /// What it was started with.
  let environment: EnvironmentVariables
  /// What it gave the process that it started.
  let given: EnvironmentVariables
  /// Its arguments without our own.
  let arguments: [String]

  /// Looks for the nearest one, and makes sure that it served `user`.
  init(for user: InvokingUser) throws(Missing) {
    var (child, candidate) = (getpid(), getppid())
    var steps = 0
    while !Self.isElevating(candidate, user.means) {
      // More shells and scripts than that are not between a user and a profiler.
      steps += 1
      guard steps < 64, let parent = try? ProcessFacts(pid: candidate).parent(), parent > 0 else {
        throw .notFound
      }
      (child, candidate) = (candidate, parent)
    }
    let facts = ProcessFacts(pid: candidate)
    do {
      environment = EnvironmentVariables(block: try facts.initialEnvironment())
      given =
        child == getpid()
        ? .ours() : EnvironmentVariables(block: try ProcessFacts(pid: child).initialEnvironment())
      arguments = Self.without(CommandLine.arguments.dropFirst(), try facts.commandLine())
    } catch {
      throw .unreadable
    }
    let isTheirs =
      switch user.means {
      case .sudo: given["SUDO_UID"] == String(user.uid)
      case .doas: given["DOAS_USER"] == user.name
      case .pkexec: false
      }
    guard isTheirs else { throw .ofAnotherUser }
  }

  /// Only a set-uid file of root's can be one; pkexec replaces itself and is never found.
  private static func isElevating(_ pid: Int32, _ means: InvokingUser.Means) -> Bool {
    let names: [String] =
      switch means {
      case .sudo: ["sudo", "sudo-rs", "sudo.ws"]
      case .doas: ["doas"]
      case .pkexec: []
      }
    var status = stat()
    guard unsafe stat("/proc/\(pid)/exe", &status) == 0, status.st_uid == 0, status.st_mode & S_ISUID != 0
    else { return false }
    var target = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = unsafe readlink("/proc/\(pid)/exe", &target, target.count)
    guard count > 0 else { return false }
    // An update replaces the file of a running program.
    let path = String(decoding: target[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
      .replacing(" (deleted)", with: "")
    return names.contains(path.split(separator: "/").last.map(String.init) ?? "")
  }

  private static func without(_ ours: ArraySlice<String>, _ all: [String]) -> [String] {
    all.suffix(ours.count) == ours ? all.dropLast(ours.count) : all
  }
}
