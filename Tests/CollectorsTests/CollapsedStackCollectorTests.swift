// One line per stack, whatever is in the names.

import Foundation
import Profiles
import Testing

@testable import Collectors

@Suite("Collapsed stacks")
struct CollapsedStackCollectorTests {
  private func text(_ profile: Profile) -> String {
    String(decoding: CollapsedStackCollector(profile).exported(), as: UTF8.self)
  }

  private func frame(_ made: MadeFrame) throws -> String {
    let line = text(Profile([([made], 1)]))
    try #require(line.hasSuffix(" 1\n"))
    return String(line.dropLast(3))
  }

  @Test("Each kind of frame has its own form; the root comes first; the most frequent stack comes first")
  func forms() {
    #expect(
      text(.mixed) == """
        [no frames] 6
        _start (python3.12);main.py:<module>:40;main.py:Läufer.übergib.<locals>.λ:12;\
        void ns::dot<double>(double const*, int) (libblas.so.3) 5
        [native stack cut off];main.py:Läufer.übergib.<locals>.λ:12 4
        _start (python3.12);main.py:<module>:40;main.py:Läufer.übergib.<locals>.λ:12;\
        void ns::dot<double>(double const*, int) (libblas.so.3);asm_exc_page_fault ([kernel]) 2
        _start (python3.12);main.py:<module>:40;\u{1F40D}.py:蛇:5 1

        """)
  }

  @Test("Nothing gives an empty file")
  func empty() { #expect(text(Profile()).isEmpty) }

  @Test("Equal stacks of different threads are one line")
  func threads() {
    var profile = Profile([([.python("/a/x.py", 1, "f")], 2)])
    profile.threads.append(ProfiledThread(tid: 2, name: "other"))
    profile.add([.python("/a/x.py", 1, "f")], thread: 1, count: 3)
    profile.add([.python("/b/x.py", 1, "f")], thread: 1, count: 4)
    #expect(text(profile) == "x.py:f:1 9\n")
  }

  @Test("Each thread has its own lines where that is asked for; a thread without a name has its id")
  func withThreads() {
    var profile = Profile([([.python("/a/x.py", 1, "f")], 2), ([], 7)])
    profile.threads = [
      ProfiledThread(tid: 12, name: ""), ProfiledThread(tid: 13, name: "pool; 2\n"),
      ProfiledThread(tid: 14, name: "never sampled"),
    ]
    profile.add([.python("/a/x.py", 1, "f")], thread: 1, count: 3)
    profile.add([.python("/b/x.py", 1, "f")], thread: 1, count: 4)
    #expect(
      String(decoding: CollapsedStackCollector(profile, showsThreads: true).exported(), as: UTF8.self) == """
        tid:12;[no frames] 7
        tid:13 pool:_2 ;x.py:f:1 7
        tid:12;x.py:f:1 2

        """)
  }

  @Test("Stacks of equal counts are in the order of their text")
  func order() {
    func stack(_ names: String...) -> (frames: [MadeFrame], count: UInt64) {
      (names.reversed().map { .marker($0) }, 1)
    }
    let stacks = [
      stack("b"), stack("a", "c"), stack("a b"), stack("a"), stack("a", "b"), stack("a b", "a"),
      stack("a\u{E9}"), stack("aa"), stack("a<", "z"),
    ]
    let lines = text(Profile(stacks)).split(separator: "\n").map { $0.dropLast(2) }
    let sorted = lines.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    #expect(lines == sorted)
    #expect(lines.count == stacks.count)
  }

  @Test("A name cannot end a frame or a line")
  func hostileNames() throws {
    #expect(try frame(.native("/l/x;y.so", "f(char [;])\n2")) == "f(char [:])_2 (x:y.so)")
    #expect(
      try frame(.python("/a\r\nb.py", 1, "g\u{0}\u{1B}\u{85}\u{2028}\u{2029}\tx")) == "a  b.py:g      x:1")
    let all = (0...0x2FFF).compactMap(Unicode.Scalar.init).reduce(into: "") { $0.unicodeScalars.append($1) }
    for made in [MadeFrame.python("f.py", 1, all), .native("m.so", all), .kernel(all), .marker(all)] {
      let bytes = CollapsedStackCollector(Profile([([made, made], 1)])).exported()
      #expect(bytes.count { $0 == UInt8(ascii: "\n") } == 1)
      #expect(bytes.count { $0 == UInt8(ascii: ";") } == 1)
    }
  }

  @Test("Each reader sees the same stacks and the same counts, whatever is in the names")
  func readers() throws {
    let python = try #require(Python.newest)
    let names = [
      "plain", "a;b", "a\nb", "a\rb", "a 12", "12", " 12", "12 ", "x 3.5", "x 3.", "x 1/2 y", "a 1 2 b",
      "7 8",
      "a\u{2028}b", "a\u{A0}7\u{A0}b", "a\u{2003}7 b", "\u{FEFF}9\u{FEFF}", "\u{85}3\u{85}", "", " ", "\t",
      "\u{3000}",
      "ends in space ", "λ 7", "f_[k]", "--", "\u{1B}[0m", "a\u{0}b", "#", "٣ ٣ ٣",
    ]
    var profile = Profile()
    profile.header.period = 1_000_000
    var depths: [Int: Int] = [:]
    for (index, name) in names.enumerated() {
      profile.threads.append(ProfiledThread(tid: Int32(index + 1), name: name))
      let frames: [MadeFrame] = [
        .python("/l/\(name)", 3, name), .native("/l/\(name)", name), .native("", name), .kernel(name),
        .marker(name),
      ]
      for (offset, frame) in frames.enumerated() {
        // Each alone, and as the leaf and as the root; a count tells which stack it is.
        for (kind, stack) in [[frame], [frame, frames[0]], [frames[2], frame], [frames[0], frame]]
          .enumerated()
        {
          let count = 1000 * index + 10 * offset + kind + 1
          profile.add(stack, thread: index, count: UInt64(count))
          depths[count] = stack.count
        }
      }
    }
    for showsThreads in [false, true] {
      let collector = CollapsedStackCollector(profile, showsThreads: showsThreads)
      let read = try Self.read(collector, by: python)
      #expect(Set(read.keys) == ["flamegraph", "inferno", "speedscope"])
      for (reader, result) in read {
        #expect(result.problems.isEmpty, "\(reader)")
        #expect(result.stacks.reduce(0) { $0 + $1.count } == depths.keys.reduce(0, +), "\(reader)")
        #expect(result.stacks.allSatisfy { $0.frames.allSatisfy { !$0.isEmpty } }, "\(reader)")
        for stack in result.stacks {
          // Stacks of equal text were added up: their depths are equal, too.
          guard let depth = depths[stack.count] else { continue }
          #expect(stack.frames.count == depth + (showsThreads ? 1 : 0), "\(reader): \(stack.frames)")
        }
      }
      #expect(read["flamegraph"]?.sorted == read["speedscope"]?.sorted)
      // inferno leaves out white space around a line.
      #expect(read["flamegraph"]?.trimmed.sorted == read["inferno"]?.sorted)
    }
  }

  /// What a reader made of a file.
  private struct Read: Decodable {
    struct Stack: Decodable {
      let frames: [String]
      let count: Int

      init(frames: [String], count: Int) { (self.frames, self.count) = (frames, count) }

      init(from decoder: any Decoder) throws {
        var fields = try decoder.unkeyedContainer()
        (frames, count) = (try fields.decode([String].self), try fields.decode(Int.self))
      }
    }

    var stacks: [Stack]
    let problems: [String]

    var sorted: [String] { stacks.map { "\($0.frames) \($0.count)" }.sorted() }

    var trimmed: Read {
      var read = self
      read.stacks = stacks.map { stack in
        let line = stack.frames.joined(separator: ";").trimmingCharacters(in: .whitespacesAndNewlines)
        return Stack(
          frames: line.split(separator: ";", omittingEmptySubsequences: false).map(String.init),
          count: stack.count)
      }
      return read
    }
  }

  private static func read(_ collector: CollapsedStackCollector, by python: Python) throws -> [String: Read] {
    let folder = try TemporaryFolder()
    try collector.export(to: folder.path + "/stacks.txt")
    let output = try python.run([Python.program("read_collapsed.py"), folder.path + "/stacks.txt"])
    try #require(output.status == 0, "\(output.standardError)")
    return try JSONDecoder().decode([String: Read].self, from: Data(output.standardOutput.utf8))
  }

  @Test("The readers' rules find fault with what breaks them")
  func readersReject() throws {
    let python = try #require(Python.newest)
    let folder = try TemporaryFolder()
    let faults = ["a;b 1 2\n", "a;b\n", "ab 7 b;c 1\n", " 5\n"]
    for (index, fault) in faults.enumerated() {
      let path = "\(folder.path)/\(index)"
      try ExportedFile.write(Array(fault.utf8), to: path)
      let output = try python.run([Python.program("read_collapsed.py"), path])
      let read = try JSONDecoder().decode([String: Read].self, from: Data(output.standardOutput.utf8))
      #expect(read.values.contains { !$0.problems.isEmpty }, "\(fault)")
    }
  }

  @Test("A long Python name keeps its file and line and shows that it was cut")
  func longPython() throws {
    let long = String(repeating: "λ", count: 400)
    let text = try frame(.python("/srv/app.py", 12345, long))
    #expect(text.unicodeScalars.count == 300)
    #expect(text.hasPrefix("app.py:λλ"))
    #expect(text.hasSuffix("λ…:12345"))
    let both = try frame(.python(long, 7, "function"))
    #expect(both.unicodeScalars.count <= 300)
    #expect(both.hasSuffix("λ:function:7"))
    #expect(both.contains("λ…λ"))
  }

  @Test("A frame of exactly the greatest length is left alone")
  func exactLength() throws {
    let name = String(repeating: "n", count: 300 - "a.py::1".count)
    #expect(try frame(.python("a.py", 1, name)) == "a.py:\(name):1")
    let cut = try frame(.python("a.py", 1, name + "n"))
    #expect(cut == "a.py:\(name.dropLast())…:1")
    let symbol = String(repeating: "s", count: 300 - " (m.so)".count)
    #expect(try frame(.native("m.so", symbol)) == "\(symbol) (m.so)")
  }

  @Test("A long symbol keeps its own name and its module; a long marker shows that it was cut")
  func longNative() throws {
    let arguments = String(repeating: "std::vector<int>, ", count: 40) + "int"
    let text = try frame(.native("/l/mod.so", "ns::tmpl<\(arguments)>::run(\(arguments))"))
    #expect(text == "ns::tmpl<…>::run(…) (mod.so)")
    let kernel = try frame(.kernel(String(repeating: "k", count: 400)))
    #expect(kernel.unicodeScalars.count == 300)
    #expect(kernel.hasSuffix("k ([kernel])"))
    let marker = try frame(.marker("[" + String(repeating: "m", count: 400)))
    #expect(marker.unicodeScalars.count == 300)
    #expect(marker.hasSuffix("m…"))
  }

  @Test("Frames that became equal by being cut are one line")
  func mergedByCut() {
    let long = String(repeating: "x", count: 400)
    let profile = Profile([([.python("a.py", 1, long + "1")], 2), ([.python("a.py", 1, long + "2")], 3)])
    let lines = text(profile).split(separator: "\n")
    #expect(lines.count == 1)
    #expect(lines.first?.hasSuffix("…:1 5") == true)
  }
}
