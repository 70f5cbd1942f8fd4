// What this machine and this user's rights allow: facts only, nothing is judged here and nothing is changed.

import Glibc
import PerfEvents
import ProcessImages

/// How something ended that was really tried.
public enum Trial: Equatable, Sendable {
  /// It works.
  case worked
  /// It failed: errno, and what else is known (what the verifier said), possibly empty.
  case failed(errno: Int32, detail: String)
  /// It was not tried, for this reason.
  case notTried(String)

  /// Whether it works.
  public var hasWorked: Bool { self == .worked }
}

/// Facts about the machine, the kernel and the rights of the process that asks.
public struct MachineDiagnosis: Equatable, Sendable {
  /// A container this process runs in, and what shows it.
  public struct Container: Equatable, Sendable {
    /// `docker`, `podman`, `kubernetes`, ...
    public var kind: String
    /// The file, variable or line that shows it.
    public var evidence: String

    /// A container from its parts.
    public init(kind: String, evidence: String) {
      self.kind = kind
      self.evidence = evidence
    }
  }

  /// The kernel's release, as `uname -r` prints it.
  public var kernelRelease = ""
  /// Whether the kernel's type information can be read.
  public var hasTypeInformation = false
  /// The kernel lockdown's mode: `none`, `integrity` or `confidentiality`; nil where it is not to be seen.
  public var lockdown: String?
  /// Values of the sysctls in `settingNames`, by name; those that do not exist here are absent.
  public var settings: [String: String] = [:]
  /// Whether kernel functions have names for this process.
  public var showsKernelNames = false

  /// Effective user id.
  public var user: UInt32 = 0
  /// The capabilities in force.
  public var capabilities = CapabilitySet(bits: 0)
  /// The capabilities that programs started from here can get at all.
  public var bounding = CapabilitySet(bits: 0)
  /// Whether neither sudo nor file capabilities have an effect (PR_SET_NO_NEW_PRIVS).
  public var hasNoNewPrivileges = false
  /// System calls are filtered by seccomp.
  public var isFiltered = false
  /// False in a user namespace, where capabilities do not count for perf events and eBPF.
  public var isInitialUserNamespace = true
  /// Inode of the pid namespace.
  public var pidNamespace: UInt64 = 0
  /// False in a nested pid namespace.
  public var isInitialPidNamespace = true
  /// False where /proc numbers processes by another pid namespace than ours.
  public var hasOwnProc = true
  /// The container, if one is recognised.
  public var container: Container?

  /// The limit of open files in force when the process was started, and how far it may raise it itself.
  public var openFiles: UInt64 = 0
  /// The hard limit of open files.
  public var openFilesLimit: UInt64 = 0
  /// CPUs that are online: each gets a ring.
  public var cpus = 0
  /// What sampling with eBPF needs.
  public var programNeeds = CaptureNeeds()
  /// What sampling without eBPF needs.
  public var unassistedNeeds = CaptureNeeds()
  /// Nanoseconds of CPU time between two samples by default.
  public var period: UInt64 = 0
  /// Bytes of memory that programs can still get (MemAvailable); nil where it is not known.
  public var availableMemory: UInt64?

  /// perf_event_open(2) of a cpu-clock event.
  public var clockEvent = Trial.notTried("")
  /// Loading the eBPF program.
  public var program = Trial.notTried("")
  /// Opening every CPU's output events and mapping its ring.
  public var rings = Trial.notTried("")
  /// Bytes of one CPU's ring where no larger one may be locked; nil where there is no such limit.
  public var lockableRing: Int?
  /// Attaching the program to an event.
  public var attaching = Trial.notTried("")
  /// Setting up everything that sampling without eBPF needs.
  public var unassisted = Trial.notTried("")
  /// The step of sampling without eBPF that was reached; nil where it could not be set up.
  public var step: UnassistedStep?

  /// Nothing known yet.
  public init() {}

  /// The sysctls that matter.
  public static let settingNames = [
    "kernel.perf_event_paranoid", "kernel.unprivileged_bpf_disabled", "kernel.yama.ptrace_scope",
    "kernel.kptr_restrict", "kernel.perf_event_max_sample_rate", "kernel.perf_event_mlock_kb",
    "net.core.bpf_jit_enable",
  ]

  /// A sysctl's value as a number.
  public func setting(_ name: String) -> Int? { settings[name].flatMap { Int($0) } }

  /// Bytes of all rings of the way that would be taken.
  public var totalRingBytes: Int { needs.ringBytes * cpus }
}

extension MachineDiagnosis {
  /// Inodes of the first namespaces (include/uapi/linux/nsfs.h; PROC_USER_INIT_INO, PROC_PID_INIT_INO).
  private static let firstUserNamespace: UInt64 = 0xEFFF_FFFD
  private static let firstPidNamespace: UInt64 = 0xEFFF_FFFC
  private static let lockdownPath = "/sys/kernel/security/lockdown"

  /// Everything but the trials.
  static func gather(options: SamplingOptions = SamplingOptions()) -> MachineDiagnosis {
    var facts = MachineDiagnosis()
    facts.kernelRelease = KernelVersion.runningRelease()
    facts.hasTypeInformation = Rights.hasTypeInformation()
    facts.lockdown = SystemText.read(lockdownPath).flatMap(chosen)
    for name in settingNames {
      let path = name.split(separator: ".").joined(separator: "/")
      if let value = SystemText.read("/proc/sys/" + path) { facts.settings[name] = value }
    }
    // Where addresses are hidden the file lists them as 0; where the file is missing there are no names either.
    facts.showsKernelNames = ((try? KernelSymbols())?.count ?? 0) > 0

    facts.user = geteuid()
    facts.capabilities = Rights.capabilities()
    facts.bounding = Rights.capabilities("CapBnd")
    facts.hasNoNewPrivileges = SystemText.ownStatus("NoNewPrivs") == "1"
    facts.isFiltered = SystemText.ownStatus("Seccomp").map { $0 != "0" } ?? false
    facts.isInitialUserNamespace = inode("/proc/self/ns/user").map { $0 == firstUserNamespace } ?? true
    facts.pidNamespace = inode("/proc/self/ns/pid") ?? 0
    facts.isInitialPidNamespace = facts.pidNamespace == firstPidNamespace || facts.pidNamespace == 0
    facts.hasOwnProc = Rights.hasOwnProc
    facts.container = Container.current()

    if let (soft, hard) = Rights.fileLimit() { (facts.openFiles, facts.openFilesLimit) = (soft, hard) }
    facts.cpus = RecordStream.onlineCPUs().count
    let classes = ProgramConfiguration.stackClasses(largest: options.stackBytes).count
    facts.programNeeds = CaptureNeeds(
      fixedDescriptors: otherDescriptors + facts.cpus
        * RecordStream.descriptorsPerCPU(stackClasses: classes),
      ringBytes: options.chosenRingBytes)
    facts.period = options.period
    facts.availableMemory = SystemText.read("/proc/meminfo").flatMap {
      SystemText.value(of: "MemAvailable", in: $0)
    }
    .flatMap { $0.split(separator: " ").first.flatMap { UInt64($0) } }.map { $0 << 10 }
    return facts
  }

  /// About what the standard streams, the eBPF program with its maps, signals and the target's end take.
  private static let otherDescriptors = 18

  /// The word in brackets of `[none] integrity confidentiality`.
  static func chosen(_ text: String) -> String? {
    guard let open = text.firstIndex(of: "["), let close = text.firstIndex(of: "]"), open < close else {
      return nil
    }
    return String(text[text.index(after: open)..<close])
  }

  private static func inode(_ path: String) -> UInt64? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  static func link(_ path: String) -> String? {
    var target = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink(path, &target, target.count)
    guard count > 0 else { return nil }
    return String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

extension MachineDiagnosis.Container {
  /// What cgroup paths say about who made them.
  private static let controllers = [
    ("kubepods", "kubernetes"), ("libpod", "podman"), ("docker", "docker"), ("containerd", "containerd"),
    ("lxc", "lxc"), ("machine.slice", "systemd-nspawn"),
  ]

  /// The container of this process.
  static func current() -> Self? {
    find(
      variable: unsafe getenv("container").map { unsafe String(cString: $0) },
      cgroup: SystemText.read("/proc/self/cgroup") ?? "",
      exists: { path in unsafe access(path, F_OK) == 0 })
  }

  /// The container that a `container` variable, the text of /proc/self/cgroup or a file shows; the surest first.
  static func find(variable: String?, cgroup: String, exists: (String) -> Bool) -> Self? {
    if exists("/run/.containerenv") { return Self(kind: "podman", evidence: "/run/.containerenv") }
    if exists("/.dockerenv") { return Self(kind: "docker", evidence: "/.dockerenv") }
    if let variable, !variable.isEmpty { return Self(kind: variable, evidence: "container=\(variable)") }
    for line in cgroup.split(separator: "\n") {
      for (word, kind) in controllers where line.contains(word) {
        return Self(kind: kind, evidence: "/proc/self/cgroup: \(line)")
      }
    }
    return nil
  }
}
