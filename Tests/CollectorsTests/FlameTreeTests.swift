// The tree of all stacks against a dictionary of their beginnings, and what the JSON of a page holds.

import FlameGraphSupport
import Foundation
import Profiles
import Testing

@testable import Collectors

@Suite("Tree of stacks")
struct FlameTreeTests {
  /// The frames that lead to a node, root first.
  private func paths(_ tree: FlameTree) -> [[FrameID]] {
    var path: [FrameID] = []
    return tree.frames.indices.map { node in
      path.removeSubrange((tree.depths[node] - 1)...)
      path.append(tree.frames[node])
      return path
    }
  }

  @Test(
    "Nodes are the distinct beginnings of stacks, with the samples below each",
    arguments: 1...20 as ClosedRange<UInt64>)
  func beginnings(seed: UInt64) throws {
    var random = RandomStacks(seed: seed)
    let stacks = random.stacks(10 * Int(seed), threads: 3, deepest: Int(seed))
    let profile = Profile(pictured: stacks, threads: ["a", "b", "c"])
    var totals: [[PictureFrame]: UInt64] = [:]
    var ends: [[PictureFrame]: UInt64] = [:]
    var ofThreads: [[PictureFrame]: [Int: UInt64]] = [:]
    for stack in stacks {
      let frames = stack.frames.isEmpty ? [PictureFrame.marker("[no frames]")] : stack.frames
      for length in 1...frames.count { totals[Array(frames.prefix(length)), default: 0] += stack.count }
      ends[frames, default: 0] += stack.count
      ofThreads[frames, default: [:]][stack.thread, default: 0] += stack.count
    }
    let tree = FlameTree(profile)
    let found = paths(tree).map { path in path.map { PictureFrame(tree.profile[$0], in: tree.profile) } }
    #expect(Set(found) == Set(totals.keys))
    #expect(found.count == totals.count)
    let (own, below) = (tree.selfWeights, tree.totalWeights)
    let samples = Dictionary(grouping: tree.samples, by: \.node)
    for (node, path) in found.enumerated() {
      #expect(below[node] == totals[path])
      #expect(own[node] == ends[path, default: 0])
      let found = samples[node, default: []].map { ($0.thread, $0.count) }
      #expect(Dictionary(uniqueKeysWithValues: found) == ofThreads[path, default: [:]])
    }
    #expect(own.reduce(0, +) == stacks.reduce(0) { $0 + $1.count })
    #expect(own.reduce(0, +) == profile.samples.reduce(0) { $0 + $1.count })
  }

  @Test("Depth-first order: each node's end is where its branch ends")
  func ends() {
    var random = RandomStacks(seed: 99)
    let tree = FlameTree(Profile(pictured: random.stacks(200, threads: 2, deepest: 9), threads: ["a", "b"]))
    for node in tree.frames.indices {
      let branch = tree.depths[(node + 1)...].prefix { $0 > tree.depths[node] }
      #expect(tree.ends[node] == node + 1 + branch.count)
    }
  }

  @Test("A stack of 200,000 frames needs no deep call stack")
  func deep() {
    let frame = PictureFrame.python("f", "/a.py", 1)
    let deep = PictureStack(frames: Array(repeating: frame, count: 200_000), count: 3)
    let tree = FlameTree(Profile(pictured: [deep]))
    #expect(tree.depths.last == 200_000)
    #expect(tree.totalWeights.first == 3)
  }

  @Test("Nothing gives a tree without nodes")
  func empty() {
    let tree = FlameTree(Profile())
    #expect(tree.frames.isEmpty && tree.samples.isEmpty && tree.children(of: nil).isEmpty)
  }
}

extension PictureFrame {
  /// A frame of a profile as a test writes it.
  init(_ frame: Frame, in profile: Profile) {
    self.init(
      kind: frame.kind, language: frame.language, name: profile[frame.name], file: profile[frame.file],
      line: frame.line, firstLine: frame.firstLine)
  }
}

@Suite("Data of the page")
struct FlameGraphDataTests {
  /// The JSON, read by Foundation.
  private struct Packed: Decodable {
    struct Frames: Decodable {
      let kind, language, name, label, file, line, firstLine: [Int]
    }
    struct Nodes: Decodable {
      let depth, frame: [Int]
    }
    struct Samples: Decodable {
      let node, thread: [Int]
      let count: [UInt64]
    }
    struct Language: Decodable {
      let id: String
    }
    struct Thread: Decodable {
      let tid: Int32
      let name: String
    }
    let title: String
    let facts: [[String]]
    let period: UInt64
    let languages: [Language]
    let strings: [String]
    let frames: Frames
    let nodes: Nodes
    let samples: Samples
    let threads: [Thread]
  }

  private func packed(_ profile: Profile) throws -> Packed {
    try JSONDecoder().decode(Packed.self, from: Data(FlameGraphCollector(profile).packed))
  }

  @Test("The tables give back every sample with its stack and its thread", arguments: [3, 8, 21] as [UInt64])
  func samples(seed: UInt64) throws {
    var random = RandomStacks(seed: seed)
    let stacks = random.stacks(300, threads: 3, deepest: 12)
    let packed = try packed(Profile(pictured: stacks, threads: ["a", "b", "c"]))
    let frames = packed.frames.kind.indices.map { index in
      PictureFrame(
        kind: FrameKind.allCases[packed.frames.kind[index]],
        language: FrameLanguage.allCases[packed.frames.language[index]],
        name: packed.strings[packed.frames.name[index]], file: packed.strings[packed.frames.file[index]],
        line: Int32(packed.frames.line[index]), firstLine: Int32(packed.frames.firstLine[index]))
    }
    var path: [PictureFrame] = []
    let paths = zip(packed.nodes.depth, packed.nodes.frame).map { depth, frame in
      path.removeSubrange((depth - 1)...)
      path.append(frames[frame])
      return path
    }
    var found: [PictureStack: UInt64] = [:]
    for index in packed.samples.node.indices {
      let key = PictureStack(
        frames: paths[packed.samples.node[index] - 1], thread: packed.samples.thread[index], count: 0)
      found[key, default: 0] += packed.samples.count[index]
    }
    var expected: [PictureStack: UInt64] = [:]
    for stack in stacks {
      let frames = stack.frames.isEmpty ? [PictureFrame.marker("[no frames]")] : stack.frames
      expected[PictureStack(frames: frames, thread: stack.thread, count: 0), default: 0] += stack.count
    }
    #expect(found == expected)
  }

  @Test("Header: command, interpreter, rate, CPU time, duration and date")
  func header() throws {
    let packed = try packed(EveryLanguage.profile)
    #expect(packed.title == "python3 fit.py --all")
    #expect(packed.period == 1_000_000)
    #expect(packed.threads.map(\.name) == EveryLanguage.threads)
    #expect(packed.threads.map(\.tid) == [4242, 4243, 4244])
    #expect(
      packed.facts == [
        ["Interpreter", "CPython 3.13.0"], ["Samples", "2,050"],
        ["Rate", "one per 1000 \u{B5}s of CPU time"],
        ["CPU time", "2.05 s"], ["Duration", "4.20 s"], ["Date", "2025-12-31 23:59:59 UTC"],
        ["Made by", "caduceus \(ProfileHeader.currentVersion)"],
      ])
  }

  @Test("Dates are those of Foundation's calendar")
  func dates() throws {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "UTC")
    format.dateFormat = "yyyy-MM-dd HH:mm:ss 'UTC'"
    for day in stride(from: 0 as UInt64, to: 90_000, by: 17) {
      let seconds = day * 86_400 + day * 7919 % 86_400
      let expected = format.string(from: Date(timeIntervalSince1970: Double(seconds)))
      #expect(RunFacts.date(seconds * 1_000_000_000 + 999_999_999) == expected)
    }
  }

  @Test("No character of a name can end the script or begin markup")
  func hostileNames() throws {
    let all = (0...0x2FFF).compactMap(Unicode.Scalar.init).reduce(into: "") { $0.unicodeScalars.append($1) }
    let names = [
      "</script><script>alert(1)</script>", "<!--", "]]>", "\\u003c", "\"};alert(1)//", "{{script}}", all,
      "\u{1F40D}",
    ]
    let stacks = names.map { PictureStack(frames: [.python($0, $0, 1)], count: 1) }
    var profile = Profile(pictured: stacks, threads: [names[0]])
    profile.header.command = names[0]
    let bytes = FlameGraphCollector(profile).packed
    #expect(
      !bytes.contains { [UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&")].contains($0) || $0 < 0x20 })
    let packed = try packed(profile)
    #expect(packed.frames.name.map { packed.strings[$0] } == names.map(printable))
    #expect(packed.title == names[0])
  }
}

@Suite("Colours of languages")
struct LanguageColorTests {
  /// Red, green and blue in linear light, 0 to 1 (IEC 61966-2-1).
  private func linear(_ color: String) -> [Double] {
    let value = UInt32(color.dropFirst(), radix: 16) ?? 0
    return [value >> 16, value >> 8, value].map { part in
      let part = Double(part & 0xFF) / 255
      return part <= 0.04045 ? part / 12.92 : pow((part + 0.055) / 1.055, 2.4)
    }
  }

  /// WCAG 2.2, contrast ratio.
  private func contrast(_ first: String, _ second: String) -> Double {
    let luminances = [first, second].map { color in
      zip(linear(color), [0.2126, 0.7152, 0.0722]).reduce(0) { $0 + $1.0 * $1.1 }
    }.sorted()
    return (luminances[1] + 0.05) / (luminances[0] + 0.05)
  }

  /// Oklab (Ottosson 2020), in which distance follows what is seen.
  private func oklab(_ light: [Double]) -> [Double] {
    func row(_ values: [Double], _ factors: [Double]) -> Double {
      zip(values, factors).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let cones = [
      [0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ].map { cbrt(row(light, $0)) }
    return [
      [0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.8086757660],
    ].map { row(cones, $0) }
  }

  /// Sight without one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1).
  private static let sights: [(name: String, matrix: [[Double]])] = [
    ("normal", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    (
      "no red cones",
      [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
      ]
    ),
    (
      "no green cones",
      [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
      ]
    ),
    (
      "no blue cones",
      [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
      ]
    ),
  ]

  @Test("Any two differ clearly for every kind of sight; what is no function is hatched besides")
  func distances() {
    let languages = FrameLanguage.allCases.filter { $0.color.stripe == nil }
    #expect(languages.count == FrameLanguage.allCases.count - 1)
    #expect(FrameLanguage.marker.color.stripe != nil)
    for sight in Self.sights {
      let seen = languages.map { language in
        let light = linear(language.color.fill)
        return oklab(
          sight.matrix.map { row in min(1, max(0, zip(row, light).reduce(0) { $0 + $1.0 * $1.1 })) })
      }
      for first in seen.indices {
        for second in seen.indices where second < first {
          let distance = sqrt(zip(seen[first], seen[second]).reduce(0) { $0 + pow($1.0 - $1.1, 2) })
          // 0.02 is where a difference is just noticed.
          #expect(distance > 0.08, "\(languages[first]) and \(languages[second]), \(sight.name)")
        }
      }
    }
  }

  @Test("Text on every colour has the contrast WCAG asks for", arguments: FrameLanguage.allCases)
  func textContrast(language: FrameLanguage) {
    #expect(contrast(language.color.fill, LanguageColor.textColor) >= 4.5)
    if let stripe = language.color.stripe { #expect(contrast(stripe, LanguageColor.textColor) >= 4.5) }
  }

  @Test("Identifiers and titles are distinct")
  func names() {
    #expect(Set(FrameLanguage.allCases.map(\.identifier)).count == FrameLanguage.allCases.count)
    #expect(Set(FrameLanguage.allCases.map(\.legendTitle)).count == FrameLanguage.allCases.count)
  }
}
