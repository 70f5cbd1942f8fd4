// What stops a run before its first sample, in the user's words.

import Glibc
import PerfEvents
import PythonFrames

/// A failure that the user is told about in one line.
public enum SamplingError: Error, CustomStringConvertible {
  /// There is no such process.
  case noSuchProcess(Int32)
  /// The process's files under /proc cannot be read.
  case cannotRead(Int32, detail: String)
  /// It is no process we can show Python frames of.
  case interpreter(Int32, InterpreterProblem)
  /// Its interpreter does not look as it must.
  case layout(Int32, LayoutError)
  /// The rights are missing.
  case notPermitted(what: String)
  /// The kernel cannot do it.
  case kernel(String)
  /// Sampling could not be set up.
  case setUp(PerfEventsError)
  /// The command of `run` could not be started; the exit status is 126 or 127.
  case command(String, errno: Int32)

  /// One line: what happened, and what to do.
  public var description: String {
    switch self {
    case .noSuchProcess(let pid): "no process with PID \(pid) exists; `pgrep -af python` lists candidates"
    case .cannotRead(let pid, let detail): "cannot read PID \(pid): \(detail)"
    case .interpreter(let pid, let problem): "cannot profile PID \(pid): \(problem)"
    case .layout(let pid, let error): "cannot read the Python interpreter of PID \(pid): \(error)"
    case .notPermitted(let what): what
    case .kernel(let what): what
    case .setUp(let error): Self.text(error)
    case .command(let name, let code):
      "cannot run \(name): \(errorText(code))" + Self.advice(name, code)
    }
  }

  private static func advice(_ name: String, _ code: Int32) -> String {
    var status = stat()
    let isThere = unsafe stat(name, &status) == 0
    if code == ENOENT {
      return isThere && name.contains("/")
        ? "; its interpreter, named in its first line, does not exist" : "; check the spelling and PATH"
    }
    guard code == EACCES, isThere else { return "" }
    if status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o111 != 0, let user = InvokingUser.current {
      return "; \(user.name) may not execute it, --as-root runs it as root"
    }
    return status.st_mode & S_IFMT == S_IFDIR
      ? "; it is a directory" : "; make it executable (chmod +x), or name its interpreter before it"
  }

  private static func text(_ error: PerfEventsError) -> String {
    switch error {
    case .open(let what, let code): "cannot open \(what): \(errorText(code))"
    case .mapRing(let bytes, let code):
      "cannot map a ring of \(bytes >> 10) KiB: \(errorText(code)); a smaller --ring-size needs less locked memory"
    case .program(let step, let code): "cannot prepare the eBPF program (\(step)): \(errorText(code))"
    case .refused(let code, let lines):
      "the kernel refused the eBPF program: \(errorText(code))"
        + (lines.isEmpty ? "" : "; verifier: \(lines)")
    case .attach(let code):
      "cannot attach the eBPF program to a perf event: \(errorText(code)); the kernel must be built with "
        + "CONFIG_BPF_EVENTS"
    case .reader(let step, let code): "cannot set up a reader (\(step)): \(errorText(code))"
    case .noSuchProcess: "the process ended while sampling was being set up"
    }
  }

  /// Exit status of the command line.
  public var exitStatus: Int32 {
    guard case .command(_, let code) = self else { return 1 }
    return code == ENOENT ? 127 : 126
  }
}
