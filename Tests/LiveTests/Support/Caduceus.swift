// The built command line, started as a user would.

import Foundation

/// The command line under test.
enum Caduceus {
  /// Path of the binary: CADUCEUS (or CADUCEUS_BINARY, as make sets it), or what was built beside the tests.
  static let path: String = {
    let files = FileManager.default
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["CADUCEUS"] ?? environment["CADUCEUS_BINARY"] { return path }
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().path
    var folders = CommandLine.arguments.filter { $0.contains(".xctest") }.map { path in
      String(path[..<(path.range(of: "/", options: .backwards)?.lowerBound ?? path.startIndex)])
    }
    if let own = try? files.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
      folders.append((own as NSString).deletingLastPathComponent)
    }
    folders += ["debug", "release"].map { "\(root)/.build/\($0)" }
    return folders.map { $0 + "/caduceus" }.first(where: files.isExecutableFile)
      ?? "\(root)/.build/debug/caduceus"
  }()

  /// A copy where every user can run it.
  static func publicCopy(in folder: Folder) throws -> String {
    let copy = folder.file("caduceus")
    if !FileManager.default.fileExists(atPath: copy) {
      try FileManager.default.copyItem(atPath: path, toPath: copy)
    }
    return copy
  }

  /// Starts it.
  static func start(
    _ arguments: [String], environment: [String: String] = [:], folder: String? = nil, input: Data? = nil
  ) throws -> Child {
    try Child(
      [path] + arguments, environment: Child.environment.merging(environment) { $1 },
      folder: folder ?? Folder.base,
      input: input)
  }

  /// Runs it to its end.
  static func run(
    _ arguments: [String], environment: [String: String] = [:], folder: String? = nil, input: Data = Data(),
    within seconds: Double = 120
  ) throws -> Finished {
    try start(arguments, environment: environment, folder: folder, input: input).finish(within: seconds)
  }

  /// Attaches to a program at its gate, opens the gate as soon as sampling has begun, and waits for the program's
  /// and for its own end.
  static func attach(_ program: Program, _ options: [String] = [], within seconds: Double = 120) throws
    -> Finished
  {
    let child = try start(["attach"] + options + ["\(program.pid)"])
    try waitUntilItSamples(child)
    program.go()
    return try child.finish(within: seconds)
  }

  /// Waits until `attach` waits for its first samples: it says what it is going to sample before the events interrupt.
  /// Returns the lines it has printed.
  @discardableResult static func waitUntilItSamples(_ child: Child) throws -> [String] {
    let lines = try child.errorLines(1)
    // proc_pid_syscall(5): the number of the system call that the process is blocked in; poll is 7.
    while try !child.hasEnded
      && !String(contentsOfFile: "/proc/\(child.pid)/syscall", encoding: .utf8).hasPrefix("7 ")
    { sched_yield() }
    return lines
  }
}
