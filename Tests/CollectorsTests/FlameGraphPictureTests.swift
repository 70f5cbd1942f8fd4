// The picture is valid XML, and its boxes are the profile's.

import FlameGraphSupport
import Foundation
import FoundationXML
import Profiles
import Testing

@testable import Collectors

/// An SVG file, read by libxml2.
private final class Picture: NSObject, XMLParserDelegate {
  struct Box {
    let language: String
    let x, y, width: Double
    var title = ""
    var text = ""

    /// The number of samples that the title says.
    var samples: UInt64? {
      let number = title.firstMatch(of: /([\d,]+) samples?/)?.1
      return number.flatMap { UInt64($0.replacing(",", with: "")) }
    }
  }

  private(set) var boxes: [Box] = []
  private(set) var words = ""
  private(set) var elements: Set<String> = []
  private(set) var attributes: Set<String> = []
  private(set) var size = (width: 0.0, height: 0.0)
  private var path: [String] = []

  init(_ bytes: [UInt8]) throws {
    super.init()
    let parser = XMLParser(data: Data(bytes))
    parser.delegate = self
    try #require(parser.parse(), "line \(parser.lineNumber): \(String(describing: parser.parserError))")
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes found: [String: String]
  ) {
    path.append(name)
    elements.insert(name)
    attributes.formUnion(found.keys)
    func number(_ key: String) -> Double { found[key].flatMap(Double.init) ?? -1 }
    if path == ["svg"] { size = (number("width"), number("height")) }
    guard path == ["svg", "svg"] else { return }
    let language = found["class"]?.split(separator: " ").last.map(String.init) ?? ""
    boxes.append(Box(language: language, x: number("x"), y: number("y"), width: number("width")))
  }

  func parser(_ parser: XMLParser, foundCharacters text: String) {
    switch path {
    case ["svg", "svg", "title"]: boxes[boxes.count - 1].title += text
    case ["svg", "svg", "text"]: boxes[boxes.count - 1].text += text
    case ["svg", "text"]: words += text
    default: break
    }
  }

  func parser(
    _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
  ) {
    path.removeLast()
    if path == ["svg"], name == "text" { words += "\n" }
  }

  /// Rows from the bottom; the first is the root's own box.
  var rows: [[Box]] {
    Dictionary(grouping: boxes, by: \.y).sorted { $0.key > $1.key }.map { $0.value.sorted { $0.x < $1.x } }
  }
}

@Suite("Flame graph picture")
struct FlameGraphPictureTests {
  private func picture(_ profile: Profile) throws -> Picture {
    try Picture(FlameGraphPictureCollector(profile).exported())
  }

  /// Every path of the tree with its samples, as the boxes say by where they are.
  private func tree(_ picture: Picture) -> [[String]: UInt64] {
    var tree: [[String]: UInt64] = [:]
    var below: [(box: Picture.Box, path: [String])] = []
    for (depth, row) in picture.rows.dropFirst().enumerated() {
      var next: [(box: Picture.Box, path: [String])] = []
      for box in row {
        let middle = box.x + box.width / 2
        let parent = below.first { $0.box.x <= middle && middle <= $0.box.x + $0.box.width + 0.7 }
        if depth > 0, parent == nil { Issue.record("\(box.title) hangs in the air") }
        let lines = box.title.split(separator: "\n").map(String.init)
        let path = (parent?.path ?? []) + [lines.dropLast(2).joined(separator: " ")]
        tree[path, default: 0] += box.samples ?? 0
        next.append((box, path))
      }
      below = next
    }
    return tree
  }

  @Test(
    "Boxes are the beginnings of stacks, the bottom row is the whole profile",
    arguments: [5, 6, 7, 8] as [UInt64])
  func boxes(seed: UInt64) throws {
    var random = RandomStacks(seed: seed)
    let stacks = random.stacks(40, threads: 2, deepest: 8)
    let profile = Profile(pictured: stacks, threads: ["a", "b"])
    var expected: [[String]: UInt64] = [:]
    for stack in stacks {
      var path: [String] = []
      for frame in stack.frames.isEmpty ? [.marker("[no frames]")] : stack.frames {
        let place = frame.kind == .python ? "\(frame.file):\(frame.line)" : frame.file
        path.append(place.isEmpty ? frame.name : "\(frame.name) \(place)")
        expected[path, default: 0] += stack.count
      }
    }
    let picture = try picture(profile)
    #expect(tree(picture) == expected)
    let samples = stacks.reduce(0) { $0 + $1.count }
    #expect(picture.rows[0].map(\.samples) == [samples])
    #expect(picture.rows[1].reduce(0) { $0 + ($1.samples ?? 0) } == samples)
    #expect(!picture.words.contains("left out"))
  }

  @Test("Names on boxes, the place and the share in titles, colours by language, no script")
  func everyLanguage() throws {
    let picture = try picture(EveryLanguage.profile)
    #expect(!picture.elements.contains("script"))
    #expect(!picture.attributes.contains { $0.hasPrefix("on") || $0.hasSuffix("href") })
    #expect(Set(picture.boxes.map(\.language)) == Set(FrameLanguage.allCases.map(\.identifier) + ["all"]))
    let main = try #require(picture.boxes.first { $0.text == "main  fit.py:37" })
    #expect(main.title == "main\n/srv/work/fit.py:37\nPython\n1,815 samples, 88.54%")
    #expect(main.language == "python")
    let product = try #require(picture.boxes.first { $0.language == "cplusplus" })
    #expect(product.text.hasPrefix("void Eigen::") && product.text.contains("…"))
    for fact in RunFacts(EveryLanguage.profile).facts {
      #expect(picture.words.contains("\(fact.term): \(fact.text)"))
    }
    #expect(picture.words.contains("python3 fit.py --all\n"))
    #expect(picture.words.contains("C 29.51%\n") && picture.words.contains("Missing or unproven 1.22%\n"))
    for line in SamplingSummary(EveryLanguage.profile).ledgerText.split(separator: "\n") {
      #expect(picture.words.replacing("\n", with: " ").contains(line))
    }
  }

  @Test("A box that is nearly as light as the paper has an edge, where there is room for one")
  func edges() throws {
    let stacks = [
      PictureStack(frames: [EveryLanguage.unknown], count: 997),
      PictureStack(frames: [EveryLanguage.fortran], count: 1),
      PictureStack(frames: [.native(.native, "a.so+0x10", "a.so")], count: 2),
    ]
    let text = String(
      decoding: FlameGraphPictureCollector(Profile(pictured: stacks)).exported(), as: UTF8.self)
    let classes = text.matches(of: /class="box ([a-z ]+)"/).map { String($0.1) }
    #expect(classes == ["edge native", "native", "fortran", "all"])
  }

  @Test("Nothing is outside of the picture, neighbours do not overlap")
  func inside() throws {
    let picture = try picture(EveryLanguage.profile)
    for box in picture.boxes {
      #expect(box.x >= 10 && box.x + box.width <= picture.size.width - 10 + 0.01)
      #expect(box.y >= 0 && box.y + 16 <= picture.size.height)
    }
    for row in picture.rows {
      for (left, right) in zip(row, row.dropFirst()) { #expect(left.x + left.width <= right.x + 0.01) }
    }
  }

  @Test("Any name gives valid XML")
  func hostileNames() throws {
    let all = (0...0x2FFF).compactMap(Unicode.Scalar.init).reduce(into: "") { $0.unicodeScalars.append($1) }
    let names = [
      "</title><script>alert(1)</script>", "]]>", "<!--", "&lt;&#0;", "\"'", all, "\u{FFFE}\u{FFFF}\u{1F40D}",
    ]
    let stacks = names.map {
      PictureStack(frames: [.python($0, "/tmp/" + $0, 1), .native(.c, $0, $0)], count: 9)
    }
    var profile = Profile(pictured: stacks)
    profile.header.command = all
    profile.header.interpreter = names[0]
    let picture = try picture(profile)
    #expect(!picture.elements.contains("script"))
    let titles = Set(picture.boxes.map { String($0.title.split(separator: "\n")[0]) })
    for name in names.dropLast() { #expect(titles.contains(printable(name))) }
  }

  @Test("Boxes narrower than a fraction of a pixel are left out, and their number is said")
  func narrow() throws {
    var stacks = (0..<50).map { PictureStack(frames: [.python("rare\($0)", "/a.py", 1)], count: 1) }
    stacks.append(PictureStack(frames: [.python("often", "/a.py", 2)], count: 1_000_000))
    let picture = try picture(Profile(pictured: stacks))
    #expect(picture.boxes.count == 2)
    #expect(picture.words.contains("50 boxes narrower than 0.25 px left out."))
  }

  @Test(
    "The picture ends where all boxes of a row have no room for a name, and says what is above",
    arguments: [(1, 20), (4, 5), (1, 24), (4, 6)] as [(Int, UInt64)])
  func tall(deepStacks: Int, count: UInt64) throws {
    let main = PictureFrame.python("main", "/a.py", 1)
    var stacks = [PictureStack(frames: [main, .python("work", "/a.py", 2)], count: 976)]
    for number in 0..<deepStacks {
      let frames = (0..<60).map { PictureFrame.python("import\(number)_\($0)", "/a.py", 3) }
      stacks.append(PictureStack(frames: [main] + frames, count: count))
    }
    let picture = try picture(Profile(pictured: stacks))
    // Three characters at 6.65 pixels and 6 pixels beside them, of 1,180 pixels: 2.2 % of the samples.
    let samples = UInt64(deepStacks) * count
    let isDrawn = samples >= 24
    #expect(picture.rows.count == (isDrawn ? 62 : 3))
    #expect(picture.size.height < (isDrawn ? 1200 : 300))
    let all = 976 + samples
    let share = fixed(Double(samples) / Double(all) * 100, decimals: 2)
    let words =
      "59 rows above left out, too narrow for any name: \(59 * deepStacks) boxes of 20 samples, \(share)%."
    #expect(picture.words.contains(words) == !isDrawn)
    #expect(picture.words.contains("left out") == !isDrawn)
  }

  @Test("A large profile keeps the picture small, and what is left out is counted")
  func large() throws {
    let profile = RandomStacks.large(nodes: 30_000)
    let bytes = FlameGraphPictureCollector(profile).exported()
    #expect(bytes.count <= FlameGraphPictureCollector.largestSize)
    let picture = try Picture(bytes)
    let narrow = try #require(picture.words.firstMatch(of: /([\d,]+) boxes narrower than/)?.1)
    let above = picture.words.firstMatch(of: /any name: ([\d,]+) boxes/)?.1 ?? "0"
    let leftOut = try [narrow, above].reduce(0) { try $0 + #require(Int($1.replacing(",", with: ""))) }
    #expect(picture.boxes.count - 1 + leftOut == FlameTree(profile).frames.count)
    #expect(picture.boxes.count > 100)
  }

  @Test("A recorded run's picture is valid and small", arguments: Recorded.names)
  func recorded(name: String) throws {
    let profile = try #require(try Recorded.profile(name))
    let bytes = FlameGraphPictureCollector(profile).exported()
    #expect(bytes.count <= FlameGraphPictureCollector.largestSize)
    #expect(try Picture(bytes).rows[0].map(\.samples) == [profile.samples.reduce(0) { $0 + $1.count }])
  }

  @Test("Without samples there is a picture that says so")
  func empty() throws {
    let picture = try picture(Profile())
    #expect(picture.boxes.map(\.title) == ["all: 0 samples"])
    #expect(picture.words.contains("process 0"))
  }
}
