// The text of `caduceus doctor`: findings below headings, one line each. Pure: the same findings give the same text.

import Sampling

struct DoctorText {
  private let diagnosis: Diagnosis
  private let usesColors: Bool

  init(_ diagnosis: Diagnosis, usesColors: Bool = false) {
    self.diagnosis = diagnosis
    self.usesColors = usesColors
  }

  var text: String {
    var lines = ["Machine"] + diagnosis.machineFindings.flatMap(self.lines)
    if let target = diagnosis.target {
      lines += ["", "PID \(target.processID)"] + diagnosis.targetFindings.flatMap(self.lines)
    }
    lines += ["", verdict]
    return lines.joined(separator: "\n") + "\n"
  }

  private var verdict: String {
    let count = diagnosis.problemCount
    if count == 0 { return "Sampling is possible." }
    return "Sampling is not possible: \(count) problem\(count == 1 ? "" : "s")."
  }

  private func lines(_ finding: Finding) -> [String] {
    let mark = finding.mark.rawValue
    let padding = String(repeating: " ", count: 9 - mark.count)
    return ["  \(colored(finding.mark))\(padding)\(finding.subject): \(Self.printable(finding.text))"]
      + finding.commands.map { "           $ \($0)" }
  }

  private func colored(_ mark: Finding.Mark) -> String {
    guard usesColors else { return mark.rawValue }
    let color =
      switch mark {
      case .ok: 32
      case .note: 33
      case .problem: 31
      }
    return "\u{1b}[\(color)m\(mark.rawValue)\u{1b}[0m"
  }

  /// Names of files and programs may hold anything: nothing of it is for the terminal.
  private static func printable(_ text: String) -> String {
    String(
      text.unicodeScalars.map { $0.value < 32 || (127..<160).contains($0.value) ? "?" : Character($0) })
  }
}
