// What `caduceus doctor` printed, read back: the text, or the JSON.

import Foundation

/// The text of one run.
struct DoctorReport {
  struct Finding {
    let about: String
    let mark: String
    let subject: String
    let text: String
    var commands: [String] = []
  }

  private(set) var findings: [Finding] = []
  let finished: Finished

  /// Every line must be a heading, a finding, a command or the verdict.
  init(_ finished: Finished) throws {
    self.finished = finished
    guard finished.errorText.isEmpty else { throw LiveError("not a diagnosis: \(finished.description)") }
    var about = ""
    var lines = finished.outputText.split(separator: "\n").map(String.init)
    let verdict = lines.removeLast()
    for line in lines {
      if line == "Machine" || line.hasPrefix("PID ") {
        about = line
      } else if let match = line.wholeMatch(of: /[ ]{2}(ok|note|problem) +([^:]+): (.+)/) {
        findings.append(
          Finding(
            about: about, mark: String(match.1), subject: String(match.2), text: String(match.3)))
      } else if let match = line.wholeMatch(of: /[ ]{11}\$ (.+)/), !findings.isEmpty {
        findings[findings.count - 1].commands.append(String(match.1))
      } else {
        throw LiveError("not a line of a diagnosis: \(line)")
      }
    }
    let problems = findings.count { $0.mark == "problem" }
    let expected =
      problems == 0
      ? "Sampling is possible."
      : "Sampling is not possible: \(problems) problem\(problems == 1 ? "" : "s")."
    guard verdict == expected, finished.status == (problems == 0 ? 0 : 1) else {
      throw LiveError("\(problems) problems, but \(verdict) and status \(finished.status)")
    }
  }

  var canSample: Bool { finished.status == 0 }
  var problems: [Finding] { findings.filter { $0.mark == "problem" } }

  /// The finding about the machine, or else about the process.
  subscript(subject: String) -> Finding? { findings.first { $0.subject == subject } }

  /// The finding about the process.
  func target(_ subject: String) -> Finding? {
    findings.first { $0.about.hasPrefix("PID ") && $0.subject == subject }
  }
}

/// The JSON of one run.
struct DoctorFacts: Decodable {
  struct Trial: Decodable { let outcome: String }
  struct Container: Decodable { let kind: String }
  struct OpenFiles: Decodable { let soft, hard, fixed: UInt64 }
  struct Machine: Decodable {
    let settings: [String: Int?]
    let cpus: Int
    let user_id: UInt32
    let container: Container?
    let open_files: OpenFiles
    let pid_namespace: UInt64
    let perf_event_open, bpf_load, rings, bpf_attach: Trial
    let without_bpf: WithoutBPF
  }
  struct WithoutBPF: Decodable {
    struct Step: Decodable { let scheduling, frames: String }
    let outcome: String
    let step: Step?
  }
  struct Module: Decodable, Equatable {
    let path, kind, symbols, file: String
    let readable, unwind_information: Bool
    let build_id: String?
  }
  struct Interpreter: Decodable {
    let version, module, layout: String
    let validated: Bool
  }
  struct Target: Decodable {
    let pid: Int32
    let own_pid: Int32?
    let program: String?
    let threads: Int
    let pid_namespace: UInt64?
    let interpreter: Interpreter?
    let modules: [Module]
  }

  let can_sample: Bool
  let path: String
  let machine: Machine
  let target: Target?

  static func run(_ arguments: [String]) throws -> DoctorFacts {
    try Self(Caduceus.run(["doctor", "--json"] + arguments))
  }

  /// From what it printed.
  init(_ finished: Finished) throws { self = try JSONDecoder().decode(Self.self, from: finished.output) }
}

/// Runs the command line as somebody with fewer rights.
struct Restricted {
  static let nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

  /// The start of a command that is somebody unprivileged with these capabilities only.
  static func nobody(with capabilities: [String]) -> [String] {
    let set = (["-all"] + capabilities.map { "+" + $0 }).joined(separator: ",")
    return nobody + ["--inh-caps=\(set)", "--ambient-caps=\(set)"]
  }
}

/// Runs something while a sysctl has another value.
func withSetting<Result>(_ name: String, _ value: Int, _ body: () throws -> Result) throws -> Result {
  let path = "/proc/sys/" + name.replacingOccurrences(of: ".", with: "/")
  func write(_ text: String) throws {
    guard let file = FileHandle(forWritingAtPath: path) else { throw LiveError("cannot open \(path)") }
    try file.write(contentsOf: Data(text.utf8))
    try file.close()
  }
  let before = try String(contentsOfFile: path, encoding: .utf8)
  try write("\(value)\n")
  let result: Result
  do {
    result = try body()
  } catch {
    try write(before)
    throw error
  }
  try write(before)
  return result
}
