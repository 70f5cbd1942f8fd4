// The whole text of `caduceus doctor` for made-up machines, and the JSON as another implementation reads it.

import Foundation
import Testing

@testable import Sampling
@testable import caduceus

@Suite struct DoctorTextTests {
  @Test func aHealthyMachineAndProcess() {
    let text = """
      Machine
        ok       path: with eBPF: kernel, native and Python stack are taken in the interrupt
        ok       kernel: 6.12.9-amd64 (6.1 or later is needed)
        ok       type information: /sys/kernel/btf/vmlinux is there
        ok       lockdown: none
        ok       perf_event_open: a cpu-clock event can be opened
        ok       eBPF program: the kernel accepts it
        ok       rings: they can be opened and mapped on every CPU
        ok       attaching: the program can be attached to an event
        ok       CAP_PERFMON: held
        ok       CAP_BPF: held
        ok       CAP_SYS_PTRACE: held
        ok       CAP_SYS_NICE: held
        ok       CAP_CHECKPOINT_RESTORE: held
        ok       CAP_SYS_ADMIN: held
        ok       kernel.perf_event_paranoid: 2 (any value up to 2 will do with CAP_PERFMON)
        ok       kernel.unprivileged_bpf_disabled: 2 (any value will do with CAP_BPF)
        ok       kernel.yama.ptrace_scope: 1 (any value below 3 will do with CAP_SYS_PTRACE)
        ok       kernel.kptr_restrict: 0 (whether kernel functions have names was tried below)
        ok       kernel.perf_event_max_sample_rate: 100000 (1000 samples a second are the default)
        ok       kernel.perf_event_mlock_kb: 516 (whether the rings can be locked was tried above)
        ok       net.core.bpf_jit_enable: 1 (the eBPF program is compiled)
        ok       kernel functions: their names can be read
        ok       container: none recognised
        ok       seccomp: system calls are not filtered
        ok       user namespace: the first one
        ok       pid namespace: the first one
        ok       open files: 1048576, to which caduceus raises 1024 itself (it needs 80 for 8 CPUs and one for each thread of the program)
        ok       memory of the rings: 32 MiB (4 MiB for each of 8 CPUs, at one sample in 1000 us of CPU time)

      PID 1234
        ok       process: PID 1234 (python3 fit.py) of alice, program /usr/bin/python3.12
        ok       access: its memory can be read and its threads can be sampled
        ok       interpreter: CPython 3.12.3 in /usr/bin/python3.12
        ok       layout: from the table for CPython 3.12, checked on this process
        ok       pid namespace: the same as caduceus's
        ok       threads: 5 now; one event per thread, or per CPU where threads are too short-lived (decided while sampling)
        ok       symbols: 1 of 1 modules have symbols
        ok       unwinding: 1 of 1 modules have unwind information
        ok       build-ids: 1 of 1 modules have one
        ok       files: all are those that are mapped

      Sampling is possible.

      """
    #expect(DoctorText(Diagnosis(machine: .healthy, target: .healthy)).text == text)
  }

  @Test func anOldKernelsUser() {
    let text = """
      Machine
        problem  path: none: the kernel is too old
        problem  kernel: 5.15.0-91-generic is too old: 6.1 or later is needed; it lacks bpf_loop (5.17) and the count of lost records (6.0)
        ok       type information: /sys/kernel/btf/vmlinux is there
        ok       lockdown: integrity
        problem  perf_event_open: it fails: Permission denied; CAP_PERFMON is missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        problem  eBPF program: it fails: Operation not permitted; CAP_BPF is missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     rings: not tried: they need the eBPF program
        note     attaching: not tried: it needs the eBPF program
        problem  CAP_PERFMON: missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        problem  CAP_BPF: missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        problem  CAP_SYS_PTRACE: missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     CAP_SYS_NICE: missing: without it the rings are read at ordinary priority, and may overflow on a busy machine
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_nice,cap_sys_ptrace+ep $(command -v caduceus)
        note     CAP_CHECKPOINT_RESTORE: missing: without it files that were deleted or replaced since they were mapped cannot be read
                 $ sudo setcap cap_bpf,cap_checkpoint_restore,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        ok       CAP_SYS_ADMIN: not held; needed only where kernel.perf_event_paranoid is above 2
        problem  kernel.perf_event_paranoid: 4 (above 2 this kernel asks for CAP_SYS_ADMIN)
                 $ sudo sysctl kernel.perf_event_paranoid=2
        ok       kernel.unprivileged_bpf_disabled: 2 (any value will do with CAP_BPF)
        note     kernel.yama.ptrace_scope: 1 (without CAP_SYS_PTRACE only programs that `caduceus run` starts can be sampled)
                 $ sudo sysctl kernel.yama.ptrace_scope=0
        ok       kernel.kptr_restrict: 1 (whether kernel functions have names was tried below)
        ok       kernel.perf_event_max_sample_rate: 100000 (1000 samples a second are the default)
        ok       kernel.perf_event_mlock_kb: 516 (whether the rings can be locked was tried above)
        ok       net.core.bpf_jit_enable: 1 (the eBPF program is compiled)
        note     kernel functions: their names are hidden: they all appear as `kernel`
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_syslog+ep $(command -v caduceus)
        ok       container: none recognised
        ok       seccomp: system calls are not filtered
        ok       user namespace: the first one
        ok       pid namespace: the first one
        note     open files: 512 (it needs 80 for 8 CPUs and one for each thread of the program)
                 $ sudo prlimit --nofile=65536:65536 --pid $$
        note     memory of the rings: 32 MiB (4 MiB for each of 8 CPUs, at one sample in 1000 us of CPU time); only 100 MiB are available: use a smaller --ring-size

      Sampling is not possible: 8 problems.

      """
    #expect(DoctorText(Diagnosis(machine: .oldUbuntuUser)).text == text)
  }

  @Test func anOrdinaryUser() {
    let text = """
      Machine
        note     path: without eBPF (not permitted: CAP_PERFMON, CAP_BPF and CAP_SYS_PTRACE missing): readers of the normal class with a short slice, because the real-time class is refused (CAP_SYS_NICE); Python frames rest on evidence, or are marked as unverified: the kernel's own part of events is refused (CAP_PERFMON, kernel.perf_event_paranoid)
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        ok       kernel: 6.12.9-amd64 (6.1 or later is needed)
        ok       type information: /sys/kernel/btf/vmlinux is there
        ok       lockdown: none
        note     perf_event_open: with the kernel's part it fails: Permission denied; CAP_PERFMON is missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     eBPF program: it fails: Operation not permitted; CAP_BPF is missing
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     rings: not tried: they need the eBPF program
        note     attaching: not tried: it needs the eBPF program
        note     CAP_PERFMON: missing: without it there is no eBPF, and of the kernel only what kernel.perf_event_paranoid allows
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     CAP_BPF: missing: without it there is no eBPF
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     CAP_SYS_PTRACE: missing: without it there is no eBPF, and only one's own processes can be sampled
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        note     CAP_SYS_NICE: missing: without it the readers are of the normal class, and the Python frames of some samples are marked as unverified
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_nice,cap_sys_ptrace+ep $(command -v caduceus)
        note     CAP_CHECKPOINT_RESTORE: missing: without it files that were deleted or replaced since they were mapped cannot be read
                 $ sudo setcap cap_bpf,cap_checkpoint_restore,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        ok       CAP_SYS_ADMIN: not held; needed only where kernel.perf_event_paranoid is above 2
        note     kernel.perf_event_paranoid: 2 (without CAP_PERFMON only user space is sampled, and Python frames rest on evidence; at 1 they are proven)
                 $ sudo sysctl kernel.perf_event_paranoid=1
        ok       kernel.unprivileged_bpf_disabled: 2 (any value will do with CAP_BPF)
        ok       kernel.yama.ptrace_scope: 0 (any value below 3 will do with CAP_SYS_PTRACE)
        ok       kernel.kptr_restrict: 0 (whether kernel functions have names was tried below)
        ok       kernel.perf_event_max_sample_rate: 100000 (1000 samples a second are the default)
        ok       kernel.perf_event_mlock_kb: 516 (whether the rings can be locked was tried above)
        ok       net.core.bpf_jit_enable: 1 (the eBPF program is compiled)
        note     kernel functions: none appear: nothing of the kernel may be seen
                 $ sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)
        ok       container: none recognised
        ok       seccomp: system calls are not filtered
        ok       user namespace: the first one
        ok       pid namespace: the first one
        ok       open files: 1048576, to which caduceus raises 1024 itself (it needs 30 for 8 CPUs and 17 for each thread of the program)
        ok       memory of the rings: 34 MiB (4352 KiB for each of 8 CPUs, at one sample in 1000 us of CPU time)

      Sampling is possible.

      """
    #expect(DoctorText(Diagnosis(machine: .ordinaryUser)).text == text)
  }

  @Test func aPlainContainer() {
    let text = """
      Machine
        problem  path: none: with eBPF it is not possible (not permitted: CAP_PERFMON, CAP_BPF and CAP_SYS_PTRACE missing), and without it neither (Operation not permitted)
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE
        ok       kernel: 6.12.9-amd64 (6.1 or later is needed)
        ok       type information: /sys/kernel/btf/vmlinux is there
        ok       lockdown: none
        problem  perf_event_open: it fails: Operation not permitted; CAP_PERFMON is missing
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE
        problem  eBPF program: it fails: Operation not permitted; CAP_BPF is missing
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE
        note     rings: not tried: they need the eBPF program
        note     attaching: not tried: it needs the eBPF program
        problem  CAP_PERFMON: missing
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE
        problem  CAP_BPF: missing
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE
        problem  CAP_SYS_PTRACE: missing
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE IMAGE
        note     CAP_SYS_NICE: missing: without it the rings are read at ordinary priority, and may overflow on a busy machine
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE --cap-add SYS_NICE IMAGE
        note     CAP_CHECKPOINT_RESTORE: missing: without it files that were deleted or replaced since they were mapped cannot be read
                 $ docker run --cap-add PERFMON --cap-add BPF --cap-add SYS_PTRACE --cap-add CHECKPOINT_RESTORE IMAGE
        ok       CAP_SYS_ADMIN: not held; needed only where kernel.perf_event_paranoid is above 2
        note     kernel.perf_event_paranoid: 2 (without CAP_PERFMON only user space is sampled, and Python frames rest on evidence; at 1 they are proven)
        ok       kernel.unprivileged_bpf_disabled: 2 (any value will do with CAP_BPF)
        ok       kernel.yama.ptrace_scope: not to be seen here
        ok       kernel.kptr_restrict: 0 (whether kernel functions have names was tried below)
        ok       kernel.perf_event_max_sample_rate: 100000 (1000 samples a second are the default)
        ok       kernel.perf_event_mlock_kb: 516 (whether the rings can be locked was tried above)
        ok       net.core.bpf_jit_enable: 1 (the eBPF program is compiled)
        ok       kernel functions: their names can be read
        note     container: docker (/.dockerenv); its rights are what its start gave it
        note     seccomp: system calls are filtered; whether those that are needed pass was tried above
        ok       user namespace: the first one
        note     pid namespace: nested: only processes in it can be sampled, by their numbers in it
        ok       open files: 1048576, to which caduceus raises 1024 itself (it needs 80 for 8 CPUs and one for each thread of the program)
        ok       memory of the rings: 32 MiB (4 MiB for each of 8 CPUs, at one sample in 1000 us of CPU time)

      Sampling is not possible: 6 problems.

      """
    #expect(DoctorText(Diagnosis(machine: .plainContainer)).text == text)
  }

  /// The escapes of ECMA-48: 32 green, 33 yellow, 31 red.
  @Test func colorsAreOnTheMarksAlone() {
    let plain = DoctorText(Diagnosis(machine: .oldUbuntuUser)).text
    let colored = DoctorText(Diagnosis(machine: .oldUbuntuUser), usesColors: true).text
    #expect(colored.contains("  \u{1b}[32mok\u{1b}[0m       lockdown: integrity\n"))
    #expect(colored.contains("  \u{1b}[33mnote\u{1b}[0m     rings: "))
    #expect(colored.contains("  \u{1b}[31mproblem\u{1b}[0m  CAP_BPF: missing\n"))
    #expect(colored.replacing(/\u{1b}\[[0-9]+m/, with: "") == plain)
    #expect(!plain.contains("\u{1b}"))
  }

  /// Whatever a program calls itself, nothing of it works on the terminal.
  @Test func namesCannotWriteToTheTerminal() {
    var target = TargetDiagnosis.healthy
    target.program = "/tmp/\u{1b}]0;title\u{7}\u{9b}31m\n  ok       forged: line"
    let text = DoctorText(Diagnosis(machine: .healthy, target: target)).text
    #expect(
      text.unicodeScalars.allSatisfy { $0 == "\n" || ($0.value >= 32 && !(127..<160).contains($0.value)) })
    #expect(!text.contains("\n  ok       forged"))
  }

  // MARK: JSON

  private func object(_ diagnosis: Diagnosis) throws -> [String: Any] {
    let value = try JSONSerialization.jsonObject(with: Data(DoctorJSON(diagnosis).text.utf8))
    return try #require(value as? [String: Any])
  }

  @Test func theKeysAreThoseThatAreDocumented() throws {
    let all = try object(Diagnosis(machine: .plainContainer, target: .healthy))
    #expect(Set(all.keys) == ["can_sample", "path", "findings", "machine", "target"])
    let machine = try #require(all["machine"] as? [String: Any])
    #expect(
      Set(machine.keys) == [
        "kernel", "type_information", "lockdown", "settings", "kernel_names", "user_id", "capabilities",
        "no_new_privileges", "seccomp_filter", "user_namespace_nested", "pid_namespace",
        "pid_namespace_nested",
        "own_proc", "container", "open_files", "cpus", "ring_bytes", "period_ns", "available_bytes",
        "perf_event_open", "bpf_load", "rings", "bpf_attach", "without_bpf",
      ])
    let settings = try #require(machine["settings"] as? [String: Any])
    #expect(settings["kernel.perf_event_paranoid"] as? Int == 2)
    #expect(settings["kernel.yama.ptrace_scope"] is NSNull)
    let load = try #require(machine["bpf_load"] as? [String: Any])
    #expect(load["outcome"] as? String == "failed" && load["errno"] as? Int == 1)
    let target = try #require(all["target"] as? [String: Any])
    #expect(
      Set(target.keys) == [
        "pid", "own_pid", "refusal", "program", "command", "owner", "reading", "perf_event_open",
        "without_bpf",
        "interpreter",
        "pid_namespace", "threads", "modules",
      ])
    #expect(target["refusal"] is NSNull)
    let modules = try #require(target["modules"] as? [[String: Any]])
    #expect(modules.count == 3)
    #expect(
      Set(modules[0].keys) == [
        "path", "kind", "readable", "symbols", "unwind_information", "build_id", "file",
      ])
    // The same keys where nothing is known.
    let nothing = try object(Diagnosis(machine: MachineDiagnosis(), target: TargetDiagnosis(processID: 1)))
    #expect(Set(try #require(nothing["target"] as? [String: Any]).keys) == Set(target.keys))
    #expect(Set(try #require(nothing["machine"] as? [String: Any]).keys) == Set(machine.keys))
    #expect(try object(Diagnosis(machine: .healthy))["target"] is NSNull)
  }

  @Test func thePathIsThatOfTheMachine() throws {
    func path(_ machine: MachineDiagnosis, _ change: (inout TargetDiagnosis) -> Void = { _ in }) throws
      -> String?
    {
      var target = TargetDiagnosis.healthy
      change(&target)
      return try object(Diagnosis(machine: machine, target: target))["path"] as? String
    }
    #expect(try path(.healthy) == "bpf")
    #expect(try path(.ordinaryUser) == "without_bpf")
    #expect(try path(.plainContainer) == "none")
    // A process that cannot be sampled has none.
    #expect(try path(.healthy) { $0.reading = .failed(errno: EACCES, detail: "") } == "none")
    func step(_ machine: MachineDiagnosis) throws -> [String: String]? {
      let facts = try object(Diagnosis(machine: machine))["machine"] as? [String: Any]
      return (facts?["without_bpf"] as? [String: Any])?["step"] as? [String: String]
    }
    #expect(try step(.healthy) == ["scheduling": "realtime", "frames": "proven"])
    #expect(try step(.ordinaryUser) == ["scheduling": "short_slice", "frames": "evidence"])
    #expect(try step(.plainContainer) == nil)
  }

  @Test func anyTextComesThrough() throws {
    let odd = "\u{0}\u{1}\u{1f}\u{7f}\u{2028} \"quoted\" \\ / ü 中 🐍 \t\r\n"
    var target = TargetDiagnosis.healthy
    target.program = odd
    target.modules[1].path = odd
    let read = try #require(
      try object(Diagnosis(machine: .healthy, target: target))["target"] as? [String: Any])
    #expect(read["program"] as? String == odd)
    #expect((read["modules"] as? [[String: Any]])?[1]["path"] as? String == odd)
  }

  @Test func theFindingsAreTheLinesOfTheText() throws {
    let diagnosis = Diagnosis(machine: .oldUbuntuUser, target: .healthy)
    let findings = try #require(try object(diagnosis)["findings"] as? [[String: Any]])
    let expected = findings.flatMap { finding -> [String] in
      let mark = (finding["mark"] as? String ?? "").padding(toLength: 9, withPad: " ", startingAt: 0)
      let line = "  \(mark)\(finding["subject"] ?? ""): \(finding["text"] ?? "")"
      return [line] + (finding["commands"] as? [String] ?? []).map { "           $ \($0)" }
    }
    let lines = DoctorText(diagnosis).text.split(separator: "\n").map(String.init)
    #expect(lines.filter { $0.hasPrefix("  ") } == expected)
  }
}
