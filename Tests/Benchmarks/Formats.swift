// What a profile of 600,000 samples costs: recording it with a time line, and writing it in each format.

import Collectors
import Glibc
import PerfEvents
import Profiles

/// Ten minutes of 1,000 samples per second, of eight threads: 20,000 distinct stacks of 40 frames, whose leaves differ more
/// than their roots, as in real programs.
enum FormatBenchmark {
  private static let samples = 600_000
  private static let distinct = 20_000
  private static let depth = 40

  static func run() {
    let before = residentBytes()
    let start = RecordStream.clock()
    let profile = made()
    let recorded = RecordStream.clock() - start
    let timeline = profile.timeline?.memory ?? 0
    let stacks = Set(profile.samples.map(\.stack)).count
    print("600,000 samples, \(stacks) distinct stacks of \(depth) frames, 8 threads")
    line("record", recorded, "\(megabytes(max(0, residentBytes() - before))) MB in all")
    print("  the time line takes \(megabytes(timeline)) MB, \(timeline / samples) bytes per sample")
    time("table", profile) { Array(StatsTable(PstatsCollector($0)).text.utf8) }
    time("pstats", profile) { PstatsCollector($0).exported() }
    time("collapsed", profile) { CollapsedStackCollector($0).exported() }
    time("flame graph", profile) { FlameGraphCollector($0).exported() }
    time("picture", profile) { FlameGraphPictureCollector($0).exported() }
    time("pprof", profile) { PprofCollector($0).exported() }
    time("jsonl", profile) { JsonlCollector($0).exported() }
    time("gecko", profile) { GeckoCollector($0).exported() }
    time("speedscope", profile) { SpeedscopeCollector($0).exported() }
    print("")
  }

  private static func made() -> Profile {
    var profile = Profile()
    profile.timeline = Timeline(start: 0)
    profile.threads = (1...8).map { ProfiledThread(tid: $0, name: "worker \($0)") }
    let files = (0..<200).map { profile.intern(string: "/srv/project/package/module\($0).py") }
    let modules = (0..<20).map { profile.intern(string: "/usr/lib/python3/dist-packages/module\($0).so") }
    let frames = (0..<5000).map { index in
      let isNative = index % 4 == 0
      return profile.intern(
        frame: Frame(
          kind: isNative ? .native : .python,
          name: profile.intern(string: "Class\(index % 300).method\(index)"),
          file: isNative ? modules[index % 20] : files[index % 200],
          line: isNative ? 0 : Int32(index % 900 + 1)))
    }
    profile.modules = modules.map {
      ProfiledModule(path: $0, buildID: "0123456789abcdef0123456789abcdef01234567", ranges: [])
    }
    var state: UInt64 = 1
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    let stacks = (0..<distinct).map { index in
      let mixed = UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
      return (0..<depth).map { level in
        // Root first: each level chooses among more frames than the one before.
        let choices: UInt64 = level < 10 ? 1 : level < 20 ? 4 : level < 35 ? 40 : 800
        let choice = Int((mixed >> UInt64(level)) % choices)
        return frames[(level * 120 + choice) % frames.count]
      }.reversed() as [FrameID]
    }
    for index in 0..<samples {
      let stack = stacks[index < distinct ? index : random(distinct)]
      profile.record(stack: stack.span, thread: random(8), time: UInt64(index) * 125_000)
    }
    profile.header.command = "python3 benchmark.py"
    profile.header.duration = 75_000_000_000
    return profile
  }

  private static func time(_ name: String, _ profile: Profile, _ make: (Profile) -> [UInt8]) {
    let start = RecordStream.clock()
    let bytes = make(profile)
    line(name, RecordStream.clock() - start, "\(megabytes(bytes.count)) MB")
  }

  private static func line(_ name: String, _ nanoseconds: UInt64, _ note: String) {
    let milliseconds = String(nanoseconds / 1_000_000)
    let gap = String(repeating: " ", count: max(1, 20 - name.count - milliseconds.count))
    print("  \(name)\(gap)\(milliseconds) ms  \(note)")
  }

  private static func megabytes(_ bytes: Int) -> String {
    let tenths = bytes / 100_000
    return "\(tenths / 10).\(tenths % 10)"
  }

  /// Of this process; /proc/self/statm counts in pages.
  private static func residentBytes() -> Int {
    guard let file = unsafe fopen("/proc/self/statm", "r") else { return 0 }
    defer { unsafe fclose(file) }
    var text = [CChar](repeating: 0, count: 128)
    guard unsafe fgets(&text, 128, file) != nil else { return 0 }
    let words = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      .split(separator: " ")
    return words.count > 1 ? (Int(words[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
  }
}
