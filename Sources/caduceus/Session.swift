// One run of the sampler, from the checks before it to its report.

import Glibc
import Profiles
import Sampling

struct Session {
  let options: SamplingOptions
  let output: OutputArguments
  let format: FormatArguments
  /// How to sample the threads that were left out.
  let advice: String

  // MARK: attach

  func attach(_ pid: Int32) throws {
    let signals = Signals()
    do throws(SamplingError) {
      try Sampler.checkRights(options, process: pid)
      let target = try TargetProcess(processID: pid)
      let destinations = try destinations(pid)
      let sampler = try Sampler(target: target, options: options)
      sampler.start()
      announce(sampler)
      announceMethod(sampler)
      sample(sampler, signals)
      let status = report(sampler, destinations, tableTo: STDOUT_FILENO).write(sampler.finish())
      if status != 0 { Glibc.exit(status) }
    } catch {
      throw Failure(error)
    }
  }

  private func destinations(_ pid: Int32) throws(SamplingError) -> [Destination] {
    var destinations: [Destination] = []
    for (format, name) in output.written {
      destinations.append(try Destination(format, named: name, pid: pid))
    }
    return destinations
  }

  private func announce(_ sampler: Sampler) {
    let threads = sampler.threadCount
    write(
      "PID \(sampler.target.processID) (\(sampler.target.shortCommand)), "
        + (sampler.interpreter.isEmpty ? "" : sampler.interpreter + ", ")
        + (options.mainThreadOnly ? "main thread only" : "\(threads) thread\(threads == 1 ? "" : "s")")
        + ", \(rateText), \(ringText(sampler))\n", to: STDERR_FILENO)
  }

  private func announceMethod(_ sampler: Sampler) {
    if let method = sampler.captureMethod { write("Sampling \(method)\n", to: STDERR_FILENO) }
    if let notice = sampler.ringNotice { write("Sampling with \(notice)\n", to: STDERR_FILENO) }
  }

  private var rateText: String {
    let microseconds = Double(options.period) / 1000
    return "every \(decimal(microseconds, options.period % 1000 == 0 ? 0 : 3)) us of CPU time"
  }

  private func ringText(_ sampler: Sampler) -> String {
    let kibibytes = sampler.ringBytes >> 10
    return kibibytes % 1024 == 0 ? "\(kibibytes >> 10) MiB of rings" : "\(kibibytes) KiB of rings"
  }

  private func report(_ sampler: Sampler, _ destinations: [Destination], tableTo descriptor: Int32) -> Report
  {
    Report(
      output: output, format: format, destinations: destinations, tableDescriptor: descriptor,
      leftOutAdvice: options.mainThreadOnly ? advice : nil, interpreterProblem: sampler.interpreterProblem)
  }

  private func liveLine(inRun: Bool) -> LiveLine {
    // The screen of `run` is the program's.
    let wantsProgress = output.progress ?? (!inRun && isatty(STDERR_FILENO) == 1)
    return LiveLine(
      output.realtimeStats ? .rates : wantsProgress ? .progress : .none, duration: options.duration)
  }

  private func sample(_ sampler: Sampler, _ signals: borrowing Signals) {
    let end = options.duration.map { UInt64($0 * 1e9) }
    var line = liveLine(inRun: false)
    defer { line.end() }
    while true {
      sampler.round(also: signals.descriptor)
      line.update(sampler)
      if let end, sampler.elapsed >= end { return }
      // A terminal that changes its size is no reason to end.
      if let signal = signals.next(), ![SIGWINCH, SIGURG].contains(signal.number) {
        line.end()
        if signal.number == SIGINT { write("Interrupted.\n", to: STDERR_FILENO) }
        signals.letInterruptEndUs()
        return
      }
      if sampler.hasEnded { return }
    }
  }

  // MARK: run

  func run(_ command: [String], as identity: ProgramIdentity) throws -> Int32 {
    let signals = Signals()
    do throws(SamplingError) {
      try Sampler.checkRights(options)
      let program = try HeldProgram(command: command, identity: identity)
      let sampler: Sampler
      let destinations: [Destination]
      do {
        destinations = try self.destinations(program.processID)
        let target = try TargetProcess(processID: program.processID, command: command)
        sampler = try Sampler(target: target, options: options, held: true)
      } catch {
        program.abandon()
        throw error
      }
      sampler.start()
      try program.start()
      announce(program, sampler)
      announceMethod(sampler)
      let early = watch(program, sampler, signals)
      signals.letInterruptEndUs()
      // As long as nobody has waited for the program the kernel tells what it and its children used.
      let profile = early ?? sampler.finish()
      let status = program.wait()
      let written = report(sampler, destinations, tableTo: STDERR_FILENO).write(profile)
      return status == 0 ? written : status
    } catch {
      throw Failure(error)
    }
  }

  /// Samples until the program has ended; gives the profile when the duration was over before that.
  private func watch(_ program: HeldProgram, _ sampler: Sampler, _ signals: borrowing Signals) -> Profile? {
    let end = options.duration.map { UInt64($0 * 1e9) }
    var profile: Profile?
    var line = liveLine(inRun: true)
    defer { line.end() }
    while !program.hasEnded {
      if profile == nil {
        sampler.round(also: signals.descriptor)
        line.update(sampler)
      } else {
        sampler.waitForEnd(also: signals.descriptor)
      }
      handOn(signals, to: program)
      if profile == nil, let end, sampler.elapsed >= end {
        line.end()
        profile = sampler.finish()
      }
    }
    handOn(signals, to: program)
    return profile
  }

  /// What the terminal sends reaches the program by itself; what was sent to us alone is handed on.
  private func handOn(_ signals: borrowing Signals, to program: HeldProgram) {
    while let signal = signals.next() {
      if !signal.isFromTerminal { kill(program.processID, signal.number) }
    }
  }

  /// Which file the command's name led to, and whose program it is.
  private func announce(_ program: HeldProgram, _ sampler: Sampler) {
    let note = program.environmentNote.map { ", " + $0 } ?? ""
    write(
      "PID \(program.processID) (\(sampler.target.shortCommand)), \(rateText), \(ringText(sampler))\n"
        + "Running \(program.executable ?? "?") as \(program.userName)\(note)\n", to: STDERR_FILENO)
  }
}
