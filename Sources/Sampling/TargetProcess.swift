// The process that is sampled, as far as it can be known from outside.

internal import CHeldProcess
import Glibc
import PerfEvents
import ProcessImages

/// A process and the ways to read it.
public final class TargetProcess {
  /// Process id in our own pid namespace.
  public let processID: Int32
  let facts: ProcessFacts
  let memory: ProcessMemory
  /// Process id in the target's own pid namespace.
  let ownProcessID: Int32
  let namespace: (device: UInt64, inode: UInt64)
  /// Held from the first look on: while it has not come, the number means this very process.
  let end: ProcessEnd
  /// Program name and arguments; the name in parentheses for a process without (a kernel thread, a zombie).
  public let commandLine: [String]

  /// Reads the facts of a process. `command`: what a child that is still held is going to execute.
  public init(processID: Int32, command: [String]? = nil) throws(SamplingError) {
    self.processID = processID
    end = ProcessEnd(of: processID)
    facts = ProcessFacts(pid: processID)
    if let code = end.lackOfFiles { throw Rights.explain(.open(what: "PID \(processID)", errno: code)) }
    memory = ProcessMemory(pid: processID)
    do throws(ProcessReadError) {
      ownProcessID = try facts.ownPid()
      var arguments = command ?? []
      if command == nil { arguments = try facts.commandLine() }
      commandLine = arguments.isEmpty ? ["(" + (try facts.comm()) + ")"] : arguments
      namespace = try facts.pidNamespace()
    } catch .noSuchProcess {
      throw .noSuchProcess(processID)
    } catch {
      throw kill(processID, 0) != 0 && errno == ESRCH
        ? .noSuchProcess(processID) : .cannotRead(processID, detail: "\(error)")
    }
    guard command == nil else { return }
    try checkHasProgram()
    if let foreignness { throw foreignness }
  }

  /// A process that has ended, or that never was a program, has no memory to look for an interpreter in.
  private func checkHasProgram() throws(SamplingError) {
    if (try? facts.isKernelThread()) == true {
      throw .cannotRead(processID, detail: "it is a kernel thread and runs no program")
    }
    // A process that is ending loses its program before it counts as ended.
    var target: CChar = 0
    let hasProgram = unsafe readlink("/proc/\(processID)/exe", &target, 1) >= 0 || errno != ENOENT
    if !hasProgram || end.hasCome {
      throw .cannotRead(processID, detail: "it has ended")
    }
  }

  /// Why it must not be sampled: capabilities of our file are no permission of the user who runs us to look into
  /// other users' processes, or into those that have more rights than the user. Root may look into all.
  var foreignness: SamplingError? {
    guard getuid() != 0 else { return nil }
    let code = caduceus_check_own_rights(processID)
    guard code != 0 else { return nil }
    if code == ESRCH || code == ENOENT { return .cannotRead(processID, detail: "it has ended") }
    guard code == EACCES || code == EPERM else {
      return .notPermitted(
        what: "cannot tell whether PID \(processID) may be looked into: \(errorText(code))")
    }
    let own = getuid()
    guard let uid = try? facts.uid(), uid != own else { return moreRights }
    let name = Account(uid: uid).map { "\($0.name) (user id \(uid))" } ?? "user id \(uid)"
    return .notPermitted(
      what: "not permitted: PID \(processID) belongs to \(name), and you are user id \(own); run it with sudo"
    )
  }

  /// What to say of a process of the same user that is set-uid, has capabilities, or is not dumpable (prctl(2)).
  var moreRights: SamplingError {
    .notPermitted(
      what:
        "not permitted: PID \(processID) has more rights than you or forbids to look into it; run it with sudo"
    )
  }

  /// Whether the process may be looked into at this moment, and is still the one that was looked at first: nothing but
  /// success counts. The number cannot have been given to another process meanwhile, because this one still lives.
  var isStillOurs: Bool {
    getuid() == 0 || (caduceus_check_own_rights(processID) == 0 && !end.hasCome)
  }

  /// The same after an exec, when it may have ended meanwhile: then its ids tell. Enough where the kernel itself ends
  /// the events of a thread whose rights grow by an exec (perf_event_exit_task of begin_new_exec, fs/exec.c).
  var isOurs: Bool {
    if isStillOurs { return true }
    guard end.hasCome, let uids = try? facts.uids() else { return false }
    return uids.count == 4 && uids.allSatisfy { $0 == getuid() }
  }

  /// What to say instead of "no Python" where there are programs that we may not look into.
  var hiddenProgram: SamplingError? {
    for mapping in (try? ProcessMaps.read(processID)) ?? [] where mapping.isExecutable && mapping.hasFile {
      let descriptor = unsafe open("/proc/\(processID)/root" + mapping.filePath, O_RDONLY | O_CLOEXEC)
      if descriptor >= 0 {
        close(descriptor)
      } else if errno == EACCES || errno == EPERM {
        return .notPermitted(
          what: "cannot read \(mapping.filePath), which PID \(processID) runs: permission denied; "
            + "run it with sudo")
      }
    }
    return nil
  }

  /// Threads that exist now, by their ids in our namespace.
  var threads: [Int32] { (try? facts.threads()) ?? [] }

  /// The threads as the target numbers them.
  var ownThreads: Set<Int32> {
    if ownProcessID == processID { return Set(threads) }
    return Set(threads.compactMap { try? facts.ownTid(ofThread: $0) })
  }

  /// The target's own id of a thread; nil where it is gone.
  func own(thread: Int32) -> Int32? {
    ownProcessID == processID ? thread : try? facts.ownTid(ofThread: thread)
  }

  /// Our id of a thread that the target calls `own`.
  func thread(own: Int32) -> Int32? {
    if ownProcessID == processID { return own }
    return threads.first { (try? facts.ownTid(ofThread: $0)) == own }
  }

  /// Nanoseconds of CPU time of all threads there ever were, or nil when the process is gone
  /// (clock_getcpuclockid(3)).
  var cpuTime: UInt64? {
    var clock = clockid_t()
    guard unsafe clock_getcpuclockid(processID, &clock) == 0 else { return nil }
    var time = timespec()
    guard unsafe clock_gettime(clock, &time) == 0 else { return nil }
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// Nanoseconds of CPU time in the kernel of all threads there ever were, to the clock tick; nil when the process is
  /// gone.
  var kernelTime: UInt64? {
    guard let ticks = try? facts.systemTime() else { return nil }
    return ticks * (1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK))))
  }

  /// Nanoseconds of CPU time of one thread (/proc/PID/task/TID/schedstat), or nil when it is gone.
  func cpuTime(ofThread thread: Int32) -> UInt64? {
    guard let file = unsafe fopen("/proc/\(processID)/task/\(thread)/schedstat", "re") else { return nil }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 128)
    guard unsafe fgets(&buffer, 128, file) != nil else { return nil }
    let digits = buffer.prefix { $0 >= 48 && $0 <= 57 }.map { UInt8(bitPattern: $0) }
    return UInt64(String(decoding: digits, as: UTF8.self))
  }

  /// A short form of the command line for messages: the program's base name and its arguments.
  public var shortCommand: String {
    guard let first = commandLine.first else { return "?" }
    let name = first.split(separator: "/").last.map(String.init) ?? first
    let text = ([name] + commandLine.dropFirst()).joined(separator: " ")
    let safe = safeText(text)
    return safe.count > 120 ? safe.prefix(119) + "…" : safe
  }
}
