// The Firefox Profiler's processed profile format, version 57 (docs-developer/CHANGELOG-formats.md and
// src/types/profile of github.com/firefox-devtools/profiler); https://profiler.firefox.com opens such files.

import Profiles

/// All samples on a time line per thread, with a category per language, the modules with their build-ids, and markers for
/// losses and doubts.
///
/// A sample has the moment it was taken, and the CPU time since the thread's sample before it, which is one period. The
/// moment of a loss is not known: its marker covers the whole run. Where stacks of a thread are not whole, a marker
/// covers these samples. Without a time line there are no moments: each distinct stack stands once, with its number of
/// samples as weight, at the place it would have if a thread's stacks came one after another.
public struct GeckoCollector: Collector {
  /// `json`, as CPython's own profiler names such files.
  public static var fileExtension: String { "json" }

  /// Always.
  public static var usesTimeline: Bool { true }

  /// Of the processed format.
  static let version = 57
  /// Of the format that Firefox itself writes, at the time of `version`.
  static let geckoVersion = 31

  private let profile: Profile
  private let threads: [GeckoThread]

  /// Takes the samples of `profile`.
  public init(_ profile: Profile) {
    self.profile = profile
    var threads = profile.threads.map { GeckoThread($0) }
    if let timeline = profile.timeline {
      for sample in timeline { threads[sample.thread].add(sample.stack, at: sample.time) }
    } else {
      for sample in profile.samples where sample.count > 0 {
        threads[sample.thread].add(sample.stack, weight: sample.count, period: profile.header.period)
      }
    }
    self.threads = threads.filter { !$0.stacks.isEmpty }
  }

  /// The JSON text.
  public func exported() -> [UInt8] {
    var json = JSONWriter()
    let libraries = GeckoLibraries(profile)
    var strings = GeckoStrings()
    json.object { file in
      file.member(object: "meta", writeMeta)
      file.member(list: "libs", libraries.write)
      file.member(list: "threads") { list in
        for (index, thread) in threads.enumerated() {
          var tables = GeckoTables(profile, libraries)
          tables.use(thread.stacks)
          let markers =
            (index == mainThread ? GeckoMarkers(lossesOf: profile) : GeckoMarkers())
            + tables.doubts(of: thread)
          list.object { write(thread, tables, markers, &strings, &$0) }
        }
      }
      file.member(object: "shared") { shared in
        shared.member(list: "stringArray") { list in
          for string in strings.all { list.value(string) }
        }
      }
    }
    return json.bytes
  }

  /// Position of the thread that stands for the process.
  private var mainThread: Int { threads.firstIndex { $0.thread.tid == profile.header.processID } ?? 0 }

  // MARK: Threads

  private func write(
    _ thread: GeckoThread, _ tables: GeckoTables, _ markers: GeckoMarkers, _ strings: inout GeckoStrings,
    _ json: inout JSONWriter
  ) {
    let main = profile.header.processID
    json.member("processType", "default")
    json.member(
      "processName", basename(profile.header.command.split(separator: " ").first.map(String.init) ?? ""))
    json.member("processStartupTime", 0)
    json.key("processShutdownTime")
    json.null()
    json.member("registerTime", 0)
    json.key("unregisterTime")
    json.null()
    json.member(list: "pausedRanges") { _ in }
    json.member("showMarkersInTimeline", true)
    json.member("name", thread.thread.name.isEmpty ? "Thread \(thread.thread.tid)" : thread.thread.name)
    json.member("isMainThread", thread.thread.tid == main)
    json.member("pid", String(main))
    json.member("tid", thread.thread.tid)
    json.member(object: "samples") { writeSamples(thread, tables, &$0) }
    json.member(object: "markers") { markers.write(&strings, &$0) }
    tables.write(&strings, &json)
  }

  private func writeSamples(_ thread: GeckoThread, _ tables: GeckoTables, _ json: inout JSONWriter) {
    json.member("length", thread.stacks.count)
    json.member(list: "stack") { list in
      for stack in thread.stacks { list.value(tables.position(of: stack)) }
    }
    json.member(list: "time") { list in
      for time in thread.times { list.milliseconds(time) }
    }
    json.member("weightType", "samples")
    if thread.weights.isEmpty {
      json.key("weight")
      json.null()
      // Whole microseconds where the period is.
      let period = profile.header.period / (isWholeMicroseconds ? 1000 : 1)
      json.member(list: "threadCPUDelta", repeating: { $0.value(period) }, count: thread.stacks.count)
    } else {
      json.member(list: "weight") { list in
        for weight in thread.weights { list.value(weight) }
      }
    }
  }

  private var isWholeMicroseconds: Bool { profile.header.period.isMultiple(of: 1000) }

  // MARK: The run

  private func writeMeta(_ meta: inout JSONWriter) {
    let header = profile.header
    meta.member("version", Self.geckoVersion)
    meta.member("preprocessedProfileVersion", Self.version)
    meta.key("interval")
    meta.milliseconds(header.period)
    meta.key("startTime")
    meta.milliseconds(header.startTime)
    meta.member("profilingStartTime", 0)
    meta.key("profilingEndTime")
    meta.milliseconds(header.duration)
    meta.member("processType", 0)
    meta.member("product", header.interpreter.isEmpty ? "caduceus" : header.interpreter)
    let method = header.captureMethod.isEmpty ? "" : ", sampled \(header.captureMethod)"
    meta.member("importedFrom", "caduceus \(header.version)\(method)")
    meta.member("arguments", header.command)
    meta.member("stackwalk", 1)
    meta.member("debug", false)
    meta.member("platform", "Linux")
    meta.member("oscpu", "Linux x86_64")
    meta.member("symbolicated", true)
    meta.member("symbolicationNotSupported", true)
    meta.member("usesOnlyOneStackType", true)
    meta.member("sourceCodeIsNotOnSearchfox", true)
    meta.member(object: "sampleUnits") { units in
      units.member("time", "ms")
      units.member("eventDelay", "ms")
      units.member("threadCPUDelta", isWholeMicroseconds ? "\u{B5}s" : "ns")
    }
    meta.member(list: "categories", GeckoCategory.write)
    meta.member(list: "markerSchema", GeckoMarkers.writeSchemas)
    meta.member(list: "extra", writeExtra)
  }

  /// Shown as "more info" about a profile.
  private func writeExtra(_ extra: inout JSONWriter) {
    func section(_ label: String, _ fill: (inout JSONWriter) -> Void) {
      extra.object { section in
        section.member("label", label)
        section.member(list: "entries", fill)
      }
    }
    func entry(
      _ label: String, _ format: String, _ list: inout JSONWriter, _ value: (inout JSONWriter) -> Void
    ) {
      list.object { entry in
        entry.member("label", label)
        entry.member("format", format)
        entry.key("value")
        value(&entry)
      }
    }
    section("Accounting") { list in
      for line in SamplingSummary(profile).ledgerText.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1)
        entry(String(parts[0]), "string", &list) { $0.value(String(parts.last ?? "").trimmed) }
      }
    }
    section("Ledger") { list in
      for field in profile.ledger.fields {
        entry(field.name, "integer", &list) { $0.value(field.value) }
      }
    }
  }
}

extension String {
  /// Without the spaces before it.
  fileprivate var trimmed: String { String(drop { $0 == " " }) }
}

/// The samples of one thread.
struct GeckoThread {
  let thread: ProfiledThread
  private(set) var stacks: [StackID] = []
  /// Nanoseconds since the start.
  private(set) var times: [UInt64] = []
  /// Empty where every sample stands for itself.
  private(set) var weights: [UInt64] = []
  private var next: UInt64 = 0

  init(_ thread: ProfiledThread) { self.thread = thread }

  mutating func add(_ stack: StackID, at time: UInt64) {
    stacks.append(stack)
    times.append(time)
  }

  mutating func add(_ stack: StackID, weight: UInt64, period: UInt64) {
    add(stack, at: next)
    weights.append(weight)
    next += weight * period
  }
}
