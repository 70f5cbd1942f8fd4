// Hosts as they are in the wild: states that are lent, interpreters in interpreters, stacks that are switched, code without
// unwind information. Tests/Programs/in_the_wild.py knows the legal stacks of each, and wild_table.py judges every one.

import Foundation
import Testing

extension Live {
  @Suite struct WildTests {
    /// Every situation in one mode: not one stack that is counted whole contradicts the program's own truth, nor what is
    /// shown of the others.
    private func judge(
      _ interpreter: String, _ extensions: String, modes: String, _ situations: [String] = []
    ) throws {
      let command = [
        interpreter, Program.path("wild_table.py"), "--binary", Caduceus.path, "--extension", extensions,
        "--seconds", "0.12", "--modes", modes,
      ]
      let finished = try Child.run(command + situations, within: 600)
      #expect(finished.status == 0, "\(finished.outputText)\n\(finished.errorText)")
      // That all were wrong because none was there would be no proof.
      let words = finished.outputText.split(separator: "\n").last?.split(separator: " ") ?? []
      let whole = try #require(words.first.flatMap { Int($0) }, "\(finished.outputText)")
      #expect(whole > (situations.isEmpty ? 3000 : 300), "\(finished.outputText)")
    }

    @Test(arguments: ["run", "attach", "run-nobpf", "attach-nobpf"]) func everySituation(mode: String) throws
    {
      let interpreter = try Interpreter.any
      try judge(interpreter.path, try interpreter.extensionFolder(), modes: mode)
    }

    @Test(arguments: Interpreter.perRelease.dropLast()) func otherReleases(_ interpreter: Interpreter) throws
    {
      try judge(interpreter.path, try interpreter.extensionFolder(), modes: "attach")
    }

    /// With the library that switches most stacks there are.
    @Test func greenlets() throws {
      let python = try #require(
        ProcessInfo.processInfo.environment["CADUCEUS_READERS_PYTHON"], "make test sets it")
      let version = try Child.run([python, "-c", "import sys; print(sys.version_info[1])"])
      let minor = try #require(Int(version.outputText.filter(\.isNumber)))
      let extensions = try Interpreter.newest(minor).extensionFolder()
      try judge(
        python, extensions, modes: "run,attach,run-nobpf",
        ["greenlet_plain", "greenlet_deep", "greenlet_through_c", "greenlet_in_a_thread"])
    }
  }
}
