// With capabilities of the file instead of root: for the user's own processes, and handed on to nobody.

import Foundation
import Testing

extension Live {
  @Suite(.enabled(if: Machine.isRoot || Machine.isCI, "only root can create users and give capabilities"))
  struct CapabilityTests {
    /// A copy of the binary with the capabilities that sampling needs, where every user can run it.
    private func capable(_ folder: Folder) throws -> String {
      let binary = try Caduceus.publicCopy(in: folder)
      try give("cap_bpf,cap_perfmon,cap_sys_ptrace+ep", to: binary)
      return binary
    }

    private func give(_ capabilities: String, to path: String) throws {
      let tool = Machine.find("setcap") ?? "/usr/sbin/setcap"
      let finished = try Child.run([tool, capabilities, path])
      guard finished.status == 0 else { throw LiveError("setcap: \(finished.description)") }
    }

    private func sample(_ binary: [String], _ user: TestUser, _ program: Program) throws -> Finished {
      let child = try Child(
        user.command(binary + ["attach", "--collapsed", "-o", "out", "\(program.pid)"]),
        environment: user.environment, folder: user.home)
      try child.errorLines(1)
      program.go()
      return try child.finish()
    }

    /// Capabilities of the file are for the user's own processes; for others there is sudo.
    @Test func anotherUsersProcessNeedsSudo() throws {
      let (user, other, folder) = (try TestUser(), try TestUser(), try Folder())
      let binary = try capable(folder)
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      for (owner, name, identity) in [
        (other.uid, other.name, other.command([])), (0, "root", ["setpriv", "--reuid", "0"]),
      ] {
        let program = try Program("result.py", ["10"], with: interpreter, as: identity)
        // Behind the shell it is the shell's child.
        let pid = try #require(Self.pythons(below: program.pid).first)
        let refused = try user.run([binary, "attach", "\(pid)"])
        #expect(refused.status == 1, "\(refused.description)")
        #expect(
          refused.errorText
            == "caduceus: not permitted: PID \(pid) belongs to \(name) (user id \(owner)), and you are user id "
            + "\(user.uid); run it with sudo\n")
        let child = try Child(
          user.command(["sudo", "-n", binary, "attach", "--collapsed", "-o", "out", "\(pid)"]),
          environment: user.environment, folder: user.home)
        try child.errorLines(1)
        program.go()
        let finished = try child.finish()
        #expect(finished.status == 0, "\(finished.description)")
        #expect(try CollapsedFile(path: user.home + "/out").count(with: "one_round") > 20)
        #expect(user.owns(user.home + "/out"))
        _ = try program.child.finish()
      }
    }

    /// The Python processes at and below a process.
    private static func pythons(below pid: Int32) -> [Int32] {
      let base = "/proc/\(pid)"
      let executable = (try? FileManager.default.destinationOfSymbolicLink(atPath: base + "/exe")) ?? ""
      let children = (try? String(contentsOfFile: "\(base)/task/\(pid)/children", encoding: .utf8)) ?? ""
      let own = executable.contains("/python") ? [pid] : []
      return own + children.split(separator: " ").compactMap { Int32($0) }.flatMap(pythons)
    }

    @Test func theUsersOwnProcessNeedsNoSudo() throws {
      let (user, folder) = (try TestUser(sudo: nil), try Folder())
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let program = try Program("result.py", ["10"], with: interpreter, as: user.direct)
      let finished = try sample([capable(folder)], user, program)
      #expect(finished.status == 0, "\(finished.description)")
      #expect(
        try CollapsedFile(path: user.home + "/out").count(with: "one_round") > 20, "\(finished.description)")
    }

    /// The user's own, but with more rights than the user: what is not dumpable, and what has a capability.
    @Test(arguments: ["not dumpable", "capability"]) func aProcessWithMoreRightsNeedsSudo(_ what: String)
      throws
    {
      let (user, folder) = (try TestUser(), try Folder())
      let binary = try capable(folder)
      var interpreter = try Interpreter.everybodys(amongst: Interpreter.supported).path
      var text = "import os; os.write(1, b'ready\\n'); os.read(0, 1); sum(range(3000000))"
      if what == "capability" {
        try FileManager.default.copyItem(atPath: interpreter, toPath: folder.file("python3"))
        interpreter = folder.file("python3")
        try give("cap_net_raw+ep", to: interpreter)
        // Dumpable again: what is left is the capability.
        text = "import ctypes; ctypes.CDLL(None).prctl(4, 1, 0, 0, 0); " + text
      } else {
        text = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); " + text
      }
      let target = try Child(user.direct + [interpreter, "-S", "-c", text], environment: user.environment)
      #expect(try target.line() == "ready")
      let refused = try user.run([binary, "attach", "\(target.pid)"])
      #expect(refused.status == 1, "\(refused.description)")
      #expect(
        refused.errorText
          == "caduceus: not permitted: PID \(target.pid) has more rights than you or forbids to look into it; run it "
          + "with sudo\n")
      let child = try Child(
        user.command(["sudo", "-n", binary, "attach", "\(target.pid)"]), environment: user.environment,
        folder: user.home)
      try child.errorLines(1)
      target.send("\n")
      #expect(try child.finish().status == 0)
    }

    /// Only root's word counts.
    @Test func aUserWhoIsNotRootCannotBecomeAnother() throws {
      let (user, other, folder) = (try TestUser(), try TestUser(), try Folder())
      var environment = user.environment
      environment["SUDO_UID"] = "\(other.uid)"
      environment["SUDO_GID"] = "\(other.gid)"
      environment["SUDO_USER"] = other.name
      let binary = try capable(folder)
      let python = try Interpreter.everybodys(amongst: Interpreter.supported).path
      try user.write(SelfReport.program, to: "app.py")
      let found = try SelfReport(user.run([binary, "run", "--", python, "app.py"], environment: environment))
      #expect(found.users == [user.uid, user.uid, user.uid])
      let refused = try user.run(
        [binary, "run", "--as-root", "--", python, "app.py"], environment: environment)
      #expect(refused.status == 1)
      #expect(refused.errorText == "caduceus: --as-root needs root; run it with sudo\n")
      #expect(refused.output.isEmpty)
    }

    /// A program that becomes set-uid is not looked into from then on.
    @Test(arguments: ["attach", "run"], [[], ["--per-cpu"]])
    func aProgramThatGetsMoreRights(_ command: String, _ how: [String]) throws {
      let (user, folder) = (try TestUser(sudo: nil), try Folder())
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported).path
      let setUid = folder.file("python3")
      try FileManager.default.copyItem(atPath: interpreter, toPath: setUid)
      unsafe chmod(setUid, 0o4755)
      let secret = """
        import os
        def work_of_root():
            for _ in range(200): sum(number * number for number in range(100000))
        work_of_root()
        os.write(1, b"%d %d\\n" % (os.getuid(), os.geteuid()))
        """
      let text = """
        import os, sys
        def work_of_the_user():
            for _ in range(200): sum(number * number for number in range(100000))
        os.write(1, b"ready\\n"); os.read(0, 1)
        work_of_the_user()
        os.execv(sys.argv[1], sys.argv[1:])
        """
      let program = [interpreter, "-S", "-c", text, setUid, "-S", "-c", secret]
      let options = [command, "--collapsed", "-d", "100", "-o", "out"] + how
      let finished: Finished
      var said = ""
      if command == "run" {
        finished = try Child.run(
          user.command([capable(folder)] + options + ["--"] + program), environment: user.environment,
          folder: user.home, input: Data("\n".utf8))
        said = finished.outputText
      } else {
        let target = try Child(user.direct + program, environment: user.environment)
        #expect(try target.line() == "ready")
        let child = try Child(
          user.command([capable(folder)] + options + ["\(target.pid)"]), environment: user.environment,
          folder: user.home)
        try child.errorLines(1)
        target.send("\n")
        finished = try child.finish()
        said = try target.finish().outputText
      }
      #expect(finished.status == 0, "\(finished.description)")
      #expect(said.contains("\(user.uid) 0\n"), "\(said)")
      let stacks = try CollapsedFile(path: user.home + "/out")
      #expect(stacks.count(with: "work_of_the_user") > 100, "\(finished.description)")
      #expect(stacks.count(with: "work_of_root") == 0)
      // Where the interpreter is known from the beginning, no native frame of the next one is shown either.
      let unknown = stacks.count {
        $0.frames.contains { $0.isNative && $0.name.hasPrefix("_PyEval") }
          && !$0.frames.contains(where: \.isPython)
      }
      #expect(command == "run" || unknown == 0)
      #expect(finished.errorText.contains("has more rights than you"), "\(finished.description)")
    }

    /// The program gets more rights between the first check and the moment when all is open, while we are stopped.
    @Test(arguments: [[], ["--per-cpu"]]) func anExecWhileWeAreStopped(_ how: [String]) throws {
      let (user, folder) = (try TestUser(sudo: nil), try Folder())
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported).path
      let setUid = folder.file("python3")
      try FileManager.default.copyItem(atPath: interpreter, toPath: setUid)
      unsafe chmod(setUid, 0o4755)
      let secret =
        "import os\nos.write(1, b'%d\\n' % os.geteuid())\n"
        + "def work_of_root():\n  while True: sum(range(1000))\nwork_of_root()"
      let text =
        "import os, sys\nos.write(1, b'ready\\n'); os.read(0, 1)\nos.execv(sys.argv[1], sys.argv[1:])"
      let target = try Child(
        user.direct + [interpreter, "-S", "-c", text, setUid, "-S", "-c", secret],
        environment: user.environment)
      #expect(try target.line() == "ready")
      // Each output's file is made between the first check and the opening.
      let outputs = (0..<200).flatMap { ["-o", "out/\($0).txt"] }
      _ = try user.run(["mkdir", "out"])
      let child = try Child(
        user.direct + [capable(folder), "attach", "-d", "1"] + how + outputs + ["\(target.pid)"],
        environment: user.environment, folder: user.home)
      while try FileManager.default.contentsOfDirectory(atPath: user.home + "/out").isEmpty,
        kill(child.pid, 0) == 0
      {}
      child.signal(SIGSTOP)
      target.send("\n")
      #expect(try target.line() == "0")
      child.signal(SIGCONT)
      let finished = try child.finish()
      target.signal(SIGKILL)
      _ = try target.finish()
      #expect(finished.status == 1, "\(finished.description)")
      #expect(finished.errorText.contains("has more rights than you"), "\(finished.description)")
      for name in try FileManager.default.contentsOfDirectory(atPath: user.home + "/out") {
        let text = try String(contentsOfFile: user.home + "/out/" + name, encoding: .utf8)
        #expect(!text.contains("work_of_root"), "\(name)")
      }
    }

    /// `run` hands none of its capabilities on, however it got them; and the program finds the environment that the
    /// dynamic loader hides from a binary with capabilities.
    @Test(arguments: ["file", "ambient"]) func theProgramHasNoCapabilities(_ source: String) throws {
      let (user, folder) = (try TestUser(sudo: nil), try Folder())
      try user.makeVirtualEnvironment()
      var environment = user.environment
      environment["LD_LIBRARY_PATH"] = "/caduceus/nothing/here"
      environment["MALLOC_ARENA_MAX"] = "2"
      let program = ["python", try Program.publicPath("situation_of_process.py"), "argument"]
      let alone = try user.run(program, environment: environment)
      let watched: Finished
      if source == "file" {
        watched = try user.run([capable(folder), "run", "--"] + program, environment: environment)
      } else {
        let set = "+perfmon,+bpf,+sys_ptrace,+net_raw"
        watched = try Child.run(
          [
            "setpriv", "--reuid", user.name, "--regid", user.name, "--init-groups", "--inh-caps=\(set)",
            "--ambient-caps=\(set)", "/bin/bash", "-c", "\"$@\"; exit $?", "bash",
            Caduceus.publicCopy(in: folder),
            "run", "--",
          ] + program, environment: environment, folder: user.home)
      }
      #expect(watched.status == 0, "\(watched.description)")
      let expected = try #require(try JSONSerialization.jsonObject(with: alone.output) as? [String: Any])
      let found = try #require(try JSONSerialization.jsonObject(with: watched.output) as? [String: Any])
      let status = try #require(found["status"] as? [String: String])
      for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        #expect(status[set] == "0000000000000000", "\(set)")
      }
      for (name, value) in expected {
        var (left, right) = (found[name] as? NSObject, value as? NSObject)
        if name == "environment" {
          func rest(_ value: NSObject?) -> NSObject? {
            (value as? [String: String])?.filter { $0.key != "_" } as NSObject?
          }
          (left, right) = (rest(left), rest(right))
        }
        #expect(left == right, "\(name)")
        #expect(left != nil)
      }
    }

    /// A set-uid binary would give everybody everything.
    @Test(arguments: [0o4755, 0o2755]) func aSetUidBinaryRefuses(_ mode: Int) throws {
      let (user, folder) = (try TestUser(sudo: nil), try Folder())
      let binary = try Caduceus.publicCopy(in: folder)
      unsafe chmod(binary, mode_t(mode))
      let refused = try user.run([binary, "run", "--", "id", "-u"])
      #expect(refused.status == 1, "\(refused.description)")
      #expect(refused.output.isEmpty)
      #expect(refused.errorLines.count == 1)
      #expect(
        refused.errorText.hasPrefix("caduceus: caduceus must not be set-uid or set-gid: "),
        "\(refused.errorText)")
    }
  }
}
