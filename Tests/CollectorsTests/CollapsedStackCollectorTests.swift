// One line per stack, whatever is in the names.

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
    #expect(try frame(.native("/l/x;y.so", "f(char [;])\n2")) == "f(char [:]) 2 (x:y.so)")
    #expect(
      try frame(.python("/a\r\nb.py", 1, "g\u{0}\u{1B}\u{85}\u{2028}\u{2029}\tx")) == "a  b.py:g      x:1")
    let all = (0...0x2FFF).compactMap(Unicode.Scalar.init).reduce(into: "") { $0.unicodeScalars.append($1) }
    for made in [MadeFrame.python("f.py", 1, all), .native("m.so", all), .kernel(all), .marker(all)] {
      let bytes = CollapsedStackCollector(Profile([([made, made], 1)])).exported()
      #expect(bytes.count { $0 == UInt8(ascii: "\n") } == 1)
      #expect(bytes.count { $0 == UInt8(ascii: ";") } == 1)
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
