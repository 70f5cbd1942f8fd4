// Which way samples are taken on machines of all kinds, and what is said of it.

import Glibc
import PerfEvents
import Testing

@testable import Sampling

@Suite struct CapturePathTests {
  private func finding(_ subject: String, _ machine: MachineDiagnosis) throws -> Finding {
    try #require(Diagnosis(machine: machine).machineFindings.first { $0.subject == subject })
  }

  private func path(_ machine: MachineDiagnosis) throws -> Finding { try finding("path", machine) }

  private let grant = "setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)"

  @Test func itIsTheFirstFinding() {
    #expect(Diagnosis(machine: .healthy).machineFindings.first?.subject == "path")
  }

  @Test func rootWithEverything() throws {
    #expect(Diagnosis(machine: .healthy).path == .program)
    #expect(
      try path(.healthy)
        == Finding(.ok, "path", "with eBPF: kernel, native and Python stack are taken in the interrupt"))
    // The other way is then nobody's concern.
    var machine = MachineDiagnosis.healthy
    machine.unassisted = .failed(errno: EMFILE, detail: "")
    machine.step = nil
    #expect(Diagnosis(machine: machine).path == .program && Diagnosis(machine: machine).canSample)
  }

  @Test func everythingButEBPF() throws {
    let diagnosis = Diagnosis(machine: .withoutBPF)
    #expect(diagnosis.path == .unassisted && diagnosis.canSample)
    #expect(
      try path(.withoutBPF)
        == Finding(
          .note, "path",
          "without eBPF (not permitted: CAP_BPF missing): readers of the real-time class; Python frames are proven, "
            + "or marked as unverified", commands: [grant]))
    #expect(try finding("CAP_BPF", .withoutBPF).mark == .note)
    #expect(try finding("CAP_PERFMON", .withoutBPF).mark == .ok)
    #expect(try finding("kernel.perf_event_paranoid", .withoutBPF).mark == .ok)
    #expect(
      try finding("memory of the rings", .withoutBPF).text.hasPrefix("48 MiB (6 MiB for each of 8 CPUs"))
    #expect(try finding("open files", .withoutBPF).text.contains("needs 30 for 8 CPUs and 9 for each thread"))
  }

  @Test func anOrdinaryUser() throws {
    let diagnosis = Diagnosis(machine: .ordinaryUser)
    #expect(diagnosis.path == .unassisted && diagnosis.canSample)
    let path = try self.path(.ordinaryUser)
    #expect(path.mark == .note && path.commands == ["sudo " + grant])
    for words in ["without eBPF (", "CAP_BPF", "normal class with a short slice", "rest on evidence"] {
      #expect(path.text.contains(words))
    }
    let paranoid = try finding("kernel.perf_event_paranoid", .ordinaryUser)
    #expect(paranoid.mark == .note && paranoid.commands == ["sudo sysctl kernel.perf_event_paranoid=1"])
    #expect(paranoid.text.contains("only user space is sampled, and Python frames rest on evidence"))
    // Below 2 the kernel shows its part to everybody, and then there is proof.
    var machine = MachineDiagnosis.ordinaryUser
    machine.settings["kernel.perf_event_paranoid"] = "1"
    machine.clockEvent = .worked
    machine.step?.proves = true
    #expect(try finding("kernel.perf_event_paranoid", machine).mark == .ok)
    #expect(try self.path(machine).text.contains("Python frames are proven"))
    // A kernel that does not care about 3 is as at 2.
    machine = .ordinaryUser
    machine.settings["kernel.perf_event_paranoid"] = "3"
    #expect(Diagnosis(machine: machine).canSample)
    #expect(try finding("kernel.perf_event_paranoid", machine).text.contains("rest on evidence"))
  }

  /// Yama's scopes count for whoever has not CAP_SYS_PTRACE.
  @Test func anOrdinaryUserUnderYama() throws {
    var machine = MachineDiagnosis.ordinaryUser
    machine.settings["kernel.yama.ptrace_scope"] = "1"
    let name = "kernel.yama.ptrace_scope"
    #expect(try finding(name, machine).mark == .note && Diagnosis(machine: machine).canSample)
    #expect(try finding(name, machine).text.contains("only programs that `caduceus run` starts"))
    machine.settings[name] = "2"
    #expect(try finding(name, machine).mark == .problem)
    #expect(try path(machine).text == "none: no process's memory may be read")
    #expect(Diagnosis(machine: machine).path == nil)
  }

  /// Above 2 Debian's and Ubuntu's kernels refuse events of one's own, too; with the capabilities as without.
  @Test(arguments: [3, 4]) func paranoidDebian(_ value: Int) throws {
    var privileged = MachineDiagnosis.healthy
    privileged.capabilities = CapabilitySet(Capability.needed)
    privileged.forbidEvents(EACCES)
    privileged.rings = .failed(errno: EACCES, detail: "")
    privileged.attaching = .notTried("it needs an event")
    for (made, sudo) in [(MachineDiagnosis.ordinaryDebianUser, "sudo "), (privileged, "")] {
      var machine = made
      machine.settings["kernel.perf_event_paranoid"] = "\(value)"
      let diagnosis = Diagnosis(machine: machine)
      #expect(diagnosis.path == nil && !diagnosis.canSample)
      let path = try self.path(machine)
      #expect(path.mark == .problem && path.text.hasPrefix("none: with eBPF it is not possible ("))
      #expect(path.text.hasSuffix("and without it neither (Permission denied)"))
      #expect(path.commands == [sudo + "sysctl kernel.perf_event_paranoid=2"])
      let setting = try finding("kernel.perf_event_paranoid", machine)
      #expect(setting.mark == .problem && setting.commands == path.commands)
      #expect(try finding("perf_event_open", machine).mark == .problem)
    }
  }

  @Test func aContainerThatForbidsOnlyBPF() throws {
    let diagnosis = Diagnosis(machine: .filteredContainer)
    #expect(diagnosis.path == .unassisted && diagnosis.canSample)
    let command =
      "docker run --security-opt seccomp=unconfined --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE"
    let path = try self.path(.filteredContainer)
    #expect(
      path
        == Finding(
          .note, "path",
          "without eBPF (eBPF program: Operation not permitted): readers of the real-time class; Python frames are "
            + "proven, or marked as unverified", commands: [command]))
    let program = try finding("eBPF program", .filteredContainer)
    #expect(program.mark == .note && program.text.contains("seccomp") && program.commands == [command])
  }

  @Test func readersOfTheNormalClass() throws {
    var machine = MachineDiagnosis.withoutBPF
    machine.capabilities = CapabilitySet([.performance, .systemTrace])
    machine.step = UnassistedStep(scheduling: .normal, proves: true)
    #expect(Diagnosis(machine: machine).canSample)
    #expect(
      try path(machine).text.contains(
        "): readers of the normal class, because the real-time class is refused (CAP_SYS_NICE); Python frames are proven"
      ))
    let priority = try finding("CAP_SYS_NICE", machine)
    #expect(priority.mark == .note && priority.text.contains("readers are of the normal class"))
    #expect(priority.text.contains("some samples are marked as unverified"))
    #expect(
      priority.commands == [
        "setcap cap_bpf,cap_perfmon,cap_sys_nice,cap_sys_ptrace+ep $(command -v caduceus)"
      ])
    // RLIMIT_RTPRIO allows it, too.
    machine.step = UnassistedStep(scheduling: .realtime, proves: true)
    #expect(try finding("CAP_SYS_NICE", machine).mark == .ok)
    // With eBPF there are no readers.
    machine = .healthy
    machine.capabilities = CapabilitySet(Capability.needed)
    #expect(try finding("CAP_SYS_NICE", machine).text.contains("the rings are read at ordinary priority"))
  }

  /// The capabilities of a user namespace are no capabilities for events and programs.
  @Test func aUserNamespace() throws {
    var machine = MachineDiagnosis.healthy
    machine.isInitialUserNamespace = false
    machine.clockEvent = .failed(errno: EACCES, detail: "")
    machine.forbidProgram()
    machine.step = UnassistedStep(scheduling: .normal, proves: false)
    #expect(Diagnosis(machine: machine).path == .unassisted)
    #expect(try path(machine).text.hasPrefix("without eBPF (perf_event_open: Permission denied): "))
    #expect(try finding("kernel.perf_event_paranoid", machine).text.contains("rest on evidence"))
  }

  /// What stands in every way, whatever was tried.
  @Test func obstacles() throws {
    let changes: [(String, (inout MachineDiagnosis) -> Void)] = [
      ("the kernel is too old", { $0.kernelRelease = "5.15.0" }),
      ("lockdown is confidentiality", { $0.lockdown = "confidentiality" }),
      ("/proc is of another pid namespace", { $0.hasOwnProc = false }),
      ("no process's memory may be read", { $0.settings["kernel.yama.ptrace_scope"] = "3" }),
    ]
    for made in [MachineDiagnosis.healthy, .ordinaryUser] {
      for (words, change) in changes {
        var machine = made
        change(&machine)
        #expect(Diagnosis(machine: machine).path == nil && !Diagnosis(machine: machine).canSample)
        #expect(try path(machine) == Finding(.problem, "path", "none: " + words))
      }
    }
  }
}
