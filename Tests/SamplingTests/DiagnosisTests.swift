// What facts about a machine mean, and the facts that are made of text.

import Glibc
import Testing

@testable import Sampling

@Suite struct DiagnosisTests {
  // MARK: Facts from text

  @Test(arguments: [
    ("6.1.0-13-amd64", "6.1"), ("5.15.0-91-generic", "5.15"), ("6.18.44", "6.18"), ("6.19-rc1", "6.19"),
    ("6.12+", "6.12"), ("7.0.0", "7.0"), ("6.6.87.2-microsoft-standard-WSL2", "6.6"), ("6", nil),
    ("x.y", nil),
    ("", nil),
  ])
  func kernelVersions(_ release: String, _ version: String?) {
    #expect(KernelVersion(release: release)?.description == version)
  }

  @Test func versionsCompareByNumber() {
    #expect(KernelVersion(5, 19) < KernelVersion(6, 1))
    #expect(KernelVersion(6, 9) < KernelVersion(6, 10))
    #expect(KernelVersion(6, 1) >= KernelVersion.oldestSupported)
  }

  @Test func whatKernelsLack() {
    #expect(KernelVersion(6, 0).lacks.isEmpty)
    #expect(KernelVersion(5, 19).lacks == ["the count of lost records (6.0)"])
    #expect(KernelVersion(5, 15).lacks == ["bpf_loop (5.17)", "the count of lost records (6.0)"])
    #expect(KernelVersion(5, 4).lacks.count == 5)
  }

  @Test func theChosenWord() {
    #expect(MachineDiagnosis.chosen("[none] integrity confidentiality") == "none")
    #expect(MachineDiagnosis.chosen("none integrity [confidentiality]") == "confidentiality")
    #expect(MachineDiagnosis.chosen("") == nil)
    #expect(MachineDiagnosis.chosen("][") == nil)
  }

  @Test func statusLines() {
    let text = "Name:\tCapEff: 1\nCapEff:\t000001ffffffffff\nSeccomp:\t2\nSeccomp_filters:\t1\n"
    #expect(SystemText.value(of: "CapEff", in: text) == "000001ffffffffff")
    #expect(SystemText.value(of: "Seccomp", in: text) == "2")
    #expect(SystemText.value(of: "CapBnd", in: text) == nil)
    #expect(SystemText.value(of: "MemAvailable", in: "MemFree:  1 kB\nMemAvailable:   77 kB") == "77 kB")
  }

  @Test func containers() {
    func find(_ variable: String? = nil, _ cgroup: String = "0::/", files: Set<String> = []) -> String? {
      MachineDiagnosis.Container.find(variable: variable, cgroup: cgroup) { files.contains($0) }?.kind
    }
    #expect(find() == nil)
    #expect(find(files: ["/.dockerenv"]) == "docker")
    #expect(find("podman", files: ["/run/.containerenv"]) == "podman")
    #expect(find("systemd-nspawn") == "systemd-nspawn")
    #expect(find("", "0::/user.slice/user-1000.slice") == nil)
    #expect(find(nil, "0::/kubepods.slice/pod1/cri-containerd-77.scope") == "kubernetes")
    #expect(find(nil, "9:name=systemd:/\n3:cpu:/docker/77\n0::/") == "docker")
  }

  @Test func theAdministratorIncludesWhatWasSplitOffFromIt() {
    let administrator = CapabilitySet([.systemAdministrator])
    #expect(administrator.missing == [.systemTrace])
    #expect(administrator.grants(.checkpoint) && !administrator.grants(.systemPriority))
    #expect(CapabilitySet([.performance, .eBPF, .systemTrace]).missing.isEmpty)
    #expect(CapabilitySet.none.missing == Capability.needed)
    // CAP_SYS_PTRACE 19, CAP_PERFMON 38, CAP_BPF 39 of include/uapi/linux/capability.h.
    #expect(CapabilitySet([.performance, .eBPF, .systemTrace]).bits == 0xC0_0008_0000)
  }

  @Test(arguments: [
    ("libc.so.6", true), ("libc-2.31.so", true), ("libm.so.6", true), ("ld-linux-x86-64.so.2", true),
    ("ld-musl-x86_64.so.1", true), ("libnss_files.so.2", true), ("libpthread.so.0", true),
    ("libcrypto.so.3", false), ("libmkl_rt.so.2", false), ("math.cpython-312-x86_64-linux-gnu.so", false),
    ("libc++.so.1", false), ("libcuda.so.1", false), ("libm", false), ("ld-tool", false),
  ])
  func filesOfTheCLibrary(_ name: String, _ isPart: Bool) {
    #expect(ModuleDiagnosis.isCLibrary(name) == isPart)
  }

  @Test(arguments: [
    ("/x/lib/python3.12/site-packages/pandas/_libs/lib.so", "pandas/_libs/lib.so"),
    ("/usr/lib/python3/dist-packages/a.so", "a.so"),
    ("/x/lib/python3.12/lib-dynload/_ssl.so", "_ssl.so"), ("/usr/lib/libz.so.1", "libz.so.1"),
  ])
  func shortPaths(_ path: String, _ short: String) {
    #expect(ModuleDiagnosis(path: path, kind: .library).shortPath == short)
  }

  // MARK: Machines

  /// One fact of a healthy machine is changed: what is said of it then, and by which commands it is improved.
  struct Change: Sendable, CustomTestStringConvertible {
    let subject: String
    let mark: Finding.Mark
    let commands: [String]
    let words: String
    let make: @Sendable (inout MachineDiagnosis) -> Void

    init(
      _ subject: String, _ mark: Finding.Mark, _ words: String, _ commands: [String] = [],
      _ make: @escaping @Sendable (inout MachineDiagnosis) -> Void
    ) {
      self.subject = subject
      self.mark = mark
      self.words = words
      self.commands = commands
      self.make = make
    }

    var testDescription: String { "\(subject): \(words)" }
  }

  private static let grant = "setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)"
  private static let run = "docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE"

  static let changes: [Change] = [
    Change("kernel", .problem, "bpf_loop (5.17)") { $0.kernelRelease = "5.15.0" },
    Change("kernel", .problem, "not supported") { $0.kernelRelease = "6.0.0" },
    Change("kernel", .ok, "6.1.0") { $0.kernelRelease = "6.1.0" },
    Change("kernel", .note, "6.1 or later") { $0.kernelRelease = "unknown" },
    Change("type information", .problem, "CONFIG_DEBUG_INFO_BTF") { $0.hasTypeInformation = false },
    Change("lockdown", .problem, "lockdown=confidentiality") { $0.lockdown = "confidentiality" },
    Change("lockdown", .ok, "integrity") { $0.lockdown = "integrity" },
    Change("lockdown", .ok, "not to be seen") { $0.lockdown = nil },
    // A right that is missing, seen by what was tried.
    Change("perf_event_open", .problem, "CAP_PERFMON is missing", [grant]) {
      $0.capabilities = CapabilitySet([.eBPF, .systemTrace])
      $0.clockEvent = .failed(errno: EACCES, detail: "")
    },
    Change(
      "perf_event_open", .problem, "seccomp",
      [
        "docker run --security-opt seccomp=unconfined --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE"
      ]
    ) {
      $0.isFiltered = true
      $0.container = .init(kind: "docker", evidence: "")
      $0.clockEvent = .failed(errno: EPERM, detail: "")
    },
    Change(
      "perf_event_open", .problem, "user namespace",
      [
        "sudo podman run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE"
      ]
    ) {
      $0.isInitialUserNamespace = false
      $0.container = .init(kind: "podman", evidence: "")
      $0.clockEvent = .failed(errno: EACCES, detail: "")
    },
    Change("perf_event_open", .problem, "is above 2", ["sysctl kernel.perf_event_paranoid=2"]) {
      $0.capabilities = CapabilitySet(Capability.needed)
      $0.settings["kernel.perf_event_paranoid"] = "3"
      $0.clockEvent = .failed(errno: EACCES, detail: "")
    },
    Change("perf_event_open", .problem, "CONFIG_PERF_EVENTS") {
      $0.clockEvent = .failed(errno: ENOSYS, detail: "")
    },
    Change("eBPF program", .problem, "CAP_BPF is missing", [grant]) {
      $0.capabilities = CapabilitySet([.performance, .systemTrace])
      $0.program = .failed(errno: EPERM, detail: "")
    },
    Change("eBPF program", .problem, "(R1 invalid mem access)") {
      $0.program = .failed(errno: EINVAL, detail: "R1 invalid mem access")
    },
    Change("eBPF program", .problem, "CONFIG_BPF_SYSCALL") {
      $0.program = .failed(errno: ENOSYS, detail: "")
    },
    Change("rings", .problem, "ulimit -l", ["sysctl kernel.perf_event_mlock_kb=4100"]) {
      $0.rings = .failed(errno: EPERM, detail: "mapping 4100 KiB")
    },
    Change(
      "rings", .note, "only 512 KiB for each CPU instead of 4096", ["sysctl kernel.perf_event_mlock_kb=4100"]
    ) {
      $0.lockableRing = 512 << 10
    },
    Change("memory of the rings", .ok, "4 MiB (") { $0.lockableRing = 512 << 10 },
    Change("rings", .problem, "open files", ["ulimit -n 65536"]) {
      $0.rings = .failed(errno: EMFILE, detail: "")
    },
    Change("attaching", .problem, "CONFIG_BPF_EVENTS") { $0.attaching = .failed(errno: EINVAL, detail: "") },
    Change("attaching", .problem, "open files", ["ulimit -n 65536"]) {
      $0.attaching = .failed(errno: EMFILE, detail: "")
    },
    Change("attaching", .note, "not tried: it needs an event") {
      $0.attaching = .notTried("it needs an event")
    },
    // Capabilities, by who asks.
    Change("CAP_BPF", .problem, "missing", [grant]) { $0.capabilities = CapabilitySet([.performance]) },
    Change("CAP_SYS_PTRACE", .problem, "missing", ["sudo " + grant]) {
      $0.user = 1000
      $0.capabilities = .none
    },
    Change("CAP_SYS_PTRACE", .problem, "bounding set") { ($0.capabilities, $0.bounding) = (.none, .none) },
    Change("CAP_PERFMON", .problem, "no_new_privs") {
      $0.capabilities = .none
      $0.hasNoNewPrivileges = true
    },
    Change("CAP_PERFMON", .problem, "missing", [run]) {
      ($0.capabilities, $0.bounding) = (.none, .none)
      $0.container = .init(kind: "docker", evidence: "")
    },
    Change("CAP_PERFMON", .ok, "CAP_SYS_ADMIN includes it") {
      $0.capabilities = CapabilitySet([.systemAdministrator, .systemTrace])
    },
    Change(
      "CAP_SYS_NICE", .note, "priority",
      [
        "setcap cap_bpf,cap_perfmon,cap_sys_nice,cap_sys_ptrace+ep $(command -v caduceus)"
      ]
    ) { $0.capabilities = CapabilitySet(Capability.needed) },
    Change(
      "CAP_CHECKPOINT_RESTORE", .note, "deleted",
      [
        "setcap cap_bpf,cap_checkpoint_restore,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)"
      ]
    ) { $0.capabilities = CapabilitySet(Capability.needed) },
    Change("CAP_CHECKPOINT_RESTORE", .ok, "includes it") {
      $0.capabilities = CapabilitySet(Capability.needed + [.systemAdministrator])
    },
    Change("CAP_SYS_ADMIN", .ok, "not held") { $0.capabilities = CapabilitySet(Capability.needed) },
    // Sysctls.
    Change("kernel.perf_event_paranoid", .ok, "4") { $0.settings["kernel.perf_event_paranoid"] = "4" },
    Change("kernel.perf_event_paranoid", .ok, "this one does not") {
      $0.settings["kernel.perf_event_paranoid"] = "3"
      $0.capabilities = CapabilitySet(Capability.needed)
    },
    Change("kernel.perf_event_paranoid", .problem, "CAP_SYS_ADMIN", ["sysctl kernel.perf_event_paranoid=2"]) {
      $0.settings["kernel.perf_event_paranoid"] = "3"
      $0.capabilities = CapabilitySet(Capability.needed)
      $0.clockEvent = .failed(errno: EACCES, detail: "")
    },
    Change("kernel.perf_event_paranoid", .ok, "not to be seen") {
      $0.settings["kernel.perf_event_paranoid"] = nil
    },
    Change("kernel.yama.ptrace_scope", .problem, "until the next boot") {
      $0.settings["kernel.yama.ptrace_scope"] = "3"
    },
    Change("kernel.yama.ptrace_scope", .ok, "2") { $0.settings["kernel.yama.ptrace_scope"] = "2" },
    Change(
      "kernel.perf_event_max_sample_rate", .note, "999", ["sysctl kernel.perf_event_max_sample_rate=100000"]
    ) {
      $0.settings["kernel.perf_event_max_sample_rate"] = "999"
    },
    Change("kernel.perf_event_max_sample_rate", .ok, "1000") {
      $0.settings["kernel.perf_event_max_sample_rate"] = "1000"
    },
    Change("net.core.bpf_jit_enable", .note, "interpreted", ["sysctl net.core.bpf_jit_enable=1"]) {
      $0.settings["net.core.bpf_jit_enable"] = "0"
    },
    Change("kernel functions", .note, "hidden", ["sysctl kernel.kptr_restrict=1"]) {
      $0.showsKernelNames = false
      $0.settings["kernel.kptr_restrict"] = "2"
    },
    Change(
      "kernel functions", .note, "hidden",
      [
        "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_syslog+ep $(command -v caduceus)"
      ]
    ) {
      $0.user = 1000
      $0.showsKernelNames = false
    },
    // Where it runs.
    Change("container", .note, "kubernetes (/proc/self/cgroup)") {
      $0.container = .init(kind: "kubernetes", evidence: "/proc/self/cgroup")
    },
    Change("seccomp", .note, "filtered") { $0.isFiltered = true },
    Change("user namespace", .note, "nested") { $0.isInitialUserNamespace = false },
    Change("pid namespace", .note, "nested") { $0.isInitialPidNamespace = false },
    Change("pid namespace", .problem, "/proc of its own", ["unshare --pid --fork --mount-proc COMMAND"]) {
      $0.hasOwnProc = false
    },
    Change("open files", .ok, "1104") { $0.openFilesLimit = 1104 },
    Change("open files", .note, "1103", ["ulimit -n 65536"]) { $0.openFilesLimit = 1103 },
    Change("open files", .note, "1103", ["sudo prlimit --nofile=65536:65536 --pid $$"]) {
      $0.openFilesLimit = 1103
      $0.user = 1000
      $0.capabilities = .none
    },
    Change("memory of the rings", .note, "--ring-size") { $0.availableMemory = 127 << 20 },
    Change("memory of the rings", .ok, "32 MiB") { $0.availableMemory = 128 << 20 },
    Change("memory of the rings", .ok, "32 MiB") { $0.availableMemory = nil },
  ]

  /// Where there is no other way: each of its findings is as it would be without one.
  @Test(arguments: changes) func whatAChangedFactMeans(_ change: Change) throws {
    var machine = MachineDiagnosis.healthy
    machine.forbidEvents(EPERM)
    machine.clockEvent = .worked
    change.make(&machine)
    let findings = Diagnosis(machine: machine).machineFindings
    #expect(findings.count == 28)
    let finding = try #require(findings.first { $0.subject == change.subject })
    #expect(finding.mark == change.mark, "\(finding)")
    #expect(finding.text.contains(change.words), "\(finding)")
    #expect(finding.commands == change.commands)
    if change.mark == .problem { #expect(!Diagnosis(machine: machine).canSample) }
  }

  /// What only eBPF needs is no problem where sampling works without it; the same commands improve it.
  @Test(arguments: changes.filter { $0.mark == .problem }) func whatIsMissingForEBPFAlone(_ change: Change)
    throws
  {
    let ofEveryWay: Set = ["kernel", "lockdown", "pid namespace", "kernel.yama.ptrace_scope"]
    var machine = MachineDiagnosis.healthy
    change.make(&machine)
    let diagnosis = Diagnosis(machine: machine)
    let finding = try #require(diagnosis.machineFindings.first { $0.subject == change.subject })
    #expect(finding.mark == (ofEveryWay.contains(change.subject) ? .problem : .note), "\(finding)")
    #expect(finding.text.contains(change.words) && finding.commands == change.commands, "\(finding)")
    #expect(diagnosis.canSample == !ofEveryWay.contains(change.subject))
  }

  @Test func aHealthyMachineHasNothingToSay() {
    let diagnosis = Diagnosis(machine: .healthy, target: .healthy)
    for finding in diagnosis.machineFindings + diagnosis.targetFindings {
      #expect(finding.mark == .ok, "\(finding)")
      #expect(finding.commands.isEmpty)
      #expect(!finding.text.contains("\n"))
    }
    #expect(diagnosis.canSample)
  }

  /// Notes alone do not stand in the way.
  @Test func notesAreNoProblems() {
    var machine = MachineDiagnosis.healthy
    machine.isInitialPidNamespace = false
    machine.showsKernelNames = false
    machine.capabilities = CapabilitySet(Capability.needed)
    #expect(Diagnosis(machine: machine).canSample)
  }
}
