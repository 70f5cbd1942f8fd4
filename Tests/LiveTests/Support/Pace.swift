// How many samples a known CPU time must give: what the kernel itself counted says, on a busy machine as on an idle one.
// The program's own ledger is no measure of what may be missing: a program that opens its events with a period that is too
// long would excuse itself.
//
// A sampling event counts all time that its thread stands on a CPU. The thread's own CPU clock leaves some of that out
// where the kernel accounts for it: time in which the host of a virtual machine ran something else (steal), and time in
// which interrupts were served. So there may be more samples than the own clock says, by that time and no more. And a
// timer that comes late makes one interrupt of several periods: so there may be fewer, by the time that the host ran
// something else, and by a small share.

import Foundation

/// Time of all CPUs that was nobody's, since the machine started.
struct Elsewhere {
  /// Steal, interrupts and soft interrupts (proc_stat(5)), each in whole clock ticks.
  private let ticks: [Int]
  private static let nanosecondsPerTick = 1e9 / Double(sysconf(Int32(_SC_CLK_TCK)))

  static func now() throws -> Elsewhere {
    let text = try String(contentsOfFile: "/proc/stat", encoding: .utf8)
    let fields = text.prefix { $0 != "\n" }.split(separator: " ")
    guard fields.first == "cpu", fields.count > 8 else { throw LiveError("/proc/stat begins with \(fields)") }
    return Elsewhere(ticks: [fields[8], fields[6], fields[7]].map { Int($0) ?? 0 })
  }

  private init(ticks: [Int]) { self.ticks = ticks }

  /// The most nanoseconds it can have been since `start`: a count may just have begun its next tick.
  func most(since start: Elsewhere) -> Double {
    zip(ticks, start.ticks).reduce(0) { $0 + Double($1.0 - $1.1 + 1) } * Self.nanosecondsPerTick
  }
}

/// What the kernel says about one profiled run: the measure of its samples.
struct Pace {
  /// Nanoseconds between two interrupts of one thread.
  let period: Double
  /// Nanoseconds of CPU time that the target used by its own clock while it was sampled, and in its end: the kernel
  /// frees a process's memory with or without its events, by its release.
  let own: Double
  /// The most nanoseconds that can have been the events' and not the target's own.
  let elsewhere: Double
  /// What the kernel's ticks do not tell of it, as a share of the target's own time: ten thousand interrupts a second of
  /// a virtual machine on a busy host were 11 % ahead of a thread's clock, of which /proc/stat told a half. A thread that
  /// is sampled twice has twice as many samples.
  static let untold = 0.12
  /// The share of periods that timers lose by coming late. On two CPUs with eight threads waiting for them it was 0.4 % at
  /// ten thousand a second, 0.2 % at a thousand; a busy host makes more of it. A program that loses every tenth sample,
  /// or more, is found out.
  static let late = 0.1
  let ledger: LedgerReport

  /// Nanoseconds that the sampling events counted, to the period.
  private var counted: Double { Double(ledger.targetRuns + ledger.unfired) * period }
  /// The most nanoseconds that the events can have been ahead of the target's own clock.
  private var ahead: Double { min(elsewhere + Self.untold * own, max(0, counted + period - own)) }

  /// What a stretch may have before its first and after its last reading of the clock, in nanoseconds: the start and
  /// the end of a thread, first calls into pages that are not there yet. It is in the samples and not in the reading.
  private static let edge = 1e6

  /// The numbers of samples that a part of the run may have given. `nanoseconds`: the CPU time of that part by the
  /// threads' own clocks. `stretches`: a thread's time without a gap is one; each begins and ends within a period.
  func samples(of nanoseconds: Double, stretches: Int = 1) -> ClosedRange<Double> {
    let all = interrupts(of: nanoseconds, stretches: stretches)
    return max(0, all.lowerBound - Double(ledger.damaged + ledger.dropped))...all.upperBound
  }

  /// The same for samples that are counted whether they are whole or not.
  func interrupts(of nanoseconds: Double, stretches: Int = 1) -> ClosedRange<Double> {
    let periods = nanoseconds / period
    let ends = Double(stretches) + 1
    let edges = Double(stretches) * Self.edge / period
    return least(of: nanoseconds, ends: ends)...(periods + ahead / period + ends + edges)
  }

  /// The fewest interrupts of so much CPU time with so many periods that were begun or not over.
  private func least(of nanoseconds: Double, ends: Double) -> Double {
    max(0, ((1 - Self.late) * nanoseconds - elsewhere) / period - ends)
  }

  /// The same for interrupts by the clocks of the CPUs, which take a stretch shorter than a period by chance only, and
  /// lose what comes late without the kernel counting it. At most as much comes late as was nobody's time.
  func byCPUs(of nanoseconds: Double) -> ClosedRange<Double> {
    let gone = Double(ledger.damaged + ledger.dropped)
    let least = max(0, least(of: nanoseconds, ends: 0) - gone)
    let most = ((1 + Self.untold) * nanoseconds + elsewhere) / period
    return max(
      0, least - Bounds.deviations * least.squareRoot() - 1)...(most + Bounds.deviations
      * most.squareRoot() + 1)
  }

  /// What of the relations between interrupts, the events' count and the target's own clock does not hold; `threads`
  /// is how many there were. Not for events per CPU, which count nothing.
  func contradictions(threads: Int = 1) -> [String] {
    var found: [String] = []
    // One period per thread may have been begun by the timer and not be over for the count.
    if ledger.unfired < -threads { found.append("\(-ledger.unfired) interrupts without a counted period") }
    let ends = Double(threads + 1) * period
    if counted > own + elsewhere + Self.untold * own + ends {
      found.append("counted \(counted) ns, not \(own) ns and at most \(elsewhere) ns elsewhere")
    }
    // A period that is too long looks like timers that never fire.
    let least = least(of: own, ends: Double(threads + 1))
    if Double(ledger.targetRuns) < least {
      found.append("\(ledger.targetRuns) interrupts of \(own) ns, not \(least)")
    }
    return found
  }
}
