// The command line: `caduceus attach PID`, `caduceus run -- COMMAND`, and `caduceus PID` for people who know
// CPython's own sampling profiler.

import ArgumentParser
import Glibc
import Sampling

@main
struct Caduceus: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "caduceus",
    abstract: "Samples a CPython program: Python, native and kernel frames of one instant in one stack.",
    usage: """
      caduceus attach [OPTIONS] PID
      caduceus run [OPTIONS] -- COMMAND [ARGUMENTS...]
      caduceus [OPTIONS] PID
      caduceus doctor [PID]
      """,
    discussion: """
      EXAMPLES
        all threads of a process for ten seconds, as a table:
            sudo caduceus attach 1234
        a program from its first instruction to its end:
            sudo caduceus run -- python3 fit.py
        a script or a module by the python3 in PATH:
            sudo caduceus run fit.py
            sudo caduceus run -m pytest tests
        stacks for flame graphs:
            sudo caduceus attach --collapsed -o fit.txt 1234
        a minute, as a file for pstats, snakeviz, gprof2dot or tuna:
            sudo caduceus attach -d 60 -o fit.pstats 1234

      `caduceus PID` is attach for the main thread only, as python -m
      profile.sample has it; -a samples all threads. Its options are those of
      attach, see `caduceus attach --help`.
      """,
    version: "0.1.0",
    subcommands: [Attach.self, Run.self, Doctor.self, AttachMain.self, Dump.self, Replay.self],
    defaultSubcommand: AttachMain.self)

  static func main() {
    // A reader that closes our pipe early must not kill us before the program's status is handed on.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch let failure as Failure {
      failure.exit()
    } catch {
      let code = exitCode(for: error)
      if code.rawValue == EXIT_SUCCESS { exit(withError: error) }
      // The bare form is a command without a name.
      let message = fullMessage(for: error).replacing("caduceus main", with: "caduceus")
      write(message + "\n", to: STDERR_FILENO)
      // Usage errors are 2, as argparse has it.
      Glibc.exit(code == .validationFailure ? 2 : code.rawValue)
    }
  }
}

/// A failure with its one line and its exit status.
struct Failure: Error {
  let message: String
  let status: Int32

  init(_ message: String, status: Int32 = 1) {
    self.message = message
    self.status = status
  }

  init(_ error: SamplingError) { self.init(error.description, status: error.exitStatus) }

  func exit() -> Never {
    write("caduceus: \(message)\n", to: STDERR_FILENO)
    Glibc.exit(status)
  }
}

/// Writes all of `text`; a reader that has gone away is not an error.
func write(_ text: String, to descriptor: Int32) {
  let bytes = Array(text.utf8)
  var done = 0
  while done < bytes.count {
    let count = unsafe bytes[done...].withUnsafeBytes {
      unsafe Glibc.write(descriptor, $0.baseAddress, $0.count)
    }
    if count < 0 && errno == EINTR { continue }
    if count <= 0 { return }
    done += count
  }
}
