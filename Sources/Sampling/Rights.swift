// What this user and this kernel allow, and how to say what is missing.

import Glibc
import PerfEvents

/// The rights and kernel features that sampling needs.
enum Rights {
  /// Bits of the capabilities (include/uapi/linux/capability.h) and their names.
  private static let needed: [(bit: UInt64, name: String)] = [
    (38, "CAP_PERFMON"), (39, "CAP_BPF"), (19, "CAP_SYS_PTRACE"),
  ]
  private static let systemAdministrator: UInt64 = 21

  /// Throws when something is missing; names it and what it is set to now.
  static func check() throws(SamplingError) {
    let effective = capabilities()
    let isAdministrator = effective >> systemAdministrator & 1 == 1
    let missing = needed.filter { effective >> $0.bit & 1 == 0 && !(isAdministrator && $0.bit >= 38) }
    if !missing.isEmpty {
      let names = missing.map(\.name).joined(separator: ", ")
      throw .notPermitted(
        what: "not permitted: \(names) missing (user id \(geteuid()), kernel.perf_event_paranoid = "
          + "\(setting("kernel/perf_event_paranoid")), kernel.unprivileged_bpf_disabled = "
          + "\(setting("kernel/unprivileged_bpf_disabled"))); run it with sudo")
    }
    guard unsafe access("/sys/kernel/btf/vmlinux", R_OK) == 0 else {
      throw .kernel(
        "this kernel has no type information (/sys/kernel/btf/vmlinux): it must be built with CONFIG_DEBUG_INFO_BTF"
      )
    }
    if let version = kernelVersion(), version < (6, 1) {
      throw .kernel("this kernel is \(version.0).\(version.1); 6.1 or later is supported")
    }
  }

  /// What to add to a failure of perf_event_open or of loading, by errno.
  static func explain(_ error: PerfEventsError) -> SamplingError {
    switch error {
    case .open(let what, let code)
    where (code == EACCES || code == EPERM) && (Int(setting("kernel/perf_event_paranoid")) ?? 0) > 2
      && capabilities() >> systemAdministrator & 1 == 0:
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
          + "CAP_PERFMON is \(capabilities() >> 38 & 1 == 1 ? "there" : "missing"); a container's seccomp profile may "
          + "forbid perf_event_open; run it with sudo on the host")
    case .open(let what, let code) where code == EMFILE:
      return .kernel("too many open files while opening \(what): raise `ulimit -n`")
    case .refused(let code, _) where code == EPERM:
      return .notPermitted(
        what:
          "not permitted to load an eBPF program: CAP_BPF is \(capabilities() >> 39 & 1 == 1 ? "there" : "missing"), "
          + "kernel.unprivileged_bpf_disabled = \(setting("kernel/unprivileged_bpf_disabled")); kernel lockdown also "
          + "forbids it (see /sys/kernel/security/lockdown)")
    default: return .setUp(error)
    }
  }

  /// Effective capabilities of this process (capabilities(7), /proc/self/status).
  static func capabilities() -> UInt64 {
    guard let file = unsafe fopen("/proc/self/status", "re") else { return 0 }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 512)
    while unsafe fgets(&buffer, 512, file) != nil {
      let line = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if line.hasPrefix("CapEff:") {
        return UInt64(line.dropFirst(7).filter { $0.isHexDigit }, radix: 16) ?? 0
      }
    }
    return 0
  }

  /// The value of a sysctl, or `?`.
  static func setting(_ path: String) -> String {
    guard let file = unsafe fopen("/proc/sys/" + path, "re") else { return "?" }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 64)
    guard unsafe fgets(&buffer, 64, file) != nil else { return "?" }
    return String(
      decoding: buffer.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Major and minor number of the running kernel.
  static func kernelVersion() -> (Int, Int)? {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return nil }
    let release = unsafe withUnsafeBytes(of: &name.release) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    let parts = release.split { $0 == "." || $0 == "-" }.prefix(2).compactMap { Int($0) }
    return parts.count == 2 ? (parts[0], parts[1]) : nil
  }

  /// Raises the limit of open files as far as allowed: each thread of the target needs a descriptor.
  static func raiseFileLimit() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    _ = unsafe setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
  }

  /// On a machine whose CPUs are all busy the rings would wait for their reader, and a program that has just been
  /// started for its layout. For this thread only; a child forked before keeps its own priority.
  static func raisePriority() {
    let now = getpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0)
    if now > -10 { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, -10) }
  }
}
