// Profiles written down by hand, for the tests of the collectors.

import Profiles

@testable import Collectors

/// A frame as a test writes it.
struct MadeFrame {
  var kind = FrameKind.python
  var file: String
  var line: Int32 = 0
  var name: String
  var firstLine: Int32 = 0
  var language: FrameLanguage?

  static func python(_ file: String, _ line: Int32, _ name: String, of firstLine: Int32 = 0) -> MadeFrame {
    MadeFrame(file: file, line: line, name: name, firstLine: firstLine)
  }

  static func native(_ module: String, _ symbol: String, _ language: FrameLanguage? = nil) -> MadeFrame {
    MadeFrame(kind: .native, file: module, name: symbol, language: language)
  }

  static func kernel(_ symbol: String, module: String = "[kernel]") -> MadeFrame {
    MadeFrame(kind: .kernel, file: module, name: symbol)
  }

  static func marker(_ text: String) -> MadeFrame { MadeFrame(kind: .marker, file: "", name: text) }
}

extension Profile {
  /// A profile of stacks, leaf first.
  init(period: UInt64 = 100_000, _ stacks: [(frames: [MadeFrame], count: UInt64)]) {
    self.init()
    header.period = period
    threads = [ProfiledThread(tid: 1, name: "main")]
    for stack in stacks { add(stack.frames, count: stack.count) }
  }

  mutating func add(_ stack: [MadeFrame], thread: Int = 0, count: UInt64 = 1, time: UInt64 = 0) {
    var ids: [FrameID] = []
    for made in stack {
      ids.append(
        intern(
          frame: Frame(
            kind: made.kind, name: intern(string: made.name), file: intern(string: made.file),
            line: made.line, firstLine: made.firstLine, language: made.language)))
    }
    record(stack: ids.span, thread: thread, count: count, time: time)
  }

  /// Three functions of one script, one of them recursive.
  static var recursive: Profile {
    let leaf = MadeFrame.python("/srv/app.py", 3, "leaf")
    let rec = MadeFrame.python("/srv/app.py", 7, "rec")
    let module = MadeFrame.python("/srv/app.py", 11, "<module>")
    return Profile([([leaf, rec, rec, module], 3), ([rec, module], 1)])
  }

  /// A stack in which one line calls itself several times.
  static var deep: Profile {
    let rec = MadeFrame.python("/srv/app.py", 7, "rec", of: 5)
    return Profile([([rec, rec, rec, rec, .python("/srv/app.py", 11, "<module>", of: 1)], 5)])
  }

  /// Functions that were found at several of their lines, below a module that was found at two.
  static var lines: Profile {
    func work(_ line: Int32) -> MadeFrame { .python("/srv/work.py", line, "work", of: 3) }
    func module(_ line: Int32) -> MadeFrame { .python("/srv/main.py", line, "<module>", of: 1) }
    let fit = MadeFrame.native("/usr/lib/libfit.so", "fit")
    return Profile(
      period: 1_000_000,
      [
        ([work(4), module(20)], 2), ([work(5), module(20)], 3), ([fit, work(5), module(21)], 4),
        ([work(4), work(6), module(21)], 1), ([.marker("[lost]")], 1),
      ])
  }

  /// Frames of all kinds, with names from every corner of Unicode.
  static var mixed: Profile {
    let module = MadeFrame.python("/srv/größe/main.py", 40, "<module>")
    let method = MadeFrame.python("/srv/größe/main.py", 12, "Läufer.übergib.<locals>.λ")
    let astral = MadeFrame.python("/srv/\u{1F40D}.py", 5, "蛇")
    let dot = MadeFrame.native("/usr/lib/libblas.so.3", "void ns::dot<double>(double const*, int)")
    let start = MadeFrame.native("/usr/bin/python3.12", "_start")
    let fault = MadeFrame.kernel("asm_exc_page_fault")
    let lost = MadeFrame.marker("[native stack cut off]")
    return Profile(
      period: 1_000_000,
      [
        ([dot, method, module, start], 5), ([fault, dot, method, module, start], 2),
        ([astral, module, start], 1), ([method, lost], 4), ([], 6),
      ])
  }

  /// Two threads on a time line, in Python, C, C++ and the kernel, with a module in two places, a doubt and losses.
  static var run: Profile {
    var profile = Profile()
    profile.header.processID = 4711
    profile.header.command = "/usr/bin/python3 fit.py --all"
    profile.header.interpreter = "CPython 3.12.1"
    profile.header.period = 1_000_000
    profile.header.startTime = 1_700_000_000_123_456_789
    profile.header.duration = 20_000_000
    profile.threads = [ProfiledThread(tid: 4711, name: "python3"), ProfiledThread(tid: 4712, name: "worker")]
    profile.timeline = Timeline(start: 1_000_000_000)
    let module = MadeFrame.python("/srv/fit.py", 9, "<module>", of: 1)
    let work = MadeFrame.python("/srv/fit.py", 4, "work", of: 3)
    let workBelow = MadeFrame.python("/srv/fit.py", 5, "work", of: 3)
    let start = MadeFrame.native("/usr/bin/python3.12", "_start", .interpreter)
    let solve = MadeFrame.native("/usr/lib/libfit.so", "solve", .c)
    let dot = MadeFrame.native("/usr/lib/libfit.so", "dot<double>(double*)", .cplusplus)
    let fault = MadeFrame.kernel("asm_exc_page_fault")
    let lost = MadeFrame.marker("[unproven frames]")
    let samples: [(frames: [MadeFrame], thread: Int, milliseconds: UInt64)] = [
      ([module, start], 0, 1), ([solve, work, module, start], 0, 2), ([solve, work, module, start], 0, 3),
      ([dot, solve, work, module, start], 1, 3), ([work, lost], 0, 5), ([work, lost], 0, 6),
      ([fault, dot, workBelow, module, start], 0, 9), ([work, lost], 0, 11), ([], 1, 12),
      ([workBelow, work, module, start], 1, 14),
    ]
    for sample in samples {
      profile.add(sample.frames, thread: sample.thread, time: 1_000_000_000 + sample.milliseconds * 1_000_000)
    }
    profile.modules = [
      ProfiledModule(
        path: profile.intern(string: "/usr/lib/libfit.so"),
        buildID: "00112233445566778899aabbccddeeff01020304",
        ranges: [
          ProfiledModule.Range(start: 0x7F00_0000_1000, limit: 0x7F00_0000_3000, fileOffset: 0x1000),
          ProfiledModule.Range(start: 0x7F00_0010_1000, limit: 0x7F00_0010_3000, fileOffset: 0x1000),
        ]),
      ProfiledModule(
        path: profile.intern(string: "/usr/bin/python3.12"), buildID: "",
        ranges: [ProfiledModule.Range(start: 0x40_0000, limit: 0x50_0000, fileOffset: 0)]),
    ]
    profile.ledger.period = 1_000_000
    profile.ledger.runs = 13
    profile.ledger.emitted = 11
    profile.ledger.ringFull = 2
    profile.ledger.recordsRead = 11
    profile.ledger.whole = 7
    profile.ledger[damaged: .joinMismatch] = 3
    profile.ledger[dropped: .malformedRecord] = 1
    profile.ledger[.guessedNativeFrame] = 4
    profile.ledger.targetCPU = 14_000_000
    return profile
  }
}
