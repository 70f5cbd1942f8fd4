// A child process with pipes. Everything waits in poll(2), nothing for time to pass.

import Foundation

/// What is left of a process that has ended.
struct Finished {
  /// As a shell gives it: 128 + N when signal N ended the process.
  let status: Int32
  let output: Data
  let errorText: String

  var outputText: String { String(decoding: output, as: UTF8.self) }
  var errorLines: [String] { errorText.split(separator: "\n").map(String.init) }
  /// For messages of failing tests.
  var description: String {
    "status \(status)\nstdout:\n\(outputText.prefix(3000))\nstderr:\n\(errorText.prefix(5000))"
  }
}

/// A process that a test started. It is killed when the test forgets it.
final class Child {
  let pid: Int32
  let command: [String]
  private var input: Int32
  private var streams: [Int32]
  private var received: [Data] = [Data(), Data()]
  private var linesTaken = 0
  private var pending = Data()
  private var closesInput = false
  private var status: Int32?
  /// Nanoseconds of CPU time that it and the children it waited for used in their lives, by the kernel's account;
  /// known once it has ended.
  private(set) var usedCPU: Double = 0

  /// - Parameters:
  ///   - command: Path and arguments.
  ///   - environment: Instead of the test's own.
  ///   - folder: Working directory.
  ///   - input: Given to standard input, which is then closed; nil leaves it open for `send`.
  init(
    _ command: [String], environment: [String: String]? = nil, folder: String? = nil, input text: Data? = nil
  ) throws {
    let command = (folder.map { ["/usr/bin/env", "-C", $0] } ?? []) + command
    self.command = command
    let pipes = try (0..<3).map { _ in try Self.pipe() }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    for (descriptor, end) in [(Int32(0), pipes[0].read), (1, pipes[1].write), (2, pipes[2].write)] {
      unsafe posix_spawn_file_actions_adddup2(&actions, end, descriptor)
    }
    // Nothing that other tests have open at this moment; what is not open is no error (posix_spawn(3)).
    for descriptor in Int32(3)..<512 { unsafe posix_spawn_file_actions_addclose(&actions, descriptor) }
    // A process group of its own: what a test sends to the group reaches nobody else.
    var attributes = posix_spawnattr_t()
    unsafe posix_spawnattr_init(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    var all = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP))
    let variables = (environment ?? Self.environment).map { "\($0.key)=\($0.value)" }
    var arguments = unsafe command.map { unsafe strdup($0) } + [nil]
    var settings = unsafe variables.map { unsafe strdup($0) } + [nil]
    defer { unsafe (arguments + settings).forEach { unsafe free($0) } }
    var child: pid_t = 0
    let code = unsafe posix_spawnp(&child, command[0], &actions, &attributes, &arguments, &settings)
    for end in [pipes[0].read, pipes[1].write, pipes[2].write] { close(end) }
    guard code == 0 else {
      for end in [pipes[0].write, pipes[1].read, pipes[2].read] { close(end) }
      throw LiveError("cannot start \(command.joined(separator: " ")): error \(code)")
    }
    pid = child
    input = pipes[0].write
    streams = [pipes[1].read, pipes[2].read]
    for descriptor in [input] + streams { _ = fcntl(descriptor, F_SETFL, O_NONBLOCK) }
    if let text {
      pending = text
      closesInput = true
    }
  }

  deinit {
    if status == nil {
      kill(pid, SIGKILL)
      var raw: Int32 = 0
      unsafe waitpid(pid, &raw, 0)
    }
    for descriptor in [input] + streams where descriptor >= 0 { close(descriptor) }
  }

  /// The test's own environment without what changes interpreters or who we are.
  static let environment: [String: String] = {
    var result = ProcessInfo.processInfo.environment.filter {
      !$0.key.hasPrefix("PYTHON") && !$0.key.hasPrefix("SUDO_") && !$0.key.hasPrefix("PYENV_V")
    }
    result["PYTHONDONTWRITEBYTECODE"] = "1"
    result["NO_COLOR"] = "1"
    return result
  }()

  /// Runs a program to its end.
  static func run(
    _ command: [String], environment: [String: String]? = nil, folder: String? = nil, input: Data = Data(),
    within seconds: Double = 60
  ) throws -> Finished {
    try Child(command, environment: environment, folder: folder, input: input).finish(within: seconds)
  }

  private static func pipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe Foundation.pipe(&ends) == 0 else { throw LiveError("no pipe: error \(errno)") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  // MARK: Talking

  /// Standard error so far.
  var errorText: String { String(decoding: received[1], as: UTF8.self) }

  func send(_ text: String) {
    pending += Data(text.utf8)
    pump(milliseconds: 0)
  }

  func closeInput() {
    closesInput = true
    pump(milliseconds: 0)
  }

  func signal(_ number: Int32) { kill(pid, number) }

  /// The next line of standard output.
  func line(within seconds: Double = 60) throws -> String {
    try wait("a line of standard output", seconds) { lines(0).count > linesTaken }
    linesTaken += 1
    return lines(0)[linesTaken - 1]
  }

  /// Waits until standard error has this many whole lines; returns them.
  @discardableResult func errorLines(_ count: Int, within seconds: Double = 60) throws -> [String] {
    try wait("\(count) lines of standard error", seconds) { lines(1).count >= count }
    return lines(1)
  }

  /// Waits until the process has ended, and both pipes too when `toEnd`: processes it left behind hold them.
  func finish(within seconds: Double = 60, toEnd: Bool = false) throws -> Finished {
    closesInput = true
    try wait("its end", seconds) { self.hasEnded && (!toEnd || streams.allSatisfy { $0 < 0 }) }
    pump(milliseconds: 0)
    return Finished(status: status ?? -1, output: received[0], errorText: errorText)
  }

  /// Nanoseconds of CPU time that all its threads have used until now (clock_getcpuclockid(3)).
  func cpuTime() throws -> Double {
    var clock = clockid_t()
    var time = timespec()
    guard unsafe clock_getcpuclockid(pid, &clock) == 0, unsafe clock_gettime(clock, &time) == 0 else {
      throw LiveError("process \(pid) has no CPU clock: error \(errno)")
    }
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
  }

  /// Waits until all its threads together have used so much CPU time.
  func wait(forCPU seconds: Double) throws {
    let limit = Date.now.addingTimeInterval(60)
    while try cpuTime() < seconds * 1e9 {
      if Date.now > limit { throw LiveError("process \(pid) does not use \(seconds) s of CPU time") }
      usleep(1000)
    }
  }

  /// True once it has ended; its status is taken then.
  var hasEnded: Bool {
    if status != nil { return true }
    var raw: Int32 = 0
    var usage = rusage()
    guard unsafe wait4(pid, &raw, WNOHANG, &usage) == pid else { return false }
    let microseconds = [usage.ru_utime, usage.ru_stime].map { Double($0.tv_sec) * 1e6 + Double($0.tv_usec) }
    usedCPU = (microseconds[0] + microseconds[1]) * 1e3
    status = raw & 0x7f == 0 ? raw >> 8 & 0xff : 128 + raw & 0x7f
    return true
  }

  /// Whole lines of a stream.
  private func lines(_ stream: Int) -> [String] {
    received[stream].split(separator: 10, omittingEmptySubsequences: false).dropLast()
      .map { String(decoding: $0, as: UTF8.self) }
  }

  /// Moves data until `condition` holds. A process that takes too long is killed, and everything it said is told.
  private func wait(_ what: String, _ seconds: Double, until condition: () -> Bool) throws {
    let limit = Date.now.addingTimeInterval(seconds)
    while !condition() {
      let over = hasEnded && streams.allSatisfy { $0 < 0 }
      if over && condition() { return }
      if over || Date.now > limit {
        if !over { kill(pid, SIGKILL) }
        throw LiveError(
          "\(command.joined(separator: " ")): waited \(over ? "in vain" : "\(seconds) s") for \(what); status "
            + "\(status.map(String.init) ?? "none")\nstdout:\n\(String(decoding: received[0].prefix(3000), as: UTF8.self))"
            + "\nstderr:\n\(errorText.prefix(5000))")
      }
      pump(milliseconds: 5)
    }
  }

  /// Writes what is pending and reads what is there.
  private func pump(milliseconds: Int32) {
    var polled = streams.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    polled.append(pollfd(fd: pending.isEmpty ? -1 : input, events: Int16(POLLOUT), revents: 0))
    _ = unsafe poll(&polled, 3, milliseconds)
    if input >= 0, !pending.isEmpty, polled[2].revents != 0 {
      // SIGPIPE is ignored by the test runner or not: a broken pipe must not end the tests.
      _ = Self.ignoreBrokenPipes
      let count = unsafe pending.withUnsafeBytes { unsafe write(input, $0.baseAddress, $0.count) }
      if count > 0 { pending = Data(pending.dropFirst(count)) }
      if count < 0 && errno != EAGAIN { pending = Data() }
    }
    if closesInput, pending.isEmpty, input >= 0 {
      close(input)
      input = -1
    }
    for index in 0..<2 where streams[index] >= 0 { drain(index) }
  }

  private static let ignoreBrokenPipes: Void = { _ = Foundation.signal(SIGPIPE, SIG_IGN) }()

  private func drain(_ index: Int) {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = unsafe read(streams[index], &buffer, buffer.count)
      if count > 0 {
        received[index].append(contentsOf: buffer[..<count])
      } else {
        if count == 0 || errno != EAGAIN {
          close(streams[index])
          streams[index] = -1
        }
        return
      }
    }
  }
}
