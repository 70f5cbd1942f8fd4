// What facts about a process mean.

import Glibc
import Testing

@testable import Sampling

@Suite struct TargetFindingsTests {
  private func finding(
    _ subject: String, on machine: MachineDiagnosis = .healthy, _ change: (inout TargetDiagnosis) -> Void
  ) throws -> Finding {
    var target = TargetDiagnosis.healthy
    change(&target)
    return try #require(
      Diagnosis(machine: machine, target: target).targetFindings.first { $0.subject == subject })
  }

  @Test func aProcessThatIsNotThere() {
    var target = TargetDiagnosis(processID: 7)
    target.refusal = "no process with PID 7 exists"
    let findings = Diagnosis(machine: .healthy, target: target).targetFindings
    #expect(
      findings == [
        Finding(.problem, "process", "no process with PID 7 exists", commands: ["pgrep -af python"])
      ])
  }

  @Test func access() throws {
    let denied = try finding("access", on: .ordinaryUser) { $0.reading = .failed(errno: EACCES, detail: "") }
    #expect(denied.mark == .problem)
    #expect(denied.text.contains("Permission denied; CAP_SYS_PTRACE is missing"))
    #expect(denied.commands == ["sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)"])
    let unsampled = try finding("access") { $0.clockEvent = .failed(errno: EACCES, detail: "") }
    #expect(unsampled.mark == .problem)
    #expect(unsampled.text.contains("its threads cannot be sampled: Permission denied"))
    var machine = MachineDiagnosis.healthy
    machine.settings["kernel.yama.ptrace_scope"] = "3"
    let protected = try finding("access", on: machine) { $0.reading = .failed(errno: EPERM, detail: "") }
    #expect(protected.text.contains("kernel.yama.ptrace_scope is 3"))
    machine = .ordinaryUser
    machine.settings["kernel.yama.ptrace_scope"] = "1"
    let scoped = try finding("access", on: machine) { $0.reading = .failed(errno: EPERM, detail: "") }
    #expect(scoped.text.contains("kernel.yama.ptrace_scope is 1, and CAP_SYS_PTRACE is missing"))
  }

  /// By the way that would be taken: an event with the kernel's part is not needed without eBPF.
  @Test func accessWithoutEBPF() throws {
    let own = try finding("access", on: .ordinaryUser) { $0.clockEvent = .failed(errno: EACCES, detail: "") }
    #expect(
      own == Finding(.ok, "access", "its memory can be read and its threads can be sampled, without eBPF"))
    let refused = try finding("access", on: .ordinaryUser) {
      $0.unassistedEvent = .failed(errno: EACCES, detail: "")
    }
    #expect(refused.mark == .problem && refused.text.contains("its threads cannot be sampled"))
    // With eBPF the other event is nobody's concern.
    #expect(try finding("access") { $0.unassistedEvent = .failed(errno: EACCES, detail: "") }.mark == .ok)
  }

  @Test func interpreters() throws {
    let refused = try finding("interpreter") {
      $0.refusal = "it runs PyPy"
      $0.interpreter = nil
      $0.modules = []
    }
    #expect(refused == Finding(.problem, "interpreter", "it runs PyPy"))
    let unproven = try finding("layout") {
      $0.refusal = "layout field thread.next: not readable"
      $0.interpreter?.isValidated = false
    }
    #expect(unproven.mark == .note && unproven.text.contains("not proven"))
    let published = try finding("layout") { $0.interpreter?.layoutSource = .debugOffsets }
    #expect(published.mark == .ok && published.text.contains("_Py_DebugOffsets"))
    let stripped = try finding("interpreter") { $0.modules[0].symbols = .exported }
    #expect(stripped.mark == .note && stripped.text.contains("only what it exports has names"))
  }

  @Test func otherNamespaces() throws {
    let nested = try finding("pid namespace") {
      $0.pidNamespace = 4_026_532_111
      $0.ownProcessID = 1
    }
    #expect(nested.mark == .ok && nested.text.contains("PID 1"))
    #expect(try finding("pid namespace") { $0.pidNamespace = nil }.mark == .note)
  }

  @Test func threadsNeedOpenFiles() throws {
    var machine = MachineDiagnosis.healthy
    machine.openFilesLimit = 100
    // 80 of the machine, one for each thread, and one for each of three files.
    #expect(try finding("threads", on: machine) { $0.threads = 17 }.mark == .ok)
    let tight = try finding("threads", on: machine) { $0.threads = 18 }
    #expect(tight.mark == .note && tight.text.contains("it may need 101 open files: the limit is 100"))
    #expect(try finding("threads", on: machine) { $0.threads = 20 }.mark == .note)
    let tooMany = try finding("threads", on: machine) { $0.threads = 21 }
    #expect(tooMany.mark == .problem && tooMany.text.contains("101 open files: the limit is 100"))
    #expect(tooMany.commands == ["ulimit -n 65536"])
    // Without eBPF there is an event for each CPU: 30 of the machine and 9 for each thread.
    machine = .withoutBPF
    machine.openFilesLimit = 100
    #expect(try finding("threads", on: machine) { $0.threads = 7 }.mark == .ok)
    let perCPU = try finding("threads", on: machine) { $0.threads = 8 }
    #expect(perCPU.mark == .problem && perCPU.text.contains("102 open files: the limit is 100"))
  }

  @Test func symbolsOfModules() throws {
    func add(_ count: Int, _ symbols: ModuleDiagnosis.Symbols, _ facts: inout TargetDiagnosis) {
      for number in 0..<count {
        facts.modules.append(
          ModuleDiagnosis(
            path: "/x/site-packages/p/\(symbols)\(number).so", kind: .extension, symbols: symbols,
            buildID: "1"))
      }
    }
    let some = try finding("symbols") {
      add(1, .exported, &$0)
      add(1, .missing, &$0)
    }
    #expect(some.mark == .note)
    #expect(
      some.text == "1 of 3 modules have symbols; only names of exported functions for: p/exported0.so; "
        + "no function names for: p/missing0.so")
    let many = try finding("symbols") { add(9, .missing, &$0) }
    #expect(many.text.hasSuffix("p/missing4.so, p/missing5.so and 3 more"), "\(many.text)")
    // The program that starts the interpreter is not counted, one that embeds it is.
    let programs = try finding("symbols") {
      $0.modules.append(ModuleDiagnosis(path: "/usr/bin/python3", kind: .program, symbols: .missing))
      $0.modules.append(ModuleDiagnosis(path: "/opt/solver", kind: .program, symbols: .missing))
    }
    #expect(programs.text == "1 of 2 modules have symbols; no function names for: solver")
  }

  @Test func unwindingAndBuildIDs() throws {
    let stuck = try finding("unwinding") { $0.modules[1].hasUnwindInformation = false }
    #expect(stuck.mark == .note && stuck.text.hasSuffix("stacks may end in: fit/_core.so"))
    let anonymous = try finding("build-ids") { $0.modules[1].buildID = "" }
    #expect(anonymous.mark == .note && anonymous.text.hasSuffix("none for: fit/_core.so"))
  }

  @Test func filesThatAreGone() throws {
    let readable = try finding("files") {
      $0.modules[1].file = .replaced
      $0.modules[2].file = .deleted
    }
    #expect(readable.mark == .note && readable.commands.isEmpty)
    #expect(
      readable.text == "deleted since the program was started: libm.so.6; replaced since the program was "
        + "started: fit/_core.so; what is mapped can be read")
    var machine = MachineDiagnosis.healthy
    machine.capabilities = CapabilitySet(Capability.needed)
    let unreadable = try finding("files", on: machine) {
      $0.modules[1].file = .deleted
      $0.modules[1].isReadable = false
    }
    #expect(unreadable.text.hasSuffix("what is mapped cannot be read of: fit/_core.so"))
    #expect(
      unreadable.commands == [
        "setcap cap_bpf,cap_checkpoint_restore,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)"
      ])
  }
}
