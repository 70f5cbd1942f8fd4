// speedscope's own file format: https://www.speedscope.app, whose published schema is file-format-schema.json.

import Profiles

/// One `sampled` profile per thread; frames are shared. A weight is the CPU time that a stack stands for: its samples
/// times the period, in nanoseconds (where the period is not known, the number of samples, without a unit).
///
/// A Python frame has its file and the line being executed, a native or kernel frame its module as the file and no
/// line, a marker its text alone. With a time line the stacks of a thread are in the order of time, equal neighbours as
/// one, which is what speedscope's "Time Order" shows; speedscope takes CPU time for the time axis. A time line of more
/// than `longestTimeOrder` frames would be a file that no browser opens: then, and without a time line, each distinct
/// stack stands once. What the format has no place for is in a member `caduceus`, the ledger included.
public struct SpeedscopeCollector: Collector {
  /// The greatest number of frames of all stacks in the order of time.
  public static let longestTimeOrder = 5_000_000

  /// `speedscope.json`, by which speedscope's users know such files.
  public static var fileExtension: String { "speedscope.json" }

  /// For the order of time.
  public static var usesTimeline: Bool { true }

  private struct Run {
    let stack: StackID
    var count: UInt64
  }

  private let profile: Profile
  /// By thread.
  private let runs: [[Run]]

  /// Takes the samples of `profile`.
  public init(_ profile: Profile) {
    self.profile = profile
    runs = Self.inTimeOrder(profile) ?? Self.byStack(profile)
  }

  private static func inTimeOrder(_ profile: Profile) -> [[Run]]? {
    guard let timeline = profile.timeline else { return nil }
    var runs: [[Run]] = Array(repeating: [], count: profile.threads.count)
    var frames = 0
    for sample in timeline {
      if let last = runs[sample.thread].indices.last, runs[sample.thread][last].stack == sample.stack {
        runs[sample.thread][last].count += 1
      } else {
        frames += max(1, profile.frames(of: sample.stack).count)
        if frames > longestTimeOrder { return nil }
        runs[sample.thread].append(Run(stack: sample.stack, count: 1))
      }
    }
    return runs
  }

  private static func byStack(_ profile: Profile) -> [[Run]] {
    var runs: [[Run]] = Array(repeating: [], count: profile.threads.count)
    for sample in profile.samples where sample.count > 0 {
      runs[sample.thread].append(Run(stack: sample.stack, count: sample.count))
    }
    return runs
  }

  /// The JSON text.
  public func exported() -> [UInt8] {
    var json = JSONWriter()
    let threads = profile.threads.indices.filter { !runs[$0].isEmpty }
    let totals = threads.map { thread in runs[thread].reduce(0) { $0 + $1.count } }
    let busiest = totals.indices.max { (totals[$0], $1) < (totals[$1], $0) } ?? 0
    json.object { file in
      file.member("$schema", "https://www.speedscope.app/file-format-schema.json")
      file.member("exporter", "caduceus \(profile.header.version)")
      file.member("name", profile.header.command)
      file.member("activeProfileIndex", busiest)
      file.member(object: "caduceus") { $0.members(of: profile) }
      file.member(object: "shared") { shared in
        shared.member(list: "frames") { list in
          for frame in profile.frames { write(frame, &list) }
          list.object { $0.member("name", "[no frames]") }
        }
      }
      file.member(list: "profiles") { list in
        for (thread, total) in zip(threads, totals) { write(thread, total, &list) }
      }
    }
    return json.bytes
  }

  private func write(_ frame: Frame, _ json: inout JSONWriter) {
    json.object { object in
      object.member("name", profile[frame.name])
      let file = profile[frame.file]
      if !file.isEmpty { object.member("file", file) }
      if frame.line > 0 { object.member("line", frame.line) }
    }
  }

  private func write(_ thread: Int, _ total: UInt64, _ json: inout JSONWriter) {
    let factor = max(1, profile.header.period)
    let name = profile.threads[thread].name
    json.object { object in
      object.member("type", "sampled")
      object.member("name", "\(name.isEmpty ? "thread" : name) (\(profile.threads[thread].tid))")
      object.member("unit", profile.header.period > 0 ? "nanoseconds" : "none")
      object.member("startValue", 0)
      object.member("endValue", total * factor)
      object.member(list: "samples") { samples in
        for run in runs[thread] {
          samples.list { stack in
            let frames = profile.frames(of: run.stack)
            for frame in frames.reversed() { stack.value(frame.index) }
            if frames.isEmpty { stack.value(profile.frames.count) }
          }
        }
      }
      object.member(list: "weights") { weights in
        for run in runs[thread] { weights.value(run.count * factor) }
      }
    }
  }
}
