// Whether `caduceus doctor` foretells what attach does: if it samples, by which way and by which step.

import Foundation
import Testing

extension Live {
  @Suite struct DoctorPathTests {
    /// Rights of different kinds: doctor foretells whether attach works, and each failure of attach is a problem.
    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can become somebody else"),
      arguments: [
        [], Restricted.nobody, Restricted.nobody(with: ["perfmon", "bpf", "sys_ptrace"]),
        Restricted.nobody(with: ["perfmon", "bpf"]), Restricted.nobody(with: ["sys_admin", "sys_ptrace"]),
        Restricted.nobody(with: ["sys_ptrace"]), ["setpriv", "--bounding-set", "-sys_admin,-bpf"],
        ["setpriv", "--bounding-set", "-sys_admin,-sys_ptrace"],
        ["unshare", "--user", "--map-root-user"],
        ["/bin/sh", "-c", "ulimit -n 8; exec \"$@\"", "sh"],
      ])
    func doctorForetellsWhatAttachDoes(_ prefix: [String]) throws {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let program = try Program("result.py", ["1"], with: interpreter)
      let binary = try Caduceus.publicCopy(in: folder)
      let report = try DoctorReport(Child.run(prefix + [binary, "doctor", "\(program.pid)"]))
      let attached = try Child.run(prefix + [binary, "attach", "-d", "0.05", "\(program.pid)"])
      #expect(report.canSample == (attached.status == 0), "\(report.problems)\n\(attached.description)")
      expectTheSamePath(report, attached)
      // Whoever may not look into it is told so.
      if prefix.last?.hasSuffix("-sys_ptrace") == true, !report.canSample {
        #expect(report.target("access")?.text.contains("CAP_SYS_PTRACE is missing") == true, "\(report)")
        #expect(attached.errorText.contains("CAP_SYS_PTRACE missing"), "\(attached.description)")
      }
    }

    /// Where attach samples it says so if it is without eBPF, and in which words for the step.
    private func expectTheSamePath(_ report: DoctorReport, _ attached: Finished) {
      guard attached.status == 0 else { return }
      guard let path = report["path"] else {
        Issue.record("no path in \(report.findings)")
        return
      }
      let line = attached.errorText.split(separator: "\n").first { $0.hasPrefix("Sampling without eBPF (") }
      #expect((path.mark == "note") == (line != nil), "\(path)\n\(attached.description)")
      guard let line else { return }
      let step = path.text.split(separator: "): ").last.map(String.init) ?? "no step"
      #expect(line.hasSuffix("): " + step), "\(path)\n\(line)")
    }

    /// An ordinary user's own process is sampled as far as the kernel allows, somebody else's is not.
    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can become somebody else and change sysctls"),
      arguments: [true, false])
    func anOrdinaryUser(_ isOwn: Bool) throws {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let program = try Program("result.py", ["1"], with: interpreter, as: isOwn ? Restricted.nobody : [])
      let binary = try Caduceus.publicCopy(in: folder)
      let somebody = Restricted.nobody + [binary]
      try withSetting("kernel.perf_event_paranoid", 2) {
        let report = try DoctorReport(Child.run(somebody + ["doctor", "\(program.pid)"]))
        let facts = try DoctorFacts(Child.run(somebody + ["doctor", "--json", "\(program.pid)"]))
        let attached = try Child.run(somebody + ["attach", "-d", "0.05", "\(program.pid)"])
        #expect(attached.status == (isOwn ? 0 : 1), "\(attached.description)")
        #expect(report.finished.status == attached.status, "\(report.problems)\n\(attached.description)")
        #expect(facts.can_sample == isOwn && facts.path == (isOwn ? "without_bpf" : "none"))
        expectTheSamePath(report, attached)
        let path = try #require(report["path"])
        #expect(path.mark == "note" && path.text.contains("Python frames rest on evidence"), "\(path)")
        #expect(facts.machine.without_bpf.step?.frames == "evidence")
        #expect(report["kernel.perf_event_paranoid"]?.text.contains("only user space is sampled") == true)
        let access = try #require(report.target("access"))
        #expect(access.mark == (isOwn ? "ok" : "problem"), "\(access)")
        if isOwn {
          #expect(attached.errorText.contains("Sampling without eBPF ("), "\(attached.description)")
        } else {
          #expect(report.problems.map(\.subject) == ["access"], "\(report.problems)")
          #expect(attached.errorText.contains("not permitted: "), "\(attached.description)")
        }
      }
    }

    /// Debian's and Ubuntu's kernels forbid at 3 and above what others allow: doctor and attach agree.
    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can change sysctls"), arguments: [-1, 3, 4])
    func paranoidKernels(_ value: Int) throws {
      let folder = try Folder()
      let binary = try Caduceus.publicCopy(in: folder)
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      // Of the same user: another one's program may not be attached to anyway.
      let program = try Program("result.py", ["1"], with: interpreter, as: Restricted.nobody)
      let somebody = Restricted.nobody(with: ["perfmon", "bpf", "sys_ptrace"])
      try withSetting("kernel.perf_event_paranoid", value) {
        let report = try DoctorReport(Child.run(somebody + [binary, "doctor", "\(program.pid)"]))
        let attached = try Child.run(somebody + [binary, "attach", "-d", "0.05", "\(program.pid)"])
        #expect(report.canSample == (attached.status == 0), "\(report.problems)\n\(attached.description)")
        expectTheSamePath(report, attached)
        #expect(report["kernel.perf_event_paranoid"]?.text.hasPrefix("\(value) (") == true)
        if !report.canSample {
          let commands = report["kernel.perf_event_paranoid"]?.commands
          #expect(commands == ["sudo sysctl kernel.perf_event_paranoid=2"])
        }
        let root = try DoctorReport(Child.run([binary, "doctor"]))
        #expect(root.canSample)
      }
    }

    /// What may be locked decides which rings there can be: from none at all to those of eBPF.
    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can change sysctls"),
      arguments: [0, 64, 1000, 4096, 4100])
    func lockedMemory(_ kibibytes: Int) throws {
      let folder = try Folder()
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let program = try Program("result.py", ["1"], with: interpreter, as: Restricted.nobody)
      let somebody = Restricted.nobody(with: ["perfmon", "bpf", "sys_ptrace"])
      let command = try ["prlimit", "--memlock=0:0"] + somebody + [Caduceus.publicCopy(in: folder)]
      try withSetting("kernel.perf_event_mlock_kb", kibibytes) {
        let report = try DoctorReport(Child.run(command + ["doctor", "\(program.pid)"]))
        let attached = try Child.run(command + ["attach", "-d", "0.05", "\(program.pid)"])
        #expect(report.canSample == (attached.status == 0), "\(report.problems)\n\(attached.description)")
        expectTheSamePath(report, attached)
        if report["path"]?.mark == "ok" {
          let isSmaller = attached.errorText.contains("KiB of ring for each CPU instead of ")
          #expect((report["rings"]?.mark == "note") == isSmaller, "\(attached.description)")
        }
        if kibibytes == 0 { #expect(!report.canSample) }
      }
    }
  }
}
