// A command on a terminal: what a person sees and types.

import Foundation

/// What a command said on a terminal of its own.
struct OnTerminal: Decodable {
  /// Everything, with carriage returns and escape sequences.
  let said: String
  /// As Python gives it: -N when signal N ended the command.
  let status: Int32

  enum CodingKeys: CodingKey { case said, status }

  /// Something to do when the command has said a word.
  enum Action {
    case type(String, when: String)
    case signal(String, when: String)
  }

  init(
    _ command: [String], _ actions: [Action] = [], columns: Int = 100, environment: [String: String] = [:],
    folder: String? = nil
  ) throws {
    var arguments = ["--size", "\(columns)"]
    for action in actions {
      switch action {
      case .type(let text, let word): arguments += ["--type", word, text]
      case .signal(let name, let word): arguments += ["--signal", word, name]
      }
    }
    let finished = try Child.run(
      [Interpreter.any.path, Program.path("terminal.py")] + arguments + command,
      environment: Child.environment.merging(environment) { $1 }, folder: folder, within: 120)
    guard finished.status == 0 else { throw LiveError(finished.description) }
    self = try JSONDecoder().decode(Self.self, from: finished.output)
  }

  /// The screen when everything has been said: of each line what stands after the last return to its begin.
  var screen: String {
    said.replacingOccurrences(of: "\r\n", with: "\n").components(separatedBy: "\n").map { line in
      let rest = line.components(separatedBy: "\r\u{1B}[K").last ?? line
      return rest.replacingOccurrences(of: "\u{1B}\\[[0-9;]*[mK]", with: "", options: .regularExpression)
    }.joined(separator: "\n")
  }
}
