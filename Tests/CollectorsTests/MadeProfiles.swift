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

  static func python(_ file: String, _ line: Int32, _ name: String, of firstLine: Int32 = 0) -> MadeFrame {
    MadeFrame(file: file, line: line, name: name, firstLine: firstLine)
  }

  static func native(_ module: String, _ symbol: String) -> MadeFrame {
    MadeFrame(kind: .native, file: module, name: symbol)
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

  mutating func add(_ stack: [MadeFrame], thread: Int = 0, count: UInt64 = 1) {
    var ids: [FrameID] = []
    for made in stack {
      ids.append(
        intern(
          frame: Frame(
            kind: made.kind, name: intern(string: made.name), file: intern(string: made.file),
            line: made.line, firstLine: made.firstLine)))
    }
    record(stack: ids.span, thread: thread, count: count)
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
}
