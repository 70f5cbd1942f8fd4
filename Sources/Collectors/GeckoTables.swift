// The tables of one thread of a Firefox Profiler profile: stacks as a tree, frames, functions, resources; and what is
// shared by all threads: strings, libraries, categories.

import Profiles

/// The strings of all threads.
struct GeckoStrings {
  private(set) var all: [String] = []
  private var positions: [ExactString: Int] = [:]

  mutating func position(of text: String) -> Int {
    if let known = positions[ExactString(text)] { return known }
    positions[ExactString(text)] = all.count
    all.append(text)
    return all.count - 1
  }
}

/// What a frame is coloured by.
enum GeckoCategory {
  /// The format's own category of what has none; the one in grey.
  static let other = 0

  static func position(of language: FrameLanguage) -> Int { Int(language.rawValue) + 1 }

  /// One of the twelve names of colours that the format has.
  private static func color(_ language: FrameLanguage) -> String {
    switch language {
    case .python: "yellow"
    case .c: "blue"
    case .cplusplus: "lightblue"
    case .rust: "orange"
    case .cython: "green"
    case .fortran: "purple"
    case .interpreter: "brown"
    case .kernel: "red"
    case .jit: "magenta"
    case .marker: "lightred"
    case .native: "darkgrey"
    }
  }

  static func write(_ list: inout JSONWriter) {
    func write(_ name: String, _ color: String) {
      list.object { category in
        category.member("name", name)
        category.member("color", color)
        category.member(list: "subcategories") { $0.value("Other") }
      }
    }
    write("Other", "grey")
    for language in FrameLanguage.allCases { write(language.title, color(language)) }
  }
}

/// The modules that frames lie in, the kernel's included.
struct GeckoLibraries {
  private var paths: [(path: String, buildID: String)] = []
  private var positions: [StringID: Int] = [:]

  init(_ profile: Profile) {
    let builds = Dictionary(
      profile.modules.map { ($0.path, $0.buildID) }, uniquingKeysWith: { one, _ in one })
    for frame in profile.frames where frame.kind == .native || frame.kind == .kernel {
      guard frame.file != .empty, positions[frame.file] == nil else { continue }
      positions[frame.file] = paths.count
      paths.append((profile[frame.file], builds[frame.file] ?? ""))
    }
  }

  func position(of frame: Frame) -> Int? {
    frame.kind == .native || frame.kind == .kernel ? positions[frame.file] : nil
  }

  func write(_ list: inout JSONWriter) {
    for (path, buildID) in paths {
      list.object { library in
        library.member("arch", "x86_64")
        library.member("name", basename(path))
        library.member("path", path)
        library.member("debugName", basename(path))
        library.member("debugPath", path)
        library.member("breakpadId", Self.breakpadID(buildID))
        library.key("codeId")
        if buildID.isEmpty { library.null() } else { library.value(buildID) }
      }
    }
  }

  /// Breakpad's form of a build-id: its first 16 bytes as a GUID, whose first three fields are little-endian, and the
  /// age 0; empty where there is no build-id.
  static func breakpadID(_ buildID: String) -> String {
    guard !buildID.isEmpty else { return "" }
    let digits = Array((buildID + String(repeating: "0", count: 32)).prefix(32).uppercased())
    let order = [3, 2, 1, 0, 5, 4, 7, 6] + Array(8..<16)
    return order.map { String(digits[$0 * 2...$0 * 2 + 1]) }.joined() + "0"
  }
}

/// The stacks of one thread and everything they are made of.
struct GeckoTables {
  private struct FunctionKey: Hashable {
    let name: StringID
    let file: StringID
    let firstLine: Int32
    let isPython: Bool
  }

  private struct Function {
    let name: String
    let resource: Int
    let file: String?
    let firstLine: Int32
  }

  private let profile: Profile
  private let libraries: GeckoLibraries
  private var stackFrames: [Int] = []
  /// -1 for the outermost frame.
  private var stackPrefixes: [Int] = []
  private var children: [UInt64: Int] = [:]
  private var known: [StackID: Int] = [:]
  private var frames: [(frame: Frame, function: Int)] = []
  /// Row of a frame; -1 where it has none yet.
  private var rowOfFrame: [Int]
  private var functions: [Function] = []
  private var functionOfKey: [FunctionKey: Int] = [:]
  /// Libraries, in the order of the resource table.
  private var resources: [(library: Int, name: String)] = []
  private var resourceOfLibrary: [Int: Int] = [:]
  private var noFrames: Int?

  init(_ profile: Profile, _ libraries: GeckoLibraries) {
    self.profile = profile
    self.libraries = libraries
    rowOfFrame = Array(repeating: -1, count: profile.frames.count)
  }

  /// Makes the rows that these stacks need.
  mutating func use(_ stacks: [StackID]) {
    for stack in stacks where known[stack] == nil {
      var prefix = -1
      for id in profile.frames(of: stack).reversed() { prefix = child(of: prefix, row(of: id)) }
      if prefix < 0 { prefix = child(of: -1, rowWithoutFrames()) }
      known[stack] = prefix
    }
  }

  func position(of stack: StackID) -> Int { known[stack] ?? 0 }

  private mutating func child(of prefix: Int, _ frame: Int) -> Int {
    let key = UInt64(prefix + 1) << 32 | UInt64(frame)
    if let known = children[key] { return known }
    children[key] = stackFrames.count
    stackFrames.append(frame)
    stackPrefixes.append(prefix)
    return stackFrames.count - 1
  }

  private mutating func row(of id: FrameID) -> Int {
    let known = rowOfFrame[Int(id.index)]
    if known >= 0 { return known }
    let frame = profile[id]
    let key = FunctionKey(
      name: frame.name, file: frame.file, firstLine: frame.firstLine, isPython: frame.kind == .python)
    let function: Int
    if let known = functionOfKey[key] {
      function = known
    } else {
      function = functions.count
      functionOfKey[key] = function
      functions.append(
        Function(
          name: profile[frame.name], resource: resource(of: frame),
          file: frame.kind == .python ? profile[frame.file] : nil, firstLine: frame.firstLine))
    }
    rowOfFrame[Int(id.index)] = frames.count
    frames.append((frame, function))
    return frames.count - 1
  }

  private mutating func rowWithoutFrames() -> Int {
    if let noFrames { return noFrames }
    functions.append(Function(name: "[no frames]", resource: -1, file: nil, firstLine: 0))
    frames.append((Frame(kind: .marker, name: .empty, file: .empty, line: 0), functions.count - 1))
    noFrames = frames.count - 1
    return frames.count - 1
  }

  private mutating func resource(of frame: Frame) -> Int {
    guard let library = libraries.position(of: frame) else { return -1 }
    if let known = resourceOfLibrary[library] { return known }
    resourceOfLibrary[library] = resources.count
    resources.append((library, basename(profile[frame.file])))
    return resources.count - 1
  }

  /// A marker over each row of neighbouring samples that have the same mark of something missing.
  func doubts(of thread: GeckoThread) -> GeckoMarkers {
    var markers = GeckoMarkers()
    guard thread.weights.isEmpty else { return markers }
    var texts: [StackID: String] = [:]
    for (stack, time) in zip(thread.stacks, thread.times) {
      let text: String
      if let known = texts[stack] {
        text = known
      } else {
        let mark = profile.frames(of: stack).first { profile[$0].kind == .marker }
        text = mark.map { profile[profile[$0].name] } ?? ""
        texts[stack] = text
      }
      markers.extend(text, to: time, period: profile.header.period)
    }
    return markers
  }

  // MARK: Writing

  func write(_ strings: inout GeckoStrings, _ json: inout JSONWriter) {
    json.member(object: "stackTable") { table in
      table.member("length", stackFrames.count)
      table.member(list: "frame") { list in stackFrames.forEach { list.value($0) } }
      table.member(list: "prefix") { list in
        for prefix in stackPrefixes { if prefix < 0 { list.null() } else { list.value(prefix) } }
      }
    }
    json.member(object: "frameTable", writeFrames)
    json.member(object: "funcTable") { writeFunctions(&strings, &$0) }
    json.member(object: "resourceTable") { table in
      table.member("length", resources.count)
      table.member(list: "lib") { list in resources.forEach { list.value($0.library) } }
      table.member(list: "name") { list in resources.forEach { list.value(strings.position(of: $0.name)) } }
      table.member(list: "host", repeating: { $0.null() }, count: resources.count)
      // 1 is a library.
      table.member(list: "type", repeating: { $0.value(1) }, count: resources.count)
    }
    json.member(object: "nativeSymbols") { table in
      table.member("length", 0)
      for column in ["libIndex", "address", "name", "functionSize"] { table.member(list: column) { _ in } }
    }
  }

  private func writeFrames(_ table: inout JSONWriter) {
    let count = frames.count
    table.member("length", count)
    table.member(list: "address", repeating: { $0.value(-1) }, count: count)
    table.member(list: "inlineDepth", repeating: { $0.value(0) }, count: count)
    table.member(list: "category") { list in
      for row in frames { list.value(GeckoCategory.position(of: row.frame.language)) }
    }
    table.member(list: "subcategory", repeating: { $0.value(0) }, count: count)
    table.member(list: "func") { list in frames.forEach { list.value($0.function) } }
    table.member(list: "nativeSymbol", repeating: { $0.null() }, count: count)
    table.member(list: "innerWindowID", repeating: { $0.value(0) }, count: count)
    table.member(list: "line") { list in
      for row in frames { if row.frame.line > 0 { list.value(row.frame.line) } else { list.null() } }
    }
    table.member(list: "column", repeating: { $0.null() }, count: count)
  }

  private func writeFunctions(_ strings: inout GeckoStrings, _ table: inout JSONWriter) {
    let count = functions.count
    table.member("length", count)
    table.member(list: "name") { list in functions.forEach { list.value(strings.position(of: $0.name)) } }
    table.member(list: "isJS", repeating: { $0.value(false) }, count: count)
    table.member(list: "relevantForJS", repeating: { $0.value(false) }, count: count)
    table.member(list: "resource") { list in functions.forEach { list.value($0.resource) } }
    table.member(list: "fileName") { list in
      for function in functions {
        if let file = function.file { list.value(strings.position(of: file)) } else { list.null() }
      }
    }
    table.member(list: "lineNumber") { list in
      for function in functions {
        if function.firstLine > 0 { list.value(function.firstLine) } else { list.null() }
      }
    }
    table.member(list: "columnNumber", repeating: { $0.null() }, count: count)
  }
}
