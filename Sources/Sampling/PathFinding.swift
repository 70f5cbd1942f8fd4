// Which way samples are taken on a machine, and by which step, as its first finding.

import PerfEvents

extension MachineFindings {
  /// The way that would be taken, and why it is not the better one.
  var path: Finding {
    let subject = "path"
    switch facts.path {
    case .program:
      return Finding(
        .ok, subject, "with eBPF: kernel, native and Python stack are taken in the interrupt")
    case .unassisted:
      return Finding(
        .note, subject, "without eBPF (\(facts.programObstacle ?? "?")): \(facts.step?.text ?? "?")",
        commands: commandsForProgram)
    case nil:
      let obstacles = facts.obstacles
      guard obstacles.isEmpty else { return Finding(.problem, subject, "none: \(list(obstacles))") }
      return Finding(
        .problem, subject,
        "none: with eBPF it is not possible (\(facts.programObstacle ?? "?")), and without it neither "
          + "(\(whyNotUnassisted))",
        commands: SettingFindings(facts).isParanoidInTheWay
          ? remedies.set(SettingFindings.paranoid, 2) : commandsForProgram)
    }
  }

  /// What would allow eBPF: what is missing comes before what failed, which may have failed for want of it.
  private var commandsForProgram: [String] {
    facts.capabilities.missing.isEmpty
      ? tried.first { !$0.commands.isEmpty }?.commands ?? [] : remedies.grant()
  }

  private var whyNotUnassisted: String {
    switch facts.unassisted {
    case .worked: ""
    case .notTried(let reason): "not tried: \(reason)"
    case .failed(let code, let detail): errorText(code) + (detail.isEmpty ? "" : ", \(detail)")
    }
  }
}
