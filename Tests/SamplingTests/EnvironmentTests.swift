// Which environment a program gets under sudo; the expected ones are written down by hand.

import Foundation
import Testing

@testable import Sampling

@Suite struct EnvironmentTests {
  /// One call of sudo: what the user's shell gave it, what it made of that, and what is expected.
  struct Call: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let shell: [String]
    /// What sudo gave its child; nil: the child is caduceus itself.
    var given: [String]?
    let ours: [String]
    var arguments: [String] = ["sudo", "caduceus"]
    let expected: [String]
  }

  private static let root = [
    "PATH=/usr/sbin", "HOME=/root", "USER=root", "LOGNAME=root", "MAIL=/var/mail/root",
  ]
  private static let sudo =
    root + ["SHELL=/bin/sh", "SUDO_UID=1", "SUDO_GID=1", "SUDO_USER=a", "SUDO_COMMAND=x"]
  private static let shell = ["PATH=/venv/bin:/bin", "HOME=/home/a", "USER=a", "FOO=1"]

  static let calls = [
    Call(testDescription: "what sudo removes and sets", shell: shell, ours: sudo, expected: shell),
    Call(
      testDescription: "the loader's variables",
      shell: shell + ["LD_LIBRARY_PATH=/l", "LD_PRELOAD="], ours: sudo,
      expected: shell + ["LD_LIBRARY_PATH=/l", "LD_PRELOAD="]),
    Call(
      testDescription: "a new variable on the command line", shell: shell, ours: sudo + ["BAR=2"],
      arguments: ["sudo", "BAR=2", "caduceus"], expected: shell + ["BAR=2"]),
    Call(
      testDescription: "another value on the command line", shell: shell, ours: sudo + ["FOO=2"],
      arguments: ["sudo", "FOO=2", "caduceus"], expected: Array(shell.dropLast()) + ["FOO=2"]),
    Call(
      testDescription: "another value by env", shell: shell, ours: sudo + ["FOO=2"],
      arguments: ["sudo", "env", "FOO=2", "caduceus"], expected: Array(shell.dropLast()) + ["FOO=2"]),
    Call(
      testDescription: "PATH by env", shell: shell, ours: ["PATH=/own"] + sudo.dropFirst(),
      arguments: ["sudo", "env", "PATH=/own", "caduceus"],
      expected: Array(shell.dropFirst()) + ["PATH=/own"]),
    Call(
      testDescription: "an assignment that sudo did not follow", shell: shell, ours: sudo,
      arguments: ["sudo", "PATH=/own", "caduceus"], expected: shell),
    Call(
      testDescription: "sudo -E", shell: shell,
      ours: shell.map { $0 == "USER=a" ? "USER=root" : $0 } + ["MAIL=r"],
      arguments: ["sudo", "-E", "caduceus"], expected: shell),
    Call(
      testDescription: "another value from PAM", shell: shell, ours: sudo + ["FOO=of the system"],
      expected: shell),
    Call(
      testDescription: "a value that a script between changed", shell: shell, given: sudo,
      ours: sudo + ["FOO=2"],
      expected: Array(shell.dropLast()) + ["FOO=2"]),
    Call(
      testDescription: "what a shell of root's has set for itself", shell: shell, given: sudo,
      ours: sudo.map { $0 == "HOME=/root" ? "HOME=/elsewhere" : $0 }, expected: shell),
    Call(
      testDescription: "a variable that a script between removed", shell: shell, given: sudo + ["FOO=1"],
      ours: sudo,
      arguments: ["sudo", "-E", "sh"], expected: Array(shell.dropLast())),
    Call(
      testDescription: "sudo below sudo", shell: shell + ["SUDO_UID=0", "SUDO_USER=root"], ours: sudo,
      expected: shell + ["SUDO_UID=0", "SUDO_USER=root"]),
    Call(testDescription: "no variable at all", shell: [], ours: sudo, expected: []),
    Call(
      testDescription: "the first of two counts", shell: ["A=1", "A=2"], ours: ["B=1", "B=2", "A=1"],
      expected: ["A=1", "A=2", "B=1"]),
    Call(
      testDescription: "a value with a sign of equality", shell: ["A=b=c"], ours: ["B==", "A=b"],
      expected: ["A=b=c", "B=="]),
  ]

  @Test(arguments: calls) func underSudo(_ call: Call) {
    let ours = EnvironmentVariables(call.ours)
    let found = EnvironmentVariables.withoutSudo(
      shell: EnvironmentVariables(call.shell), given: call.given.map { EnvironmentVariables($0) } ?? ours,
      ours: ours, arguments: call.arguments)
    #expect(found == EnvironmentVariables(call.expected))
  }

  @Test func onlyAssignmentsAreTaken() {
    let block: [UInt8] = Array("A=1\0nothing\0=C:\0\0".utf8) + [0xFF, 0x3D, 0xFE, 0] + Array("B=2".utf8)
    let entries = EnvironmentVariables(block: block).entries
    #expect(entries == [Array("A=1".utf8), [0xFF, 0x3D, 0xFE], Array("B=2".utf8)])
  }

  @Test func variablesAreSetOnce() {
    var environment = EnvironmentVariables(["A=1", "B=2", "A=3"])
    #expect(environment["A"] == "1")
    environment["A"] = "4"
    environment["C"] = nil
    #expect(environment == EnvironmentVariables(["B=2", "A=4"]))
    environment["B"] = nil
    #expect(environment == EnvironmentVariables(["A=4"]))
  }

  /// What is read of our own memory is what the kernel says.
  @Test func ourOwn() throws {
    let block = try KernelsText.environment()
    #expect(EnvironmentVariables.ours().entries == block)
    #expect(!block.isEmpty)
  }
}

/// The second source: /proc/self/environ, read by the standard library.
private enum KernelsText {
  static func environment() throws -> [[UInt8]] {
    let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/environ"))
    let bytes = [UInt8](try file.readToEnd() ?? Data())
    return bytes.split(separator: 0).map { [UInt8]($0) }.filter { $0.contains(0x3D) && $0.first != 0x3D }
  }
}
