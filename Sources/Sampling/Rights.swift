// What this user and this kernel allow, and how to say what is missing.

import Glibc
import PerfEvents
import ProcessImages

/// The rights and kernel features that sampling needs.
enum Rights {
  /// Throws where nothing at all can be sampled: how caduceus was started, and where.
  static func checkPlace() throws(SamplingError) {
    guard getuid() == geteuid(), getgid() == getegid() else {
      throw .notPermitted(
        what:
          "caduceus must not be set-uid or set-gid: anybody could read every process with it; use sudo, or give "
          + "the file capabilities")
    }
    guard hasOwnProc else {
      throw .notPermitted(
        what:
          "/proc numbers processes by another pid namespace than this one; run it where /proc is the namespace's "
          + "own, as after `unshare --pid --fork --mount-proc`")
    }
    if let version = KernelVersion(release: KernelVersion.runningRelease()),
      version < KernelVersion.oldestSupported
    {
      throw .kernel("this kernel is \(version); \(KernelVersion.oldestSupported) or later is supported")
    }
  }

  /// Throws when something is missing that the eBPF program needs; names it and what it is set to now.
  static func check() throws(SamplingError) {
    let missing = capabilities().missing
    if !missing.isEmpty {
      let names = missing.map(\.name).joined(separator: ", ")
      throw .notPermitted(
        what: "not permitted: \(names) missing (user id \(geteuid()), kernel.perf_event_paranoid = "
          + "\(setting("kernel/perf_event_paranoid")), kernel.unprivileged_bpf_disabled = "
          + "\(setting("kernel/unprivileged_bpf_disabled"))); run it with sudo")
    }
    guard hasTypeInformation() else {
      throw .kernel(
        "this kernel has no type information (\(typeInformation)): it must be built with CONFIG_DEBUG_INFO_BTF"
      )
    }
  }

  /// Where the kernel shows its type information.
  static let typeInformation = "/sys/kernel/btf/vmlinux"

  /// Whether the kernel's type information can be read.
  static func hasTypeInformation() -> Bool { unsafe access(typeInformation, R_OK) == 0 }

  /// Whether /proc numbers processes as the system calls do: it belongs to the pid namespace we are in.
  static var hasOwnProc: Bool { MachineDiagnosis.link("/proc/self").flatMap { Int32($0) } == getpid() }

  /// Whether a process is there that we may not look into (ptrace(2), access mode checking). Its namespaces tell: what
  /// is mapped in it newer kernels show whoever has CAP_PERFMON.
  static func isHidden(_ process: Int32) -> Bool {
    do throws(ProcessReadError) {
      _ = try ProcessFacts(pid: process).pidNamespace()
      return false
    } catch .notPermitted {
      return true
    } catch {
      return false
    }
  }

  /// What to add to a failure of perf_event_open or of loading, by errno.
  static func explain(_ error: PerfEventsError) -> SamplingError {
    switch error {
    case .open(let what, let code)
    where (code == EACCES || code == EPERM) && (Int(setting("kernel/perf_event_paranoid")) ?? 0) > 2
      && !capabilities().contains(.systemAdministrator):
      // Debian and Ubuntu only: above 2, which is Debian's default, CAP_PERFMON is not enough.
      return .notPermitted(
        what:
          "not permitted to open \(what): kernel.perf_event_paranoid = \(setting("kernel/perf_event_paranoid")) asks "
          + "for CAP_SYS_ADMIN on Debian and Ubuntu; run it with sudo, or set kernel.perf_event_paranoid to 2"
      )
    case .open(let what, let code) where code == EACCES || code == EPERM:
      return .notPermitted(
        what:
          "not permitted to open \(what): kernel.perf_event_paranoid = \(setting("kernel/perf_event_paranoid")), "
          + "CAP_PERFMON is \(capabilities().contains(.performance) ? "there" : "missing"); a container's seccomp "
          + "profile may forbid perf_event_open; run it with sudo on the host")
    case .open(let what, let code) where code == EMFILE:
      return .kernel("too many open files while opening \(what); raise `ulimit -n`")
    case .refused(let code, _) where code == EPERM:
      return .notPermitted(
        what:
          "not permitted to load an eBPF program: CAP_BPF is \(capabilities().contains(.eBPF) ? "there" : "missing"), "
          + "kernel.unprivileged_bpf_disabled = \(setting("kernel/unprivileged_bpf_disabled")); kernel lockdown also "
          + "forbids it (see /sys/kernel/security/lockdown)")
    default: return .setUp(error)
    }
  }

  /// Effective capabilities of this process (capabilities(7), /proc/self/status), or another of its sets.
  static func capabilities(_ set: String = "CapEff") -> CapabilitySet {
    CapabilitySet(bits: SystemText.ownStatus(set).flatMap { UInt64($0, radix: 16) } ?? 0)
  }

  /// The value of a sysctl, or `?`.
  static func setting(_ path: String) -> String { SystemText.read("/proc/sys/" + path) ?? "?" }

  /// The limit of open files: the one in force, and how far it may be raised.
  static func fileLimit() -> (soft: UInt64, hard: UInt64)? {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else {
      return nil
    }
    return (UInt64(limit.rlim_cur), UInt64(limit.rlim_max))
  }

  /// Raises the limit of open files as far as allowed: each thread of the target needs a descriptor.
  static func raiseFileLimit() {
    guard let (_, hard) = fileLimit() else { return }
    var limit = rlimit(rlim_cur: rlim_t(hard), rlim_max: rlim_t(hard))
    _ = unsafe setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
  }

  /// Files of the target that may be held open: half of what there is, threads need descriptors, too.
  static var heldFileLimit: Int { fileLimit().map { Int(clamping: $0.0 / 2) } ?? 512 }

  /// On a machine whose CPUs are all busy the rings would wait for their reader, and a program that has just been
  /// started for its layout. For this thread only; a child forked before keeps its own priority.
  static func raisePriority() {
    let now = getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
    if now > -10 { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -10) }
  }
}
