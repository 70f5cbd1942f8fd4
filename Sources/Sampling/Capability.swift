// The capabilities of capabilities(7) that decide what can be sampled.

/// One capability; its raw value is its bit (include/uapi/linux/capability.h).
public enum Capability: UInt64, CaseIterable, Sendable {
  /// Reading other users' processes and what Yama protects.
  case systemTrace = 19
  /// Implies `performance`, `eBPF` and `checkpoint`.
  case systemAdministrator = 21
  /// A better priority than one has.
  case systemPriority = 23
  /// More open files than the hard limit.
  case systemResources = 24
  /// Kernel addresses.
  case kernelLog = 34
  /// perf_event_open(2) of other processes and of whole CPUs.
  case performance = 38
  /// Loading eBPF programs.
  case eBPF = 39
  /// Opening the very file behind another process's mapping.
  case checkpoint = 40

  /// `CAP_...`
  public var name: String {
    switch self {
    case .systemTrace: "CAP_SYS_PTRACE"
    case .systemAdministrator: "CAP_SYS_ADMIN"
    case .systemPriority: "CAP_SYS_NICE"
    case .systemResources: "CAP_SYS_RESOURCE"
    case .kernelLog: "CAP_SYSLOG"
    case .performance: "CAP_PERFMON"
    case .eBPF: "CAP_BPF"
    case .checkpoint: "CAP_CHECKPOINT_RESTORE"
    }
  }

  /// What sampling cannot do without, in the order in which it is named.
  public static let needed: [Capability] = [.performance, .eBPF, .systemTrace]
}

/// A set of capabilities as /proc/PID/status writes it: one bit each.
public struct CapabilitySet: Equatable, Sendable {
  /// The bits.
  public var bits: UInt64

  /// A set from its bits.
  public init(bits: UInt64) { self.bits = bits }

  /// A set from its members.
  public init(_ members: [Capability]) { bits = members.reduce(0) { $0 | 1 << $1.rawValue } }

  /// Whether the bit is there.
  public func contains(_ capability: Capability) -> Bool { bits >> capability.rawValue & 1 == 1 }

  /// Whether the kernel grants what the capability is for: the administrator's includes those that were split off
  /// from it (perfmon_capable, bpf_capable and checkpoint_restore_ns_capable of include/linux/capability.h).
  public func grants(_ capability: Capability) -> Bool {
    switch capability {
    case .performance, .eBPF, .checkpoint: contains(capability) || contains(.systemAdministrator)
    default: contains(capability)
    }
  }

  /// What is missing of what sampling cannot do without.
  public var missing: [Capability] { Capability.needed.filter { !grants($0) } }
}
