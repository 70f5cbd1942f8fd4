// One run of the sampler, from the checks before it to the files after it.

import Collectors
import Glibc
import Profiles
import Sampling

struct Session {
  let options: SamplingOptions
  let output: OutputArguments
  /// How to sample the threads that were left out.
  let advice: String

  // MARK: attach

  func attach(_ pid: Int32) throws {
    let signals = Signals()
    do throws(SamplingError) {
      try Sampler.checkRights()
      let target = try TargetProcess(processID: pid)
      try checkOutput(pid)
      let sampler = try Sampler(target: target, options: options)
      announce(sampler)
      sampler.start()
      sample(sampler, signals)
      report(sampler, sampler.finish(), tableTo: STDOUT_FILENO)
    } catch {
      throw Failure(error)
    }
  }

  private func announce(_ sampler: Sampler) {
    let threads = sampler.threadCount
    write(
      "PID \(sampler.target.processID) (\(sampler.target.shortCommand)), "
        + (sampler.interpreter.isEmpty ? "" : sampler.interpreter + ", ")
        + (options.mainThreadOnly ? "main thread only" : "\(threads) thread\(threads == 1 ? "" : "s")")
        + ", every \(options.interval) us of CPU time, \(ringText(sampler))\n", to: STDERR_FILENO)
  }

  private func ringText(_ sampler: Sampler) -> String {
    let kibibytes = sampler.ringBytes >> 10
    return kibibytes % 1024 == 0 ? "\(kibibytes >> 10) MiB of rings" : "\(kibibytes) KiB of rings"
  }

  private func wantsColors(_ descriptor: Int32) -> Bool {
    let refused = unsafe getenv("NO_COLOR") != nil
    return isatty(descriptor) == 1 && !refused
  }

  private func sample(_ sampler: Sampler, _ signals: borrowing Signals) {
    let end = options.duration.map { UInt64($0 * 1e9) }
    while true {
      sampler.round(also: signals.descriptor)
      if let end, sampler.elapsed >= end { return }
      // A terminal that changes its size is no reason to end.
      if let signal = signals.next(), ![SIGWINCH, SIGURG].contains(signal.number) {
        if signal.number == SIGINT { write("Interrupted.\n", to: STDERR_FILENO) }
        return
      }
      if sampler.hasEnded { return }
    }
  }

  // MARK: run

  func run(_ command: [String]) throws -> Int32 {
    let signals = Signals()
    do throws(SamplingError) {
      try Sampler.checkRights()
      let program = try HeldProgram(command: command)
      let sampler: Sampler
      do {
        try checkOutput(program.processID)
        let target = try TargetProcess(processID: program.processID, command: command)
        sampler = try Sampler(target: target, options: options, held: true)
      } catch {
        program.abandon()
        throw error
      }
      write(
        "PID \(program.processID) (\(sampler.target.shortCommand)), every \(options.interval) us of CPU time, "
          + "\(ringText(sampler))\n", to: STDERR_FILENO)
      sampler.start()
      try program.start()
      var isSampling = true
      let end = options.duration.map { UInt64($0 * 1e9) }
      var profile: Profile?
      while !program.hasEnded {
        if isSampling {
          sampler.round(also: signals.descriptor)
        } else {
          sampler.waitForEnd(also: signals.descriptor)
        }
        // What the terminal sends reaches the program by itself; what was sent to us alone is handed on.
        while let signal = signals.next() {
          if !signal.isFromTerminal { kill(program.processID, signal.number) }
        }
        if isSampling, let end, sampler.elapsed >= end {
          isSampling = false
          profile = sampler.finish()
        }
      }
      let result = profile ?? sampler.finish()
      let status = program.wait()
      report(sampler, result, tableTo: STDERR_FILENO)
      return status
    } catch {
      throw Failure(error)
    }
  }

  // MARK: Output

  private func path(_ pid: Int32) -> String? {
    output.output ?? (output.format == .collapsed ? "collapsed.\(pid).txt" : nil)
  }

  /// Finds out before sampling whether the output file can be written.
  private func checkOutput(_ pid: Int32) throws(SamplingError) {
    guard let path = path(pid) else { return }
    func failure(_ code: Int32, _ reason: String? = nil) -> SamplingError {
      let text = reason ?? (unsafe String(cString: strerror(code)))
      return .notPermitted(what: "cannot write \(path): \(text); name another file with -o")
    }
    var status = stat()
    if unsafe stat(path, &status) == 0 {
      if status.st_mode & S_IFMT == S_IFDIR { throw failure(EISDIR, "it is a directory") }
      guard unsafe access(path, W_OK) == 0 else { throw failure(errno) }
      // A device or a pipe is written in place.
      if status.st_mode & S_IFMT != S_IFREG { return }
    } else if errno != ENOENT {
      throw failure(errno)
    }
    // The finished file is going to be made beside its name: what works now works then.
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
    let trial = "\(folder).caduceus-\(getpid()).tmp"
    let descriptor = unsafe open(trial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw failure(errno) }
    close(descriptor)
    unsafe unlink(trial)
  }

  private func report(_ sampler: Sampler, _ profile: Profile, tableTo descriptor: Int32) {
    let owner = InvokingUser.current.map { FileOwner(uid: $0.uid, gid: $0.gid) }
    var exportFailure: String?
    if let path = path(sampler.target.processID) {
      do throws(ExportError) {
        switch output.format {
        case .pstats: try PstatsCollector(profile).export(to: path, owner: owner)
        case .collapsed: try CollapsedStackCollector(profile).export(to: path, owner: owner)
        }
      } catch {
        exportFailure = error.description
      }
    }
    if output.format == .pstats && (output.output == nil || exportFailure != nil) {
      var options = StatsTable.Options()
      options.limit = output.limit
      options.usesColors = wantsColors(descriptor)
      write(StatsTable(PstatsCollector(profile), options: options).text, to: descriptor)
    }
    let summary = SamplingSummary(profile)
    var text = summary.text + (output.ledger ? summary.fullLedgerText : summary.ledgerText)
    if !text.hasSuffix("\n") { text += "\n" }
    if options.mainThreadOnly, profile.ledger.unsampledCPU > 0 {
      let seconds = Double(profile.ledger.unsampledCPU) / 1e9
      text += "Other threads, not sampled, used \(rounded(seconds)) s of CPU time; \(advice)\n"
    }
    if profile.ledger.ringFull > 0 {
      text += "The rings were too small for the rate: a larger --ring-size or a longer -i loses less\n"
    }
    if let problem = sampler.interpreterProblem { text += "No Python frames: \(problem)\n" }
    if exportFailure == nil, let path = path(sampler.target.processID) {
      switch output.format {
      case .pstats: text += "Stats written to \(path)\n"
      case .collapsed: text += "Collapsed stack output written to \(path)\n"
      }
    }
    write(text, to: STDERR_FILENO)
    if let exportFailure { Failure(exportFailure).exit() }
  }

  private func rounded(_ seconds: Double) -> String {
    let hundredths = Int((seconds * 100).rounded())
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
  }
}
