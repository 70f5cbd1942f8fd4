// Processes whose interpreter is not ready, or not alone, when caduceus attaches.

import Foundation
import Testing

extension Live {
  @Suite struct ReadinessTests {
    /// A host computes before it makes its interpreter: its native code is sampled, and its Python code from when
    /// there is some.
    @Test(arguments: Interpreter.supported) func aHostBeforeItsInterpreter(_ interpreter: Interpreter) throws
    {
      let folder = try Folder()
      let host = folder.file("embed")
      let built = try Child.run(["/bin/sh", Program.path("build_embed.sh"), interpreter.path, host])
      try #require(built.status == 0, "\(built.description)")
      let child = try Child([host, "--first", Program.path("short_script.py"), "1500"])
      #expect(try child.line() == "ready")
      let out = folder.file("out")
      let caduceus = try Caduceus.start([
        "attach", "-d", "100", "--native=all", "--collapsed", "--ledger", "-o", out, "\(child.pid)",
      ])
      try Caduceus.waitUntilItSamples(caduceus)
      child.send("go\n")
      let finished = try caduceus.finish()
      #expect(finished.status == 0, "\(finished.description)")
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp, "\(ledger.text)")
      let file = try CollapsedFile(path: out)
      #expect(file.count(with: "host_compute") > 300, "\(finished.errorText)")
      #expect(file.count { $0.names.contains("host_compute") && $0.frames.contains(where: \.isPython) } == 0)
      #expect(file.count(with: "in_python") > 0, "\(finished.errorText)")
      #expect(file.count(with: "in_c") > 0, "\(finished.errorText)")
      // An idle program is looked at rarely, but never forgotten: most of what comes after has its Python frames.
      let isPython = file.count { $0.frames.contains(where: \.isPython) }
      #expect(isPython > file.count(with: "host_compute"), "\(finished.errorText)")
    }

    /// A program that never runs Python code, though it maps an interpreter, is sampled and told about.
    @Test func aHostThatStaysIdle() throws {
      let folder = try Folder()
      let host = folder.file("embed")
      let built = try Child.run([
        "/bin/sh", Program.path("build_embed.sh"), Interpreter.any.path, host,
      ])
      try #require(built.status == 0, "\(built.description)")
      let child = try Child([host, "--first", Program.path("short_script.py")])
      #expect(try child.line() == "ready")
      let finished = try Caduceus.run(["attach", "-d", "0.2", "\(child.pid)"])
      #expect(finished.status == 0, "\(finished.description)")
      #expect(finished.errorText.contains("No Python frames: "), "\(finished.errorText)")
      #expect(finished.errorText.contains("is not ready: it is being initialised"), "\(finished.errorText)")
      let doctor = try Caduceus.run(["doctor", "\(child.pid)"])
      #expect(doctor.outputText.contains("sampled until it is ready"), "\(doctor.description)")
      child.closeInput()
    }
  }
}
