// Machines and processes that do not exist, as facts.

import Glibc

@testable import Sampling

extension CapabilitySet {
  static let all = CapabilitySet(Capability.allCases)
  static let none = CapabilitySet(bits: 0)
}

extension MachineDiagnosis {
  /// Root on a recent kernel, outside of any container: everything works.
  static var healthy: MachineDiagnosis {
    var facts = MachineDiagnosis()
    facts.kernelRelease = "6.12.9-amd64"
    facts.hasTypeInformation = true
    facts.lockdown = "none"
    facts.settings = [
      "kernel.perf_event_paranoid": "2", "kernel.unprivileged_bpf_disabled": "2",
      "kernel.yama.ptrace_scope": "1", "kernel.kptr_restrict": "0",
      "kernel.perf_event_max_sample_rate": "100000", "kernel.perf_event_mlock_kb": "516",
      "net.core.bpf_jit_enable": "1",
    ]
    facts.showsKernelNames = true
    facts.capabilities = .all
    facts.bounding = .all
    facts.pidNamespace = 4_026_531_836
    facts.openFiles = 1024
    facts.openFilesLimit = 1_048_576
    facts.cpus = 8
    facts.programNeeds = CaptureNeeds(fixedDescriptors: 80, ringBytes: 4 << 20)
    facts.unassistedNeeds = CaptureNeeds(fixedDescriptors: 30, threadDescriptors: 9, ringBytes: 6 << 20)
    facts.period = 1_000_000
    facts.availableMemory = 16 << 30
    facts.clockEvent = .worked
    facts.program = .worked
    facts.rings = .worked
    facts.attaching = .worked
    facts.unassisted = .worked
    facts.step = UnassistedStep(scheduling: .realtime, proves: true)
    return facts
  }

  /// Where the eBPF program may not be loaded, so that nothing else of it could be tried.
  mutating func forbidProgram() {
    program = .failed(errno: EPERM, detail: "")
    rings = .notTried("they need the eBPF program")
    attaching = .notTried("it needs the eBPF program")
  }

  /// Where not even an event of one's own can be opened.
  mutating func forbidEvents(_ code: Int32) {
    clockEvent = .failed(errno: code, detail: "")
    unassisted = .failed(errno: code, detail: "")
    step = nil
    unassistedNeeds = CaptureNeeds()
  }

  /// Capabilities that allow everything but eBPF.
  static var withoutBPF: MachineDiagnosis {
    var facts = healthy
    facts.capabilities = CapabilitySet([.performance, .systemTrace, .systemPriority, .checkpoint])
    facts.forbidProgram()
    return facts
  }

  /// An ordinary user of a recent kernel that allows events of one's own.
  static var ordinaryUser: MachineDiagnosis {
    var facts = healthy
    facts.settings["kernel.yama.ptrace_scope"] = "0"
    facts.user = 1000
    facts.capabilities = .none
    facts.clockEvent = .failed(errno: EACCES, detail: "")
    facts.forbidProgram()
    facts.step = UnassistedStep(scheduling: .shortSlice, proves: false)
    facts.unassistedNeeds = CaptureNeeds(
      fixedDescriptors: 30, threadDescriptors: 17, ringBytes: (4 << 20) + (256 << 10))
    return facts
  }

  /// An ordinary user of Debian, whose kernel refuses perf_event_open altogether.
  static var ordinaryDebianUser: MachineDiagnosis {
    var facts = ordinaryUser
    facts.settings["kernel.perf_event_paranoid"] = "3"
    facts.forbidEvents(EACCES)
    return facts
  }

  /// Root of a container with all that sampling needs but a seccomp filter that lets perf_event_open through, and not
  /// bpf.
  static var filteredContainer: MachineDiagnosis {
    var facts = healthy
    facts.container = Container(kind: "docker", evidence: "/.dockerenv")
    facts.isFiltered = true
    facts.forbidProgram()
    return facts
  }

  /// An ordinary user of Ubuntu 22.04.
  static var oldUbuntuUser: MachineDiagnosis {
    var facts = healthy
    facts.kernelRelease = "5.15.0-91-generic"
    facts.lockdown = "integrity"
    facts.settings["kernel.perf_event_paranoid"] = "4"
    facts.settings["kernel.kptr_restrict"] = "1"
    facts.showsKernelNames = false
    facts.user = 1000
    facts.capabilities = .none
    facts.openFilesLimit = 512
    facts.availableMemory = 100 << 20
    facts.forbidEvents(EACCES)
    facts.forbidProgram()
    return facts
  }

  /// Root of a container that was started without anything special.
  static var plainContainer: MachineDiagnosis {
    var facts = healthy
    facts.container = Container(kind: "docker", evidence: "/.dockerenv")
    facts.capabilities = .none
    facts.bounding = .none
    facts.isFiltered = true
    facts.isInitialPidNamespace = false
    facts.pidNamespace = 4_026_532_000
    facts.settings["kernel.yama.ptrace_scope"] = nil
    facts.forbidEvents(EPERM)
    facts.forbidProgram()
    return facts
  }
}

extension TargetDiagnosis {
  /// A program with extensions of many kinds, on `MachineDiagnosis.healthy`.
  static var healthy: TargetDiagnosis {
    var facts = TargetDiagnosis(processID: 1234)
    facts.program = "/usr/bin/python3.12"
    facts.command = "python3 fit.py"
    facts.owner = 1000
    facts.ownerName = "alice"
    facts.reading = .worked
    facts.clockEvent = .worked
    facts.unassistedEvent = .worked
    facts.interpreter = Interpreter(
      version: "3.12.3", module: "/usr/bin/python3.12", layoutSource: .table, isValidated: true)
    facts.pidNamespace = 4_026_531_836
    facts.ownProcessID = 1234
    facts.threads = 5
    let packages = "/usr/lib/python3/dist-packages/"
    facts.modules = [
      ModuleDiagnosis(path: "/usr/bin/python3.12", kind: .interpreter, buildID: "01"),
      ModuleDiagnosis(path: packages + "fit/_core.so", kind: .extension, buildID: "02"),
      ModuleDiagnosis(path: "/usr/lib/libm.so.6", kind: .cLibrary, symbols: .missing),
    ]
    return facts
  }
}
