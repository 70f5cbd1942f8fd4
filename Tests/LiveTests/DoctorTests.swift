// What `caduceus doctor` says about a machine and about rights, against the machine itself and against what
// happens when one samples.

import Foundation
import Testing

extension Live {
  @Suite struct DoctorTests {
    private static let settings = [
      "kernel.perf_event_paranoid", "kernel.unprivileged_bpf_disabled", "kernel.yama.ptrace_scope",
      "kernel.kptr_restrict", "kernel.perf_event_max_sample_rate", "kernel.perf_event_mlock_kb",
      "net.core.bpf_jit_enable",
    ]

    private func report(_ prefix: [String] = [], _ arguments: [String] = []) throws -> DoctorReport {
      let folder = try Folder()
      return try DoctorReport(
        Child.run(prefix + [Caduceus.publicCopy(in: folder), "doctor"] + arguments, within: 120))
    }

    /// The values that /proc/sys has, or that there is none.
    private func expectSettings(_ report: DoctorReport) throws {
      for name in Self.settings {
        let finding = try #require(report[name])
        let value = Machine.setting(name)
        #expect(
          value == "?" ? finding.text == "not to be seen here" : finding.text.hasPrefix("\(value) ("),
          "\(name): \(finding.text)")
      }
    }

    // MARK: The machine

    @Test func whereSamplingIsPossibleNothingStandsInItsWay() throws {
      let report = try DoctorReport(Caduceus.run(["doctor"]))
      #expect(report.canSample, "\(report.problems)")
      for subject in ["path", "perf_event_open", "eBPF program", "rings", "attaching", "CAP_SYS_PTRACE"] {
        #expect(report[subject]?.mark == "ok", "\(subject): \(report.finished.outputText)")
      }
      let release = try Child.run(["uname", "-r"]).outputText.trimmingCharacters(in: .whitespacesAndNewlines)
      #expect(report["kernel"]?.text.hasPrefix(release) == true)
      try expectSettings(report)
      let limit = try Child.run(["/bin/sh", "-c", "ulimit -Hn"]).outputText
      #expect(
        report["open files"]?.text.hasPrefix(limit.trimmingCharacters(in: .whitespacesAndNewlines)) == true)
      let cpus = try Child.run(["getconf", "_NPROCESSORS_ONLN"]).outputText
        .trimmingCharacters(in: .whitespacesAndNewlines)
      #expect(report["memory of the rings"]?.text.contains("of \(cpus) CPUs") == true)
    }

    /// The rings take what sampling says they take.
    @Test func theRingsAreThoseOfSampling() throws {
      let program = try Program("result.py", ["1"], with: Interpreter.any)
      let child = try Caduceus.start(["attach", "-d", "0.1", "\(program.pid)"])
      let line = try child.errorLines(1)[0]
      _ = try child.finish()
      let match = try #require(line.firstMatch(of: /(\d+ MiB) of rings/))
      let finding = try #require(try report()["memory of the rings"])
      #expect(finding.text.hasPrefix("\(match.1) ("), "\(finding.text)")
    }

    @Test func theJsonSaysWhatTheTextSays() throws {
      let program = try Program("result.py", ["1"], with: Interpreter.any)
      for arguments in [[], ["\(program.pid)"]] {
        let folder = try Folder()
        let text = try Caduceus.run(["doctor"] + arguments)
        let json = try Caduceus.run(["doctor", "--json"] + arguments)
        #expect(json.status == text.status)
        #expect(json.errorText.isEmpty)
        try json.output.write(to: URL(fileURLWithPath: folder.file("doctor.json")))
        // Python writes the text from the JSON.
        let script = """
          import json, sys
          whole = json.load(open(sys.argv[1]))
          about = None
          for finding in whole["findings"]:
              if finding["about"] != about:
                  about = finding["about"]
                  print("Machine" if about == "machine" else "\\nPID %d" % whole["target"]["pid"])
              print("  %-9s%s: %s" % (finding["mark"], finding["subject"], finding["text"]))
              for command in finding["commands"]:
                  print("           $ " + command)
          problems = sum(finding["mark"] == "problem" for finding in whole["findings"])
          assert whole["can_sample"] == (problems == 0)
          print("\\nSampling is possible." if problems == 0 else "\\nSampling is not possible")
          """
        let written = try Child.run([Interpreter.any.path, "-c", script, folder.file("doctor.json")])
        #expect(written.status == 0, "\(written.description)")
        #expect(written.outputText == text.outputText)
      }
    }

    @Test func theFactsOfTheMachineAreThoseOfTheMachine() throws {
      let facts = try DoctorFacts.run([])
      #expect(facts.can_sample)
      #expect(facts.target == nil)
      for name in Self.settings {
        let value = try #require(facts.machine.settings[name], "\(name) is not there")
        #expect(value == Int(Machine.setting(name)), "\(name)")
      }
      #expect(facts.machine.user_id == geteuid())
      #expect(facts.machine.perf_event_open.outcome == "worked")
      #expect(facts.machine.bpf_load.outcome == "worked")
      #expect(facts.machine.rings.outcome == "worked")
      #expect(facts.machine.bpf_attach.outcome == "worked")
      #expect(facts.machine.without_bpf.outcome == "worked")
      #expect(facts.machine.without_bpf.step?.frames == "proven")
      #expect(facts.path == "bpf")
      let files = FileManager.default
      if files.fileExists(atPath: "/run/.containerenv") {
        #expect(facts.machine.container?.kind == "podman")
      } else if files.fileExists(atPath: "/.dockerenv") {
        #expect(facts.machine.container?.kind == "docker")
      }
      let link = try files.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")
      #expect(link == "pid:[\(facts.machine.pid_namespace)]")
    }

    @Test func nothingIsLeft() throws {
      let program = try Program("result.py", ["1"], with: Interpreter.any)
      let before = try KernelObjects.now()
      for _ in 0..<3 { #expect(try Caduceus.run(["doctor", "\(program.pid)"]).status == 0) }
      let limit = Date.now.addingTimeInterval(20)
      var left: Set<String> = []
      // The kernel frees programs after a grace period.
      repeat {
        let now = try KernelObjects.now([program.pid])
        #expect(now.events["\(program.pid)"] == 0)
        left = now.orphans.subtracting(before.orphans)
      } while !left.isEmpty && Date.now < limit
      #expect(left.isEmpty, "\(left.sorted())")
      // The program was asked, not disturbed.
      program.go()
      struct Report: Decodable { let right: Bool }
      #expect(try program.result(Report.self).right)
    }

    // MARK: Rights

    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can become somebody else"))
    func withoutRights() throws {
      let target = try Child(["cat"])
      let report = try report(Restricted.nobody, ["\(target.pid)"])
      #expect(!report.canSample)
      // Of their own processes users may sample what the kernel shows everybody.
      let missing = report["path"]?.mark == "note" ? "note" : "problem"
      let command = "setcap cap_bpf,cap_perfmon,cap_sys_ptrace+ep $(command -v caduceus)"
      for capability in ["CAP_PERFMON", "CAP_BPF", "CAP_SYS_PTRACE"] {
        let finding = try #require(report[capability])
        #expect(finding.mark == missing)
        #expect(finding.commands == ["sudo " + command], "\(finding)")
      }
      #expect(report["perf_event_open"]?.mark == missing)
      #expect(report["eBPF program"]?.mark == missing)
      try expectSettings(report)
      let access = try #require(report.target("access"))
      #expect(access.mark == "problem" && access.text.contains("CAP_SYS_PTRACE"), "\(access)")
    }

    /// The command that is given makes what was missing be there.
    @Test(
      .enabled(
        if: Machine.isRoot && Machine.find("setcap") != nil || Machine.isCI, "only root can run setcap"))
    func theCommandHelps() throws {
      let folder = try Folder()
      let binary = try Caduceus.publicCopy(in: folder)
      let before = try DoctorReport(Child.run(Restricted.nobody + [binary, "doctor"]))
      let command = try #require(before["CAP_BPF"]?.commands.first)
      #expect(command.hasPrefix("sudo "))
      let done = try Child.run([
        "/bin/sh", "-c", "PATH=\(folder.path):$PATH; \(command.dropFirst(5))",
      ])
      #expect(done.status == 0, "\(done.description)")
      let after = try DoctorReport(Child.run(Restricted.nobody + [binary, "doctor"]))
      #expect(after.canSample, "\(after.problems)")
      #expect(after["path"]?.mark == "ok")
    }

    @Test(
      .enabled(if: Machine.isRoot || Machine.isCI, "only root can drop capabilities"),
      arguments: ["perfmon", "bpf", "sys_ptrace"])
    func withoutOneCapability(_ name: String) throws {
      let report = try report(["setpriv", "--bounding-set", "-sys_admin,-\(name)"])
      let subject = "CAP_\(name.uppercased())"
      #expect(report.canSample, "\(report.problems)")
      #expect(report["path"]?.text.hasPrefix("without eBPF (not permitted: \(subject) missing): ") == true)
      let missing = report.findings.filter {
        $0.subject.hasPrefix("CAP_") && $0.text.contains("there is no eBPF")
      }
      #expect(missing.map(\.subject) == [subject] && missing.allSatisfy { $0.mark == "note" })
      // A container is started anew for it, everything else needs another session.
      let finding = try #require(report[subject])
      #expect(
        report["container"]?.mark == "note"
          ? finding.commands.first?.contains("--cap-add \(name.uppercased())") == true
          : finding.text.contains("bounding set"), "\(finding)")
    }

    /// A limit that sampling stays below is a note, one that it does not a problem.
    @Test func openFiles() throws {
      let facts = try DoctorFacts.run([])
      let fixed = facts.machine.open_files.fixed
      let program = try Program("many_threads.py", ["24", "0.1"], with: Interpreter.any)
      func run(_ limit: UInt64) throws -> (DoctorReport, Finished) {
        let shell = ["/bin/sh", "-c", "ulimit -n \(limit); exec \"$@\"", "sh", Caduceus.path]
        let report = try DoctorReport(Child.run(shell + ["doctor", "\(program.pid)"]))
        return (report, try Child.run(shell + ["attach", "-d", "0.05", "\(program.pid)"]))
      }
      let (enough, sampled) = try run(fixed + 28)
      #expect(enough.canSample, "\(enough.problems)")
      #expect(enough["open files"]?.mark == "note")
      #expect(enough["open files"]?.text.hasPrefix("\(fixed + 28) ") == true)
      let commands = try #require(enough["open files"]?.commands)
      #expect(commands.count == 1 && commands[0].contains(/ulimit -n|prlimit --nofile/), "\(commands)")
      #expect(sampled.status == 0, "\(sampled.description)")
      // Files are opened when a stack leads into them: that is more than the bare minimum.
      #expect(enough.target("threads")?.mark == "note")
      // Files that are read for a moment count or do not: three more are enough and three less too few either way.
      let (tooFew, unsampled) = try run(fixed + 22)
      #expect(unsampled.status == 1, "\(unsampled.description)")
      #expect(tooFew.problems.map(\.subject) == ["threads"], "\(tooFew.problems)")
      #expect(tooFew.target("threads")?.text.hasPrefix("25 now, which need \(fixed + 25) ") == true)
      // Where even the program and the rings have too many, one of them fails and says so; the other way needs less
      // before the first thread, but more for each.
      let (none, refused) = try run(14)
      let failed = try #require(
        none.findings.first { ["eBPF program", "rings"].contains($0.subject) && $0.mark != "ok" })
      #expect(failed.text.contains("the limit of open files is 14"), "\(failed)")
      #expect(failed.commands.count == 1 && failed.commands[0].contains(/ulimit -n|prlimit --nofile/))
      #expect(none.problems.contains { ["path", "threads"].contains($0.subject) }, "\(none.problems)")
      #expect(refused.status == 1)
    }

    // MARK: Sysctls that are changed

    /// 2 hides kernel addresses from everybody.
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can change sysctls"))
    func hiddenKernelNames() throws {
      try withSetting("kernel.kptr_restrict", 2) {
        let report = try report()
        #expect(report.canSample)
        let finding = try #require(report["kernel functions"])
        #expect(finding.mark == "note")
        #expect(finding.commands.first?.hasSuffix("sysctl kernel.kptr_restrict=1") == true)
        try expectSettings(report)
      }
    }

    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can change sysctls")) func lowSampleRate()
      throws
    {
      try withSetting("kernel.perf_event_max_sample_rate", 500) {
        let report = try report()
        #expect(report.canSample)
        #expect(report["kernel.perf_event_max_sample_rate"]?.mark == "note")
        try expectSettings(report)
      }
    }

    /// Without room to lock memory the rings cannot be mapped; the command makes room.
    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can change sysctls")) func lockedMemory()
      throws
    {
      let name = "kernel.perf_event_mlock_kb"
      let folder = try Folder()
      let somebody = Restricted.nobody(with: ["perfmon", "bpf", "sys_ptrace"])
      let command =
        try ["prlimit", "--memlock=0:0"] + somebody + [Caduceus.publicCopy(in: folder), "doctor"]
      let report = try withSetting(name, 0) { try DoctorReport(Child.run(command)) }
      #expect(report.problems.map(\.subject) == ["path", "rings"], "\(report.problems)")
      let advice = try #require(report["rings"]?.commands.first)
      let match = try #require(advice.wholeMatch(of: /sudo sysctl kernel\.perf_event_mlock_kb=(\d+)/))
      let wanted = try #require(Int(match.1))
      let raised = try withSetting(name, wanted) { try DoctorReport(Child.run(command)) }
      #expect(raised["path"]?.mark == "ok", "\(raised.problems)")
      #expect(raised["rings"]?.mark == "ok")
      // No more than is needed; with less there is room for smaller rings.
      let below = try withSetting(name, wanted - 4) { try DoctorReport(Child.run(command)) }
      #expect(below["path"]?.mark == "ok" && below.canSample, "\(below.problems)")
      #expect(below["rings"]?.mark == "note" && below["rings"]?.commands.first == advice)
      // With still less there are rings for samples without eBPF only.
      let least = try withSetting(name, 128) { try DoctorReport(Child.run(command)) }
      #expect(least["path"]?.text.hasPrefix("without eBPF (rings: Operation not permitted): ") == true)
      #expect(least["rings"]?.mark == "note" && least.canSample)
    }

    // MARK: Pid namespaces

    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can make namespaces"))
    func aNestedPidNamespace() throws {
      let own = try report(["unshare", "--pid", "--fork", "--mount-proc"])
      #expect(own.canSample, "\(own.problems)")
      #expect(own["pid namespace"]?.mark == "note")
      #expect(own["pid namespace"]?.text.hasPrefix("nested") == true)
      // With the outer /proc, numbers of processes are not those of system calls.
      let outer = try report(["unshare", "--pid", "--fork"])
      #expect(outer.problems.map(\.subject) == ["path", "pid namespace"], "\(outer.problems)")
      #expect(outer["pid namespace"]?.text.hasPrefix("nested, but /proc") == true)
      let refused = try Child.run(["unshare", "--pid", "--fork", Caduceus.path, "run", "--", "/bin/true"])
      #expect(
        refused.status == 1 && refused.errorText.contains("another pid namespace"), "\(refused.description)")
      let command = try #require(outer["pid namespace"]?.commands.first)
      #expect(command.hasSuffix(" COMMAND"))
      let prefix = command.dropLast(" COMMAND".count).split(separator: " ").map(String.init)
      #expect(try report(prefix).canSample)
    }

    // MARK: Usage

    @Test(arguments: [["0"], ["-1"], ["python3"], ["1", "2"], ["--jason"], ["1.5"]])
    func usageErrors(_ arguments: [String]) throws {
      let finished = try Caduceus.run(["doctor"] + arguments)
      #expect(finished.status == 2, "\(finished.description)")
      #expect(finished.output.isEmpty)
      #expect(finished.errorText.hasPrefix("Error: "))
    }

    @Test func theHelpExplainsTheExitStatus() throws {
      let finished = try Caduceus.run(["doctor", "--help"])
      #expect(finished.status == 0)
      for words in ["--json", "exit status", "[PID]"] { #expect(finished.outputText.contains(words)) }
      #expect(try Caduceus.run(["--help"]).outputText.contains("doctor"))
    }
  }
}
