// Which program a process runs, told from one look to the next.

import ProcessImages

/// Where the kernel put the stack and the environment of a program: an exec puts them elsewhere, or the file is another.
struct ProgramImage: Equatable {
  private let startStack: UInt64
  private let environment: Range<UInt64>
  private let program: String?

  /// Nil where the process has ended, or may not be looked into.
  init?(of target: TargetProcess) {
    guard let stack = try? target.facts.startStack(), stack != 0,
      let range = try? target.facts.initialEnvironmentRange()
    else { return nil }
    startStack = stack
    environment = range
    program = target.facts.program()
  }
}
