// What a machine's facts mean for sampling. Pure: the same facts give the same findings.

import Glibc
import PerfEvents

/// Judges a machine.
struct MachineFindings {
  let facts: MachineDiagnosis
  let remedies: Remedies

  init(_ facts: MachineDiagnosis) {
    self.facts = facts
    remedies = Remedies(machine: facts)
  }

  var all: [Finding] {
    [path, kernel, typeInformation, lockdown] + tried + capabilities + SettingFindings(facts).all
      + [kernelNames, container, seccomp, userNamespace, pidNamespace, openFiles, memory]
  }

  // MARK: The kernel

  private var kernel: Finding {
    guard let version = KernelVersion(release: facts.kernelRelease) else {
      return Finding(
        .note, "kernel",
        "\(facts.kernelRelease): not a version that is understood; \(KernelVersion.oldestSupported) or later is needed"
      )
    }
    guard version < KernelVersion.oldestSupported else {
      return Finding(
        .ok, "kernel", "\(facts.kernelRelease) (\(KernelVersion.oldestSupported) or later is needed)")
    }
    let lacks = version.lacks
    return Finding(
      .problem, "kernel",
      "\(facts.kernelRelease) is too old: \(KernelVersion.oldestSupported) or later is needed; "
        + (lacks.isEmpty ? "it has what is used, but is not supported" : "it lacks \(list(lacks))"))
  }

  private var typeInformation: Finding {
    facts.hasTypeInformation
      ? Finding(.ok, "type information", "\(Rights.typeInformation) is there")
      : Finding(
        ofProgram, "type information",
        "\(Rights.typeInformation) is missing: the kernel must be built with CONFIG_DEBUG_INFO_BTF, and a container must "
          + "show /sys")
  }

  private var lockdown: Finding {
    switch facts.lockdown {
    case "confidentiality":
      Finding(
        .problem, "lockdown",
        "confidentiality: neither perf events nor eBPF may read memory; boot without lockdown=confidentiality"
      )
    case let mode?: Finding(.ok, "lockdown", mode)
    case nil: Finding(.ok, "lockdown", "none, or not to be seen here")
    }
  }

  // MARK: What was tried

  private static let perfEventOpen = "perf_event_open"

  /// The mark of what is missing for eBPF alone.
  private var ofProgram: Finding.Mark { facts.hasAnotherWay ? .note : .problem }

  var tried: [Finding] {
    [
      finding(facts.clockEvent, Self.perfEventOpen, "a cpu-clock event can be opened", explainClockEvent),
      finding(facts.program, "eBPF program", "the kernel accepts it", explainProgram),
      rings,
      finding(facts.attaching, "attaching", "the program can be attached to an event", explainAttaching),
    ]
  }

  private var rings: Finding {
    guard facts.rings.hasWorked, let bytes = facts.lockableRing else {
      return finding(facts.rings, "rings", "they can be opened and mapped on every CPU", explainRings)
    }
    let wanted = facts.programNeeds.ringBytes
    return Finding(
      .note, "rings",
      "only \(bytes >> 10) KiB for each CPU instead of \(wanted >> 10) can be mapped, and may overflow sooner: "
        + "\(SettingFindings.lockedMemory) and `ulimit -l` limit what may be locked",
      commands: makeRoom(wanted))
  }

  /// The limit counts the ring and its control page, for all CPUs together (kernel/events/core.c, perf_mmap).
  private func makeRoom(_ bytes: Int) -> [String] {
    remedies.set(SettingFindings.lockedMemory, (bytes >> 10) + 4)
  }

  private func finding(
    _ trial: Trial, _ subject: String, _ success: String,
    _ explain: (_ code: Int32, _ detail: String) -> (reason: String, commands: [String])
  ) -> Finding {
    switch trial {
    case .worked: return Finding(.ok, subject, success)
    case .notTried(let reason): return Finding(.note, subject, "not tried: \(reason)")
    case .failed(let code, let detail):
      let (reason, commands) = explain(code, detail)
      let what =
        facts.hasAnotherWay && subject == Self.perfEventOpen ? "with the kernel's part it fails" : "it fails"
      return Finding(
        ofProgram, subject, "\(what): \(errorText(code))" + (detail.isEmpty ? "" : " (\(detail))") + reason,
        commands: commands)
    }
  }

  /// Why a privileged call was refused.
  private func refusal(_ capability: Capability) -> (reason: String, commands: [String]) {
    if !facts.capabilities.grants(capability) {
      return ("; \(capability.name) is missing\(remedies.whyNotGranted)", remedies.grant())
    }
    if !facts.isInitialUserNamespace {
      return ("; capabilities of a user namespace do not count for it", remedies.grant())
    }
    if facts.isFiltered {
      return ("; this process's system calls are filtered by seccomp", remedies.allowSystemCalls())
    }
    return ("", [])
  }

  private func explainClockEvent(_ code: Int32, _ detail: String) -> (reason: String, commands: [String]) {
    switch code {
    case EACCES, EPERM:
      if facts.capabilities.contains(.performance), SettingFindings(facts).isParanoidInTheWay {
        let name = SettingFindings.paranoid
        return ("; \(name) is above 2", remedies.set(name, 2))
      }
      return refusal(.performance)
    case EMFILE:
      return ("; the limit of open files is \(facts.openFilesLimit)", remedies.raiseOpenFiles(65536))
    case ENOSYS: return ("; the kernel must be built with CONFIG_PERF_EVENTS", [])
    default: return ("", [])
    }
  }

  private func explainProgram(_ code: Int32, _ detail: String) -> (reason: String, commands: [String]) {
    switch code {
    case EACCES, EPERM: refusal(.eBPF)
    case EMFILE: ("; the limit of open files is \(facts.openFilesLimit)", remedies.raiseOpenFiles(65536))
    case ENOSYS: ("; the kernel must be built with CONFIG_BPF_SYSCALL", [])
    default: ("", [])
    }
  }

  private func explainAttaching(_ code: Int32, _ detail: String) -> (reason: String, commands: [String]) {
    switch code {
    case EACCES, EPERM, EMFILE: explainClockEvent(code, detail)
    default: ("; the kernel must be built with CONFIG_BPF_EVENTS", [])
    }
  }

  private func explainRings(_ code: Int32, _ detail: String) -> (reason: String, commands: [String]) {
    guard code == EPERM, !detail.isEmpty else { return explainClockEvent(code, detail) }
    return (
      "; \(SettingFindings.lockedMemory) and `ulimit -l` limit what may be locked",
      makeRoom(facts.programNeeds.ringBytes)
    )
  }

  // MARK: Rights

  private var capabilities: [Finding] {
    let needed = Capability.needed.map { capability in
      if facts.capabilities.contains(capability) { return Finding(.ok, capability.name, "held") }
      if facts.capabilities.grants(capability) {
        return Finding(.ok, capability.name, "not held, but CAP_SYS_ADMIN includes it")
      }
      return Finding(
        ofProgram, capability.name, "missing\(cost(of: capability))\(remedies.whyNotGranted)",
        commands: remedies.grant(capability))
    }
    return needed + [
      priority,
      optional(
        .checkpoint, "without it files that were deleted or replaced since they were mapped cannot be read"),
      facts.capabilities.contains(.systemAdministrator)
        ? Finding(.ok, "CAP_SYS_ADMIN", "held")
        : Finding(.ok, "CAP_SYS_ADMIN", "not held; needed only where kernel.perf_event_paranoid is above 2"),
    ]
  }

  /// What is given up without a capability where there is another way.
  private func cost(of capability: Capability) -> String {
    guard facts.hasAnotherWay else { return "" }
    return switch capability {
    case .performance:
      ": without it there is no eBPF, and of the kernel only what \(SettingFindings.paranoid) allows"
    case .systemTrace: ": without it there is no eBPF, and only one's own processes can be sampled"
    default: ": without it there is no eBPF"
    }
  }

  private var priority: Finding {
    let capability = Capability.systemPriority
    guard facts.path == .unassisted, !facts.capabilities.contains(capability) else {
      return optional(
        capability, "without it the rings are read at ordinary priority, and may overflow on a busy machine")
    }
    if facts.step?.scheduling == .realtime {
      return Finding(.ok, capability.name, "not held, but `ulimit -r` allows readers of the real-time class")
    }
    return optional(
      capability,
      "without it the readers are of the normal class, and the Python frames of some samples are marked as "
        + "unverified")
  }

  private func optional(_ capability: Capability, _ otherwise: String) -> Finding {
    if facts.capabilities.contains(capability) { return Finding(.ok, capability.name, "held") }
    if facts.capabilities.grants(capability) {
      return Finding(.ok, capability.name, "not held, but CAP_SYS_ADMIN includes it")
    }
    return Finding(.note, capability.name, "missing: \(otherwise)", commands: remedies.grant(capability))
  }

  private var kernelNames: Finding {
    if facts.path == .unassisted, facts.step?.proves == false {
      return Finding(
        .note, "kernel functions", "none appear: nothing of the kernel may be seen",
        commands: remedies.grant())
    }
    return facts.showsKernelNames
      ? Finding(.ok, "kernel functions", "their names can be read")
      : Finding(
        .note, "kernel functions", "their names are hidden: they all appear as `kernel`",
        commands: facts.setting("kernel.kptr_restrict") == 2
          ? remedies.set("kernel.kptr_restrict", 1) : remedies.grant(.kernelLog))
  }

  // MARK: Where the process runs

  private var container: Finding {
    guard let container = facts.container else { return Finding(.ok, "container", "none recognised") }
    return Finding(
      .note, "container", "\(container.kind) (\(container.evidence)); its rights are what its start gave it")
  }

  private var seccomp: Finding {
    facts.isFiltered
      ? Finding(
        .note, "seccomp", "system calls are filtered; whether those that are needed pass was tried above")
      : Finding(.ok, "seccomp", "system calls are not filtered")
  }

  private var userNamespace: Finding {
    facts.isInitialUserNamespace
      ? Finding(.ok, "user namespace", "the first one")
      : Finding(
        .note, "user namespace",
        "nested: capabilities held in it do not count for perf events and eBPF")
  }

  private var pidNamespace: Finding {
    guard facts.hasOwnProc else {
      return Finding(
        .problem, "pid namespace",
        "\(facts.isInitialPidNamespace ? "the first one" : "nested"), but /proc numbers processes by another one than "
          + "the system calls do: it needs a /proc of its own",
        commands: ["unshare --pid --fork --mount-proc COMMAND"])
    }
    return facts.isInitialPidNamespace
      ? Finding(.ok, "pid namespace", "the first one")
      : Finding(.note, "pid namespace", "nested: only processes in it can be sampled, by their numbers in it")
  }

  private var openFiles: Finding {
    let limit = facts.openFilesLimit
    let needs = facts.needs
    let perThread = needs.threadDescriptors == 1 ? "one" : "\(needs.threadDescriptors)"
    let text =
      "\(limit)" + (facts.openFiles < limit ? ", to which caduceus raises \(facts.openFiles) itself" : "")
      + " (it needs \(needs.fixedDescriptors) for \(facts.cpus) CPUs and \(perThread) for each thread of the program)"
    return limit >= UInt64(needs.fixedDescriptors + 1024 * needs.threadDescriptors)
      ? Finding(.ok, "open files", text)
      : Finding(.note, "open files", text, commands: remedies.raiseOpenFiles(65536))
  }

  private var memory: Finding {
    let total = UInt64(facts.totalRingBytes)
    let text =
      "\(Self.size(facts.totalRingBytes)) (\(Self.size(facts.needs.ringBytes)) for each of \(facts.cpus) CPUs, at one "
      + "sample in \(facts.period / 1000) us of CPU time)"
    if let available = facts.availableMemory, total > available / 4 {
      return Finding(
        .note, "memory of the rings",
        "\(text); only \(available >> 20) MiB are available: use a smaller --ring-size")
    }
    return Finding(.ok, "memory of the rings", text)
  }

  private static func size(_ bytes: Int) -> String {
    bytes % (1 << 20) == 0 ? "\(bytes >> 20) MiB" : "\(bytes >> 10) KiB"
  }
}

/// `a, b and c`.
func list(_ items: [String]) -> String {
  guard let last = items.last, items.count > 1 else { return items.first ?? "" }
  return items.dropLast().joined(separator: ", ") + " and " + last
}
