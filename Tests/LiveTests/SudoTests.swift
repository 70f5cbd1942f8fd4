// Under sudo: programs and files are those of the user who called it.

import Foundation
import Testing

extension Live {
  @Suite(.enabled(if: Machine.isRoot || Machine.isCI, "only root can create users and let them use sudo"))
  struct SudoTests {
    // MARK: Who, where, with what

    /// `python` is the one of the virtual environment that the user sees, and everything is as without sudo.
    @Test func theProgramFindsWhatItWouldFindWithoutSudo() throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try user.makeVirtualEnvironment()
      try user.write(SelfReport.program, to: "app.py")
      var environment = user.environment
      environment["LD_LIBRARY_PATH"] = "/caduceus/nothing/here"
      environment["PYTHONPATH"] = "/caduceus/nothing"
      environment["EMPTY"] = ""
      environment["LINES_OF_TEXT"] = "a\nb=c"
      environment["TMPDIR"] = user.home
      let program = ["python", "app.py", "", "two words"]
      let alone = try SelfReport(user.run(program, environment: environment))
      let finished = try user.run(
        ["sudo", "-n", Caduceus.publicCopy(in: folder), "run", "--"] + program, environment: environment)
      let watched = try SelfReport(finished)
      #expect(watched == alone)
      #expect(alone.executable == python)
      #expect(alone.users == [user.uid, user.uid, user.uid])
      #expect(finished.errorLines[0].hasPrefix("PID "), "\(finished.errorText)")
      #expect(finished.errorLines[1] == "Running \(python) as \(user.name)")
    }

    /// Identity, groups, capabilities, signals, limits: the same as without sudo. sudo alone closes descriptors and
    /// forbids core files.
    @Test func theSituationIsTheSame() throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try user.makeVirtualEnvironment()
      let program = ["python", try Program.publicPath("situation_of_process.py"), "argument"]
      let alone = try user.run(program)
      let sudo = try user.run(["sudo", "-n", python] + program.dropFirst())
      let watched = try user.run(["sudo", "-n", Caduceus.publicCopy(in: folder), "run", "--"] + program)
      #expect(watched.status == 0, "\(watched.description)")
      func situation(_ finished: Finished) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: finished.output) as? [String: Any])
      }
      var expected = try situation(alone)
      var found = try situation(watched)
      let ofSudo = try situation(sudo)
      expected["environment"] = nil
      expected["descriptors"] = ofSudo["descriptors"]
      var limits = try #require(expected["limits"] as? [String: NSObject])
      let limitsOfSudo = try #require(ofSudo["limits"] as? [String: NSObject])
      limits["RLIMIT_CORE"] = limitsOfSudo["RLIMIT_CORE"]
      expected["limits"] = limits
      for (name, value) in expected {
        #expect(found.removeValue(forKey: name) as? NSObject == value as? NSObject, "\(name)")
      }
      #expect(Array(found.keys) == ["environment"])
    }

    /// What is said on sudo's command line counts: before the command, and what differs from the shell's.
    struct Words: Sendable, CustomTestStringConvertible {
      let sudo: [String]
      let differences: [String: String]
      var testDescription: String { sudo.joined(separator: " ") }
    }

    static let commandLines = [
      Words(sudo: ["BAR=1"], differences: ["BAR": "1"]),
      Words(sudo: ["FOO=of sudo", "BAR="], differences: ["FOO": "of sudo", "BAR": ""]),
      Words(sudo: ["-E"], differences: [:]),
      Words(sudo: ["-E", "FOO=of sudo"], differences: ["FOO": "of sudo"]),
      Words(sudo: ["-H"], differences: [:]),
      Words(sudo: ["--preserve-env=FOO"], differences: [:]),
      Words(sudo: ["env", "FOO=of env"], differences: ["FOO": "of env"]),
      Words(sudo: ["HOME=/caduceus/nowhere"], differences: ["HOME": "/caduceus/nowhere"]),
      // A shell between tells how deep it is and what folder it was in.
      Words(sudo: ["bash", "-c", "FOO=of a script \"$@\"; exit $?", "bash"], differences: ["FOO": "of"]),
    ]

    @Test(arguments: commandLines) func whatIsSaidAfterSudoCounts(_ words: Words) throws {
      let (user, folder) = (try TestUser(), try Folder())
      try user.makeVirtualEnvironment()
      try user.write(SelfReport.program, to: "app.py")
      let program = ["python", "app.py"]
      var alone = try SelfReport(user.run(program))
      let sudo = words.sudo.map { $0.replacingOccurrences(of: "of a script", with: "of") }
      var watched = try SelfReport(
        user.run(["sudo", "-n"] + sudo + [Caduceus.publicCopy(in: folder), "run", "--"] + program))
      alone.environment.merge(words.differences) { $1 }
      if words.sudo.contains("bash") {
        watched.environment["SHLVL"] = nil
        alone.environment["SHLVL"] = nil
      }
      #expect(watched == alone)
    }

    /// On a terminal sudo puts one more process of its own between.
    @Test func onATerminal() throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try user.makeVirtualEnvironment()
      try user.write(SelfReport.program, to: "app.py")
      let line = "sudo -n \(try Caduceus.publicCopy(in: folder)) run -- python app.py > said"
      let finished = try user.run(["script", "--quiet", "--return", "--command", line, "/dev/null"])
      #expect(finished.status == 0, "\(finished.description)")
      #expect(
        finished.outputText.contains("Running \(python) as \(user.name)\r\n"), "\(finished.description)")
      let said = try Data(contentsOf: URL(fileURLWithPath: user.home + "/said"))
      #expect(try JSONDecoder().decode(SelfReport.self, from: said).environment["FOO"] == "of the shell")
    }

    /// Two users, one after the other: the nearest sudo is the one that counts.
    @Test func sudoBelowSudo() throws {
      let (first, second, folder) = (
        try TestUser(sudo: "ALL=(ALL) NOPASSWD: ALL"), try TestUser(), try Folder()
      )
      try second.makeVirtualEnvironment()
      try second.write(SelfReport.program, to: "app.py")
      let end = [
        "sudo", "-n", try Caduceus.publicCopy(in: folder), "run", "--", "\(second.home)/venv/bin/python",
        "app.py",
      ]
      let command = ["sudo", "-n", "-u", second.name, "env", "FOO=of the second"] + end
      let found = try SelfReport(first.run(command, folder: second.home))
      #expect(found.users == [second.uid, second.uid, second.uid])
      #expect(found.environment["FOO"] == "of the second")
      #expect(found.environment["SUDO_USER"] == first.name, "as without the second sudo")
      #expect(found.environment["HOME"] == second.home)
    }

    @Test func asRootTheProgramKeepsRoot() throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try Interpreter.everybodys(amongst: Interpreter.supported).path
      try user.write(SelfReport.program, to: "app.py")
      let sudo = ["sudo", "-n", "BAR=1"]
      let program = [python, "app.py"]
      var alone = try SelfReport(user.run(sudo + program))
      let finished = try user.run(
        sudo + [Caduceus.publicCopy(in: folder), "run", "--as-root", "--"] + program)
      var watched = try SelfReport(finished)
      #expect(watched.environment.removeValue(forKey: "SUDO_COMMAND")?.contains("caduceus") == true)
      #expect(alone.environment.removeValue(forKey: "SUDO_COMMAND")?.hasPrefix(python) == true)
      #expect(watched == alone)
      #expect(watched.users == [0, 0, 0] && watched.groups == [0, 0, 0])
      #expect(watched.environment["SUDO_USER"] == user.name && watched.environment["USER"] == "root")
      #expect(finished.errorLines[1] == "Running \(python) as root", "\(finished.errorText)")
    }

    // MARK: Which file

    /// Found as the user's shell finds it: what the user may not execute is passed over, and 126 if nothing else is
    /// found; nothing at all is 127.
    @Test func theCommandIsLookedUpAsTheUser() throws {
      let (user, folder) = (try TestUser(), try Folder())
      let caduceus = ["sudo", "-n", try Caduceus.publicCopy(in: folder), "run", "--"]
      let files = FileManager.default
      for name in ["closed", "first", "second"] {
        try files.createDirectory(atPath: folder.file(name), withIntermediateDirectories: false)
      }
      // What only root may execute or reach, and a script without a first line that names its interpreter.
      for (name, mode) in [
        ("first/tool", 0o700), ("first/only", 0o700), ("closed/hidden", 0o755), ("second/tool", 0o755),
      ] {
        try Data("echo \"$0\" \"$@\" $(id -u)\n".utf8).write(to: URL(fileURLWithPath: folder.file(name)))
        unsafe chmod(folder.file(name), mode_t(mode))
      }
      unsafe chmod(folder.file("closed"), 0o700)
      var environment = user.environment
      environment["PATH"] =
        "\(folder.file("closed")):\(folder.file("first")):\(folder.file("second")):/usr/bin:/bin"
      func run(_ command: [String]) throws -> Finished {
        try user.run(caduceus + command, environment: environment)
      }
      let found = try run(["tool", "a b"])
      #expect(found.status == 0, "\(found.description)")
      #expect(found.outputText == "\(folder.file("second/tool")) a b \(user.uid)\n")
      #expect(
        found.errorLines.contains("Running \(folder.file("second/tool")) as \(user.name)"),
        "\(found.errorText)")
      for (command, status, reason) in [
        ("only", 126, "Permission denied"), (folder.file("first/only"), 126, "Permission denied"),
        (folder.file("closed/hidden"), 126, "Permission denied"),
        ("hidden", 127, "No such file or directory"),
        ("caduceus-no-such-command", 127, "No such file or directory"),
        (folder.file("second/none"), 127, "No such file or directory"),
      ] {
        let finished = try run([command])
        #expect(finished.status == Int32(status), "\(finished.description)")
        let line = try #require(finished.errorLines.last)
        #expect(line.hasPrefix("caduceus: cannot run \(command): \(reason)"), "\(line)")
        // Root could execute it: that is no matter of chmod.
        let advice = "; \(user.name) may not execute it, --as-root runs it as root"
        #expect(line.hasSuffix(advice) == (status == 126 && command.contains("/")), "\(line)")
        // The shell of the same user agrees.
        #expect(try user.run(["bash", "-c", command], environment: environment).status == Int32(status))
      }
    }

    // MARK: Without sudo's own environment

    /// Who called is not known: that is no reason to go on as root.
    @Test(arguments: [
      ["SUDO_UID": "4294967295", "SUDO_GID": "0", "SUDO_USER": "root"],
      ["SUDO_UID": "1003x", "SUDO_GID": "1003", "SUDO_USER": "daemon"],
      ["SUDO_UID": "-1", "SUDO_GID": "1", "SUDO_USER": "daemon"],
      ["SUDO_UID": "+1", "SUDO_GID": "1", "SUDO_USER": "daemon"],
      ["SUDO_UID": "", "SUDO_GID": "1", "SUDO_USER": "daemon"],
      ["SUDO_UID": "1", "SUDO_GID": "99999999999", "SUDO_USER": "daemon"],
      ["SUDO_UID": "1", "SUDO_GID": "1"], ["SUDO_UID": "1", "SUDO_USER": "daemon"],
      ["DOAS_USER": "caduceus-nobody"], ["PKEXEC_UID": "1e3"], ["PKEXEC_UID": "4294967294"],
    ]) func aCallerThatIsNoUser(_ caller: [String: String]) throws {
      let folder = try Folder()
      for command in [["run", "-o", "out.txt", "--", "/bin/true"], ["attach", "-o", "out.txt", "1"]] {
        let finished = try Caduceus.run(command, environment: caller, folder: folder.path)
        #expect(finished.status == 1, "\(finished.description)")
        #expect(
          finished.errorText.hasPrefix("caduceus: not permitted: the caller is not known: "),
          "\(finished.description)")
        #expect(finished.errorLines.count == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
      }
    }

    /// What sudo, doas and pkexec say of their caller, without them among our ancestors.
    static let callers: [[String: String]] = [
      ["SUDO_UID": "UID", "SUDO_GID": "GID", "SUDO_USER": "NAME", "SUDO_COMMAND": "x"], ["DOAS_USER": "NAME"],
      ["PKEXEC_UID": "UID"],
    ]

    @Test(arguments: callers) func withoutItOurOwnEnvironmentIsUsed(_ caller: [String: String]) throws {
      let user = try TestUser()
      try user.write(SelfReport.program, to: "app.py")
      var environment = caller.mapValues {
        $0.replacingOccurrences(of: "UID", with: "\(user.uid)").replacingOccurrences(
          of: "GID", with: "\(user.gid)"
        )
        .replacingOccurrences(of: "NAME", with: user.name)
      }
      environment.merge(["MAIL": "/var/mail/root", "HOME": "/root", "USER": "root", "FOO": "ours"]) { $1 }
      let python = try Interpreter.everybodys(amongst: Interpreter.supported).path
      let finished = try Caduceus.run(
        ["run", "--", python, "app.py"], environment: environment, folder: user.home)
      let found = try SelfReport(finished)
      #expect(
        found.users == [user.uid, user.uid, user.uid] && found.groups == [user.gid, user.gid, user.gid])
      #expect(found.others == [user.gid])
      var expected = Child.environment.filter { $0.key != "_" }
      expected["MAIL"] = nil
      let own = [
        "HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": "/bin/bash", "FOO": "ours",
      ]
      expected.merge(own) { $1 }
      #expect(found.environment == expected)
      let line = try #require(finished.errorLines.first { $0.hasPrefix("Running ") }, "\(finished.errorText)")
      #expect(
        line.hasPrefix("Running \(python) as \(user.name), not in \(user.name)'s own environment"), "\(line)")
    }

    // MARK: Files

    @Test(
      arguments: ["attach", "run"],
      [["--pstats", "-o", "out"], ["--collapsed", "-o", "out"], ["--collapsed"]])
    func filesAreTheUsers(_ command: String, _ output: [String]) throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try Interpreter.everybodys(amongst: Interpreter.supported)
      let binary = try Caduceus.publicCopy(in: folder)
      let before = try FileManager.default.contentsOfDirectory(atPath: user.home)
      if command == "run" {
        let program = [python.path, try Program.publicPath("result.py"), "--no-gate", "10"]
        let finished = try user.run(["sudo", "-n", binary, "run"] + output + ["--"] + program)
        #expect(finished.status == 0, "\(finished.description)")
      } else {
        // The process is root's: whose files they are does not depend on it.
        let program = try Program("result.py", ["10"], with: python)
        let child = try Child(
          user.command(["sudo", "-n", binary, "attach"] + output + ["\(program.pid)"]),
          environment: user.environment, folder: user.home)
        try child.errorLines(1)
        program.go()
        let finished = try child.finish()
        #expect(finished.status == 0, "\(finished.description)")
      }
      let made = try FileManager.default.contentsOfDirectory(atPath: user.home).filter {
        !before.contains($0)
      }
      try #require(made.count == 1, "\(made)")
      let path = user.home + "/" + made[0]
      #expect(user.owns(path))
      if output[0] == "--collapsed" {
        #expect(try CollapsedFile(path: path).count(with: "one_round") > 20)
      } else {
        let load = "import marshal, sys; print(len(marshal.load(open(sys.argv[1], 'rb'))))"
        let loaded = try Child.run([python.path, "-c", load, path])
        #expect(
          (Int(loaded.outputText.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0) > 3,
          "\(loaded.description)")
      }
    }

    /// Root's rights to files are not the user's: neither a path nor a link leads where the user may not write.
    @Test(arguments: ["attach", "run"], ["closed/out", "link", "linked/out", "closed/new"])
    func rootWritesNothingThatTheUserMayNot(_ command: String, _ name: String) throws {
      let (user, other, folder) = (try TestUser(), try TestUser(), try Folder())
      // A folder of root's, and links into it that somebody else has put into a folder of that user's.
      try FileManager.default.createDirectory(
        atPath: folder.file("closed"), withIntermediateDirectories: false)
      try Data("precious".utf8).write(to: URL(fileURLWithPath: folder.file("closed/out")))
      unsafe chmod(folder.file("closed/out"), 0o644)
      for (link, target) in [("link", "closed/out"), ("linked", "closed")] {
        try FileManager.default.createSymbolicLink(
          atPath: other.home + "/" + link, withDestinationPath: folder.file(target))
        unsafe lchown(other.home + "/" + link, other.uid, other.gid)
      }
      let path = name.hasPrefix("link") ? other.home + "/" + name : folder.file(name)
      let binary = try Caduceus.publicCopy(in: folder)
      let target = try Program("result.py", ["10"], with: Interpreter.any)
      let end = command == "run" ? ["--", "touch", "trace"] : ["\(target.pid)"]
      let finished = try user.run(["sudo", "-n", binary, command, "--collapsed", "-o", path] + end)
      #expect(finished.status == 1, "\(finished.description)")
      #expect(
        finished.errorText
          == "caduceus: cannot write \(path): Permission denied for \(user.name); name another file with -o\n"
      )
      #expect(try folder.text("closed/out") == "precious")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("closed")) == ["out"])
      // The program was not run for nothing.
      #expect(!FileManager.default.fileExists(atPath: user.home + "/trace"))
    }

    /// Nor are root's groups: what only they may write is refused, a folder as well as a file.
    @Test(arguments: ["attach", "run"], ["shared/out", "file"])
    func rootsGroupsAreNotTheUsers(_ command: String, _ name: String) throws {
      let (user, folder) = (try TestUser(), try Folder())
      try FileManager.default.createDirectory(
        atPath: folder.file("shared"), withIntermediateDirectories: false)
      try Data("precious".utf8).write(to: URL(fileURLWithPath: folder.file("file")))
      for (path, mode) in [("shared", 0o775), ("file", 0o664)] {
        unsafe chown(folder.file(path), 0, 0)
        unsafe chmod(folder.file(path), mode_t(mode))
      }
      let target = try Program("result.py", ["10"], with: Interpreter.any)
      let end = command == "run" ? ["--", "touch", "trace"] : ["\(target.pid)"]
      let path = folder.file(name)
      let finished = try user.run(
        ["sudo", "-n", Caduceus.publicCopy(in: folder), command, "--collapsed", "-o", path] + end)
      #expect(finished.status == 1, "\(finished.description)")
      #expect(
        finished.errorText
          == "caduceus: cannot write \(path): Permission denied for \(user.name); name another file with -o\n"
      )
      #expect(try folder.text("file") == "precious")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("shared")) == [])
    }

    /// The browser is started as the user, with the user's groups and none of root's.
    @Test func theBrowserIsTheUsers() throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try user.makeVirtualEnvironment()
      // First in the user's PATH.
      try user.write(
        "#!/bin/sh\necho $(id -u) $(id -ru) $(id -g) $(id -G) \"$@\" >\"$HOME/opened\"\n",
        to: "venv/bin/xdg-open", mode: 0o755)
      let finished = try user.run(
        [
          "sudo", "-n", Caduceus.publicCopy(in: folder), "run", "--open", "-o", "graph.html", "--", python,
          "-c",
        ]
          + ["sum(range(2000000))"])
      #expect(finished.status == 0, "\(finished.description)")
      let opened = try String(contentsOfFile: user.home + "/opened", encoding: .utf8)
      #expect(opened == "\(user.uid) \(user.uid) \(user.gid) \(user.gid) \(user.home)/graph.html\n")
      #expect(user.owns(user.home + "/opened") && user.owns(user.home + "/graph.html"))
    }

    /// Standard output is written to whatever it is and whosever it is.
    @Test(arguments: ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"], [false, true])
    func standardOutputIsAlwaysWritten(_ path: String, _ onTerminal: Bool) throws {
      let (user, folder) = (try TestUser(), try Folder())
      let python = try Interpreter.everybodys(amongst: Interpreter.supported).path
      let program = [python, try Program.publicPath("result.py"), "--no-gate", "10"]
      let command =
        ["sudo", "-n", try Caduceus.publicCopy(in: folder), "run", "--collapsed", "-o", path, "--"] + program
      let terminal = [
        "script", "--quiet", "--return", "--command", command.joined(separator: " "), "/dev/null",
      ]
      let finished = try user.run(onTerminal ? terminal : command)
      #expect(finished.status == 0, "\(finished.description)")
      #expect(finished.outputText.contains(";result.py:sieve:"), "\(finished.description)")
    }
  }
}
