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

  /// Debian's and Ubuntu's kernels, and only those, ask for CAP_SYS_ADMIN where the value is above 2.
  var isParanoidInTheWay: Bool {
    guard let value = facts.setting(Self.paranoid), value > 2,
      case .failed(let code, _) = facts.clockEvent
    else { return false }
    return (code == EACCES || code == EPERM) && facts.capabilities.contains(.performance)
      && !facts.capabilities.contains(.systemAdministrator)
  }

  private func judge(_ name: String, _ value: Int?) -> (Finding.Mark, String, [String]) {
    switch name {
    case Self.paranoid:
      if isParanoidInTheWay {
        return (.problem, "above 2 this kernel asks for CAP_SYS_ADMIN", remedies.set(name, 2))
      }
      guard let value, value > 2, !facts.capabilities.contains(.systemAdministrator) else {
        return (.ok, "any value up to 2 will do with CAP_PERFMON", [])
      }
      return facts.clockEvent.hasWorked
        ? (.ok, "some kernels ask for CAP_SYS_ADMIN above 2; this one does not", [])
        : (.note, "above 2 Debian's and Ubuntu's kernels ask for CAP_SYS_ADMIN", remedies.set(name, 2))
    case Self.unprivileged: return (.ok, "any value will do with CAP_BPF", [])
    case Self.tracing:
      return value == 3
        ? (
          .problem,
          "no process may read another one's memory until the next boot; boot with \(name) below 3", []
        )
        : (.ok, "any value below 3 will do with CAP_SYS_PTRACE", [])
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
