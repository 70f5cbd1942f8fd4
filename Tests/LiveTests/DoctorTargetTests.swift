// What `caduceus doctor PID` says about a process, against the process itself, attach and binutils.

import Foundation
import Testing

extension Live {
  @Suite struct DoctorTargetTests {
    // MARK: Interpreters

    /// What an interpreter knows about itself: where `_PyRuntime` lies, and whether it begins with the cookie of
    /// _Py_DebugOffsets.
    private struct Own: Decodable {
      let version, module, program: String
      let publishes: Bool
      let threads: Int

      static let script = """
        import ctypes, json, os, platform, threading
        address = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
        for line in open("/proc/self/maps"):
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            if start <= address < end:
                module = line.split(None, 5)[5].rstrip("\\n")
        stop = threading.Event()
        for _ in range(2):
            threading.Thread(target=stop.wait).start()
        print(json.dumps({"version": platform.python_version(), "module": module,
                          "program": os.readlink("/proc/self/exe"),
                          "publishes": ctypes.string_at(address, 8) == b"xdebugpy",
                          "threads": len(os.listdir("/proc/self/task"))}), flush=True)
        os.read(0, 1)
        stop.set()
        """
    }

    @Test(arguments: Interpreter.supported) func supportedReleases(_ interpreter: Interpreter) throws {
      let child = try Child([interpreter.path, "-u", "-c", Own.script])
      let own = try JSONDecoder().decode(Own.self, from: Data(child.line().utf8))
      let facts = try DoctorFacts.run(["\(child.pid)"])
      #expect(facts.can_sample)
      let target = try #require(facts.target)
      let found = try #require(target.interpreter)
      #expect(found.version == own.version)
      #expect(found.module == own.module)
      #expect(found.layout == (own.publishes ? "debug_offsets" : "table"))
      #expect(found.validated)
      #expect(target.threads == own.threads)
      #expect(target.program == own.program)
      #expect(target.own_pid == child.pid)
      #expect(target.modules.filter { $0.kind == "interpreter" }.map(\.path) == [own.module])
      let report = try DoctorReport(Caduceus.run(["doctor", "\(child.pid)"]))
      #expect(report.target("interpreter")?.text.hasPrefix("CPython \(own.version) in \(own.module)") == true)
      #expect(
        report.target("layout")?.text.contains(
          own.publishes ? "_Py_DebugOffsets" : "the table for CPython 3.") == true)
      let owner = try Child.run(["id", "-un"]).outputText.trimmingCharacters(in: .whitespacesAndNewlines)
      #expect(report.target("process")?.text.contains("of \(owner)") == true)
      #expect(report.target("threads")?.text.hasPrefix("\(own.threads) now") == true)
    }

    /// A program that is refused is refused in the words of attach.
    private func expectTheReasonOfAttach(_ pid: Int32, _ subject: String = "interpreter") throws {
      let attached = try Caduceus.run(["attach", "\(pid)"])
      #expect(attached.status == 1)
      let reason = try #require(attached.errorLines.first).dropFirst("caduceus: ".count)
      let report = try DoctorReport(Caduceus.run(["doctor", "\(pid)"]))
      #expect(report.problems.map(\.subject) == [subject], "\(report.problems)")
      #expect(report.target(subject)?.text == String(reason))
    }

    @Test(arguments: ["/bin/cat", "/bin/sh"]) func aProcessWithoutPython(_ command: String) throws {
      let child = try Child([command])
      try expectTheReasonOfAttach(child.pid)
      #expect(!child.hasEnded)
    }

    @Test func pyPy() throws {
      let folder = try Folder()
      try Data("int pypy_main_startup(void) { return 0; }\nint main(void) { for (;;) getchar(); }\n".utf8)
        .write(to: URL(fileURLWithPath: folder.file("pypy.c")))
      try compile(["-include", "stdio.h", folder.file("pypy.c"), "-rdynamic", "-o", folder.file("pypy3")])
      let child = try Child([folder.file("pypy3")])
      try expectTheReasonOfAttach(child.pid)
    }

    @Test(arguments: Interpreter.installed.filter { !$0.isSupported })
    func unsupportedReleases(_ interpreter: Interpreter) throws {
      let child = try Child([interpreter.path, "-u", "-c", "import os; print('ready'); os.read(0, 1)"])
      _ = try child.line()
      try expectTheReasonOfAttach(child.pid)
    }

    @Test func processesThatAreNotThere() throws {
      let gone = try Child(["/bin/true"])
      _ = try gone.finish()
      try expectTheReasonOfAttach(gone.pid, "process")
      let zombie = try Child(["/bin/cat"])
      zombie.closeInput()
      while try !String(contentsOfFile: "/proc/\(zombie.pid)/stat", encoding: .utf8).contains(") Z ") {}
      try expectTheReasonOfAttach(zombie.pid)
    }

    @Test(
      .enabled(
        if: FileManager.default.fileExists(atPath: "/proc/2/stat") || Machine.isCI,
        "no kernel threads in this container"))
    func aKernelThread() throws { try expectTheReasonOfAttach(2) }

    @Test(.enabled(if: Machine.isRoot || Machine.isCI, "only root can make namespaces"))
    func anotherPidNamespace() throws {
      let script = "import os; print(os.getpid(), flush=True); os.read(0, 1)"
      let outer = try Child(
        ["unshare", "--pid", "--fork", "--mount-proc", Interpreter.any.path, "-c", script])
      #expect(try outer.line() == "1")
      let children = try String(
        contentsOfFile: "/proc/\(outer.pid)/task/\(outer.pid)/children", encoding: .utf8)
      let pid = try #require(Int32(children.trimmingCharacters(in: .whitespaces)))
      defer { kill(pid, SIGKILL) }
      let facts = try DoctorFacts.run(["\(pid)"])
      #expect(facts.can_sample)
      #expect(facts.target?.own_pid == 1)
      let link = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/ns/pid")
      #expect(link == "pid:[\(facts.target?.pid_namespace ?? 0)]")
      #expect(facts.target?.pid_namespace != facts.machine.pid_namespace)
      let report = try DoctorReport(Caduceus.run(["doctor", "\(pid)"]))
      #expect(report.target("pid namespace")?.text.contains("where it is PID 1") == true)
    }

    // MARK: Modules

    private func compile(_ arguments: [String]) throws {
      let compiler = try #require(Machine.find("cc") ?? Machine.find("gcc"))
      let built = try Child.run([compiler] + arguments)
      try #require(built.status == 0, "\(built.description)")
    }

    /// A library that says nothing about itself: no symbols, no unwind information, no build-id.
    private func silentLibrary(_ path: String) throws {
      let source = path + ".c"
      try Data("__attribute__((used)) static int twice(int x) { return x * 2; }\n".utf8)
        .write(to: URL(fileURLWithPath: source))
      try compile([
        "-shared", "-fPIC", "-s", "-nostdlib", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables",
        "-Wl,--no-ld-generated-unwind-info", "-Wl,--build-id=none", source, "-o", path,
      ])
    }

    /// What binutils say about a file.
    private func expected(_ path: String, interpreter: String, program: String) throws -> DoctorFacts.Module {
      func lines(_ options: String, _ words: String) throws -> [Substring] {
        let command = "LC_ALL=C readelf \(options) \"$1\" 2>/dev/null | grep -E '\(words)' || true"
        return try Child.run(["/bin/sh", "-c", command, "sh", path]).outputText.split(separator: "\n")
      }
      let buildID = try lines("-nW", "Build ID: ").first.map { String($0.split(separator: " ").last ?? "") }
      let debug = buildID.map { "/usr/lib/debug/.build-id/\($0.prefix(2))/\($0.dropFirst(2)).debug" }
      let exported = try lines("--dyn-syms -W", " (FUNC|IFUNC) ").filter { !$0.contains(" UND ") }
      let hasAll =
        try !lines("-SW", " \\.symtab ").isEmpty
        || debug.map { FileManager.default.fileExists(atPath: $0) } ?? false
      let name = (path as NSString).lastPathComponent
      let stem = name.prefix { $0 != "." }
      let isExtension = exported.contains { $0.hasSuffix(" PyInit_\(stem)") }
      // glibc's own parts say so: they are of the package of libc.so.6.
      let isC = name.contains(/^(libc|libm|libdl|libpthread|librt|libutil|ld-linux.*)[.-].*so/)
      return DoctorFacts.Module(
        path: path,
        kind: path == interpreter
          ? "interpreter"
          : path == program ? "program" : isC ? "c_library" : isExtension ? "extension" : "library",
        symbols: hasAll ? "all" : exported.isEmpty ? "none" : "exported", file: "present", readable: true,
        unwind_information: try !lines("--debug-dump=frames", " FDE ").isEmpty, build_id: buildID)
    }

    @Test(arguments: Interpreter.perRelease) func modulesAreWhatBinutilsSee(_ interpreter: Interpreter) throws
    {
      // Everything that can be in a path: what is wrong in JSON, in a shell, and in /proc/PID/maps.
      let folder = try Folder()
      let odd = folder.file("odd \"quoted\" \\ ü\u{1b}[31m")
      try FileManager.default.createDirectory(atPath: odd, withIntermediateDirectories: false)
      try silentLibrary(odd + "/silent.so")
      let stripped = odd + "/situations.so"
      let strip = try Child.run(["strip", "-o", stripped, interpreter.extensionFolder() + "/situations.so"])
      try #require(strip.status == 0, "\(strip.description)")
      let script = """
        import ctypes, json, os, sys
        sys.path.insert(0, sys.argv[1])
        import situations
        ctypes.CDLL(sys.argv[1] + "/silent.so")
        files = {}
        for line in open("/proc/self/maps", errors="surrogateescape"):
            fields = line.rstrip("\\n").split(None, 5)
            if "x" in fields[1] and len(fields) > 5 and fields[5].startswith("/"):
                files[fields[5]] = None
        print(json.dumps(list(files)), flush=True)
        os.read(0, 1)
        """
      let child = try Child([interpreter.path, "-c", script, odd])
      let paths = try JSONDecoder().decode([String].self, from: Data(child.line().utf8))
      let target = try #require(try DoctorFacts.run(["\(child.pid)"]).target)
      let own = try #require(target.interpreter).module
      #expect(target.modules.map(\.path) == paths)
      for module in target.modules {
        #expect(
          module == (try expected(module.path, interpreter: own, program: target.program ?? "")), "\(module)")
      }
      let silent = try #require(target.modules.first { $0.path.hasSuffix("/silent.so") })
      #expect(silent.symbols == "none" && !silent.unwind_information && silent.build_id == nil)
      #expect(target.modules.first { $0.path == stripped }?.symbols == "exported")
      // The text counts the same, and writes nothing to the terminal but text.
      let report = try DoctorReport(Caduceus.run(["doctor", "\(child.pid)"]))
      #expect(report.canSample)
      let code = target.modules.filter { $0.kind == "extension" || $0.kind == "library" }
      let whole = code.count { $0.symbols == "all" }
      let text = try #require(report.target("symbols")?.text)
      #expect(text.hasPrefix("\(whole) of \(code.count) modules have symbols; "), "\(text)")
      #expect(text.contains("no function names for: silent.so"), "\(text)")
      #expect(report.target("unwinding")?.text.hasSuffix("stacks may end in: silent.so") == true)
      #expect(!report.finished.outputText.contains("\u{1b}"))
    }

    @Test func filesThatAreGoneSinceTheyWereMapped() throws {
      let interpreter = try Interpreter.everybodys(amongst: Interpreter.supported)
      let folder = try Folder()
      try silentLibrary(folder.file("silent.so"))
      let module = folder.file("situations.so")
      try FileManager.default.copyItem(
        atPath: interpreter.extensionFolder() + "/situations.so", toPath: module)
      let script = """
        import ctypes, os, sys
        sys.path.insert(0, sys.argv[1])
        import situations
        ctypes.CDLL(sys.argv[1] + "/silent.so")
        print("ready", flush=True)
        os.read(0, 1)
        """
      let child = try Child([interpreter.path, "-c", script, folder.path])
      #expect(try child.line() == "ready")
      let before = try DoctorReport(Caduceus.run(["doctor", "\(child.pid)"]))
      #expect(before.target("files")?.mark == "ok")
      try FileManager.default.removeItem(atPath: folder.file("silent.so"))
      // As pip does it: the new file is made, then put in the old one's place.
      try FileManager.default.copyItem(atPath: module, toPath: folder.file("new"))
      #expect(unsafe rename(folder.file("new"), module) == 0)
      let target = try #require(try DoctorFacts.run(["\(child.pid)"]).target)
      #expect(target.modules.first { $0.path == folder.file("silent.so") }?.file == "deleted")
      #expect(target.modules.first { $0.path == module }?.file == "replaced")
      let report = try DoctorReport(Caduceus.run(["doctor", "\(child.pid)"]))
      let files = try #require(report.target("files"))
      #expect(
        files.text.hasPrefix(
          "deleted since the program was started: silent.so; replaced since the program was started: situations.so; "
        ), "\(files.text)")
      #expect(report.canSample)
      guard Machine.isRoot || Machine.isCI else { return }
      // Root may open the mapped files themselves; without that right they are lost.
      #expect(files.text.hasSuffix("what is mapped can be read"))
      let restricted = try DoctorReport(
        Child.run([
          "setpriv", "--bounding-set", "-sys_admin,-checkpoint_restore", Caduceus.path, "doctor",
          "\(child.pid)",
        ]))
      let lost = try #require(restricted.target("files"))
      #expect(lost.text.contains("what is mapped cannot be read of: "), "\(lost.text)")
      #expect(restricted["CAP_CHECKPOINT_RESTORE"]?.mark == "note")
      #expect(restricted.canSample)
    }
  }
}
