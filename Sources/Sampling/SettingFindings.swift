// What a machine's sysctls mean for sampling. Pure: the same facts give the same findings.

import Glibc

/// Judges the sysctls of a machine.
struct SettingFindings {
  static let paranoid = "kernel.perf_event_paranoid"
  static let unprivileged = "kernel.unprivileged_bpf_disabled"
  static let tracing = "kernel.yama.ptrace_scope"
  static let kernelAddresses = "kernel.kptr_restrict"
  static let sampleRate = "kernel.perf_event_max_sample_rate"
  static let lockedMemory = "kernel.perf_event_mlock_kb"
  static let compiler = "net.core.bpf_jit_enable"

  private let facts: MachineDiagnosis
  private let remedies: Remedies

  init(_ facts: MachineDiagnosis) {
    self.facts = facts
    remedies = Remedies(machine: facts)
  }

  var all: [Finding] {
    MachineDiagnosis.settingNames.map { name in
      guard let value = facts.settings[name] else { return Finding(.ok, name, "not to be seen here") }
      let (mark, meaning, commands) = judge(name, Int(value))
      return Finding(mark, name, "\(value)" + (meaning.isEmpty ? "" : " (\(meaning))"), commands: commands)
    }
  }

  /// Debian's and Ubuntu's kernels, and only those, ask for CAP_SYS_ADMIN where the value is above 2, and refuse
  /// everybody else even events of their own (EACCES; a seccomp filter says EPERM as a rule).
  var isParanoidInTheWay: Bool {
    guard let value = facts.setting(Self.paranoid), value > 2,
      !facts.capabilities.contains(.systemAdministrator)
    else { return false }
    if facts.capabilities.contains(.performance) {
      guard case .failed(let code, _) = facts.clockEvent else { return false }
      return code == EACCES || code == EPERM
    }
    guard case .failed(let code, _) = facts.unassisted else { return false }
    return code == EACCES
  }

  /// Whether the kernel counts us as one who may see its part of events.
  private var mayProfileKernel: Bool {
    facts.capabilities.grants(.performance) && facts.isInitialUserNamespace
  }

  private func judgeParanoid(_ value: Int?) -> (Finding.Mark, String, [String]) {
    let name = Self.paranoid
    if isParanoidInTheWay {
      return (
        facts.hasAnotherWay ? .note : .problem, "above 2 this kernel asks for CAP_SYS_ADMIN",
        remedies.set(name, 2)
      )
    }
    guard let value else { return (.ok, "", []) }
    if !mayProfileKernel, value <= 2 || facts.unassisted.hasWorked {
      return value < 2
        ? (.ok, "below 2 the kernel's part is seen without CAP_PERFMON, too", [])
        : (
          .note,
          "without CAP_PERFMON only user space is sampled, and Python frames rest on evidence; at 1 they "
            + "are proven", facts.unassisted.hasWorked ? remedies.set(name, 1) : []
        )
    }
    guard value > 2, !facts.capabilities.contains(.systemAdministrator) else {
      return (.ok, "any value up to 2 will do with CAP_PERFMON", [])
    }
    return facts.clockEvent.hasWorked
      ? (.ok, "some kernels ask for CAP_SYS_ADMIN above 2; this one does not", [])
      : (.note, "above 2 Debian's and Ubuntu's kernels ask for CAP_SYS_ADMIN", remedies.set(name, 2))
  }

  private func judgeTracing(_ value: Int?) -> (Finding.Mark, String, [String]) {
    let name = Self.tracing
    guard let value else { return (.ok, "", []) }
    if value == 3 {
      return (
        .problem,
        "no process may read another one's memory until the next boot; boot with \(name) below 3", []
      )
    }
    guard value > 0, !facts.capabilities.contains(.systemTrace) else {
      return (.ok, "any value below 3 will do with CAP_SYS_PTRACE", [])
    }
    return value == 1
      ? (
        .note, "without CAP_SYS_PTRACE only programs that `caduceus run` starts can be sampled",
        remedies.set(name, 0)
      )
      : (.problem, "without CAP_SYS_PTRACE no process may read another one's memory", remedies.set(name, 0))
  }

  private func judge(_ name: String, _ value: Int?) -> (Finding.Mark, String, [String]) {
    switch name {
    case Self.paranoid: return judgeParanoid(value)
    case Self.unprivileged: return (.ok, "any value will do with CAP_BPF", [])
    case Self.tracing: return judgeTracing(value)
    case Self.kernelAddresses: return (.ok, "whether kernel functions have names was tried below", [])
    case Self.sampleRate:
      let rate = facts.period > 0 ? Int(1_000_000_000 / facts.period) : 0
      guard let value, value < rate else { return (.ok, "\(rate) samples a second are the default", []) }
      return (
        .note, "samples beyond this rate are left out, and \(rate) a second are the default",
        remedies.set(name, 100_000)
      )
    case Self.lockedMemory: return (.ok, "whether the rings can be locked was tried above", [])
    case Self.compiler:
      return value == 0
        ? (.note, "the eBPF program is interpreted, which makes each sample dearer", remedies.set(name, 1))
        : (.ok, "the eBPF program is compiled", [])
    default: return (.ok, "", [])
    }
  }
}
