// The flame graph as one HTML file: the page with the profile in it.

import FlameGraphPage
import Profiles

/// An interactive flame graph in one self-contained HTML file.
///
/// The page holds the tree of all stacks as tables of strings, frames, nodes and samples; everything else (which
/// threads, which direction, what is merged) is computed where it is looked at. Characters in names that would
/// break a line or turn the direction of writing are spelled as Python spells them.
public struct FlameGraphCollector: Collector {
  /// `html`.
  public static var fileExtension: String { "html" }

  /// Greatest length of a symbol on a box, in Unicode code points; its whole name is in the details.
  static let longestLabel = 60

  private let tree: FlameTree
  private let facts: RunFacts

  /// Merges the stacks of `profile`.
  public init(_ profile: Profile) {
    tree = FlameTree(profile)
    facts = RunFacts(profile)
  }

  /// The page as UTF-8.
  public func exported() -> [UInt8] { FlameGraphPage.page(showing: packed) }

  /// The profile as JSON.
  var packed: [UInt8] {
    let profile = tree.profile
    var json = ScriptSafeJSON()
    json.add(#"{"version":1,"title":"#)
    json.add(string: facts.title)
    json.add(#","facts":"#)
    json.add(array: facts.facts) { json, fact in
      json.add(array: [fact.term, fact.text]) { $0.add(string: $1) }
    }
    json.add(#","period":"#)
    json.add(number: profile.header.period)
    json.add(#","languages":"#)
    json.add(array: FrameLanguage.allCases) { Self.add($1, to: &$0) }
    addFrames(to: &json)
    json.add(#","nodes":{"depth":"#)
    json.add(numbers: tree.depths)
    json.add(#","frame":"#)
    json.add(numbers: tree.frames.lazy.map(\.index))
    json.add(#"},"samples":{"node":"#)
    // Node 0 of the page is the root.
    json.add(numbers: tree.samples.lazy.map { $0.node + 1 })
    json.add(#","thread":"#)
    json.add(numbers: tree.samples.lazy.map(\.thread))
    json.add(#","count":"#)
    json.add(numbers: tree.samples.lazy.map(\.count))
    json.add(#"},"processes":[{"pid":"#)
    json.add(number: profile.header.processID)
    json.add(#"}],"threads":"#)
    json.add(array: profile.threads) { json, thread in
      json.add(#"{"process":0,"tid":"#)
      json.add(number: thread.tid)
      json.add(#","name":"#)
      json.add(string: printable(thread.name))
      json.add("}")
    }
    json.add(#","ledger":{"lines":"#)
    json.add(array: facts.ledgerLines) { json, line in
      json.add(#"{"text":"#)
      json.add(string: line.text)
      json.add(line.isDoubt ? #","isDoubt":true}"# : #","isDoubt":false}"#)
    }
    json.add(#","all":"#)
    json.add(string: facts.wholeLedger)
    json.add("}}")
    return json.bytes
  }

  private static func add(_ language: FrameLanguage, to json: inout ScriptSafeJSON) {
    json.add(#"{"id":"#)
    json.add(string: language.identifier)
    json.add(#","title":"#)
    json.add(string: language.legendTitle)
    json.add(#","color":"#)
    json.add(string: language.color.fill)
    if let stripe = language.color.stripe {
      json.add(#","stripe":"#)
      json.add(string: stripe)
    }
    json.add("}")
  }

  /// The tables of strings and frames.
  private func addFrames(to json: inout ScriptSafeJSON) {
    let profile = tree.profile
    var strings: [String] = []
    var positions: [String: Int] = [:]
    func position(_ string: String) -> Int {
      if let known = positions[string] { return known }
      positions[string] = strings.count
      strings.append(string)
      return strings.count - 1
    }
    let names = profile.frames.map { position(printable(profile[$0.name])) }
    let files = profile.frames.map { position(printable(profile[$0.file])) }
    let labels = profile.frames.indices.map { index in
      let name = strings[names[index]]
      guard profile.frames[index].kind != .python else { return names[index] }
      return position(NameShortening.shorten(symbol: name, to: Self.longestLabel))
    }
    let columns: [(name: StaticString, values: [Int])] = [
      (#","frames":{"kind":"#, profile.frames.map { Int($0.kind.rawValue) }),
      (#","language":"#, profile.frames.map { FrameLanguage.allCases.firstIndex(of: $0.language) ?? 0 }),
      (#","name":"#, names), (#","label":"#, labels), (#","file":"#, files),
      (#","line":"#, profile.frames.map { Int($0.line) }),
      (#","firstLine":"#, profile.frames.map { Int($0.firstLine) }),
    ]
    json.add(#","strings":"#)
    json.add(array: strings) { $0.add(string: $1) }
    for column in columns {
      json.add(column.name)
      json.add(numbers: column.values)
    }
    json.add("}")
  }
}
