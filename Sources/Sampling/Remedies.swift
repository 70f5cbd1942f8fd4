// Commands that change what a machine allows, as this user would have to type them.

/// Makes the commands for one machine and user.
struct Remedies {
  let machine: MachineDiagnosis

  private var sudo: String { machine.user == 0 ? "" : "sudo " }

  /// Gives the program what sampling needs, and `more`.
  func grant(_ more: Capability? = nil) -> [String] {
    let wanted = Capability.needed + (more.map { Capability.needed.contains($0) ? [] : [$0] } ?? [])
    if let command = runContainer(wanted) { return [command] }
    guard canGrant(wanted) else { return [] }
    let names = wanted.map { $0.name.lowercased() }.sorted().joined(separator: ",")
    return ["\(sudo)setcap \(names)+ep $(command -v caduceus)"]
  }

  /// Where `grant` has no command: why.
  var whyNotGranted: String {
    if machine.container != nil || canGrant(Capability.needed) { return "" }
    if !machine.isInitialUserNamespace {
      return "; in a user namespace no command helps: run it outside of it, with sudo"
    }
    if machine.hasNoNewPrivileges {
      return "; no_new_privs is set here, so neither sudo nor setcap helps: start it from another session"
    }
    return
      "; the bounding set of this session lacks it, so that sudo cannot help: start it from another session"
  }

  private func canGrant(_ wanted: [Capability]) -> Bool {
    machine.isInitialUserNamespace && !machine.hasNoNewPrivileges
      && wanted.allSatisfy(machine.bounding.contains)
  }

  /// Only whoever starts a container can give it more.
  private func runContainer(_ wanted: [Capability]) -> String? {
    guard let container = machine.container, !canGrant(wanted) else { return nil }
    let tool = container.kind == "podman" ? "podman" : "docker"
    let options = wanted.map { "--cap-add \($0.name.dropFirst(4))" }.joined(separator: " ")
    return (machine.isInitialUserNamespace ? "" : "sudo ") + "\(tool) run \(options) IMAGE"
  }

  /// Lets system calls through that a container's filter forbids.
  func allowSystemCalls() -> [String] {
    guard let container = machine.container else { return [] }
    let tool = container.kind == "podman" ? "podman" : "docker"
    let options = Capability.needed.map { "--cap-add \($0.name.dropFirst(4))" }.joined(separator: " ")
    return ["\(tool) run --security-opt seccomp=unconfined \(options) IMAGE"]
  }

  /// Sets a sysctl until the next boot.
  func set(_ name: String, _ value: Int) -> [String] { ["\(sudo)sysctl \(name)=\(value)"] }

  /// Raises this shell's limit of open files.
  func raiseOpenFiles(_ count: UInt64) -> [String] {
    machine.capabilities.contains(.systemResources)
      ? ["ulimit -n \(count)"] : ["sudo prlimit --nofile=\(count):\(count) --pid $$"]
  }
}
