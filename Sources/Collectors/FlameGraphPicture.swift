// Writes one SVG picture of a laid out tree: head, legend, boxes, foot.

import Profiles

/// One picture. Lengths are CSS pixels.
struct FlameGraphPicture {
  private static let width = 1200.0
  private static let margin = 10.0
  private static let rowHeight = 16.0
  /// Advance of one character of the boxes' monospaced font at its size of 11 pixels; a narrower font leaves room.
  private static let characterWidth = 6.65
  /// Characters that a name must have room for, and what is beside them in a box.
  private static let leastCharacters = 3
  private static let padding = 6.0
  /// Boxes of one row that all together are narrower than this have no room for any name.
  private static let nameWidth = padding + Double(leastCharacters) * characterWidth
  /// Characters in one line of the foot.
  private static let lineLength = 165

  private let layout: PictureLayout
  private let facts: RunFacts
  private let narrowest: Double
  private var text = ""
  private var top = 0.0
  private var leftOut: UInt64 = 0
  /// What is above the last row that is drawn: rows, their boxes, and the samples that reach there.
  private var above = (rows: 0, boxes: UInt64(0), samples: UInt64(0))

  /// The whole file, in UTF-8.
  private(set) var bytes: [UInt8] = []

  /// Draws everything that is at least `narrowest` wide, up to the row above which no name has room: stacks of a pixel's
  /// width, such as deep imports, would make the picture many times as high.
  init(_ layout: PictureLayout, _ facts: RunFacts, narrowest: Double) {
    self.layout = layout
    self.facts = facts
    self.narrowest = narrowest
    addHead()
    addLegend()
    addBoxes()
    addFoot()
    bytes = Array((opening + text + "</svg>\n").utf8)
  }

  private var opening: String {
    let (width, height) = (Self.number(Self.width), Self.number(top + Self.margin))
    var text = """
      <?xml version="1.0" encoding="UTF-8"?>
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" \
      viewBox="0 0 \(width) \(height)" role="img" aria-label="\(Self.escaped("Flame graph of " + facts.title))">
      <title>\(Self.escaped("Flame graph of " + facts.title))</title>
      <style>
      text{font:12px 'DejaVu Sans',Verdana,sans-serif;fill:\(LanguageColor.textColor)}
      .box text{font:11px 'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre}
      .head{font-size:15px;font-weight:bold}
      .quiet{fill:#55554f}
      .doubt{fill:#8c1c13;font-weight:bold}
      .all rect{fill:#c4c4bd}
      .edge rect{stroke:#c4c4bd}

      """
    var defined = ""
    for entry in layout.languages {
      let (name, color) = (entry.language.identifier, entry.language.color)
      if let stripe = color.stripe {
        defined += """
          <defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" \
          patternTransform="rotate(45)"><rect width="6" height="6" fill="\(color.fill)"/>\
          <rect width="2" height="6" fill="\(stripe)"/></pattern></defs>

          """
        text += ".\(name) rect{fill:url(#hatch);stroke:\(LanguageColor.textColor);stroke-width:1}\n"
        // Letters between stripes are hard to read.
        text += ".\(name) text{paint-order:stroke;stroke:\(color.fill);stroke-width:4px}\n"
      } else {
        text += ".\(name) rect{fill:\(color.fill)}\n"
      }
    }
    return text + "</style>\n" + defined + "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
  }

  private mutating func addHead() {
    top = 24
    addLine(Self.shortened(facts.title, to: 130), style: "head")
    for line in Self.wrapped(facts.facts.map { "\($0.term): \($0.text)" }, separator: "  \u{B7}  ") {
      addLine(line, style: "quiet")
    }
  }

  private mutating func addLine(_ line: String, style: String?) {
    let attribute = style.map { " class=\"\($0)\"" } ?? ""
    text += "<text x=\"\(Self.number(Self.margin))\" y=\"\(Self.number(top))\"\(attribute)>"
    text += Self.escaped(line) + "</text>\n"
    top += 17
  }

  private mutating func addLegend() {
    var left = Self.margin
    for entry in layout.languages {
      let words = "\(entry.language.legendTitle) \(share(entry.weight, of: layout.total))"
      let room = 20 + Double(words.unicodeScalars.count) * 7 + 14
      if left + room > Self.width - Self.margin, left > Self.margin {
        left = Self.margin
        top += 19
      }
      text +=
        "<g class=\"\(Self.edge(entry.language))\(entry.language.identifier)\"><rect x=\"\(Self.number(left))\" "
      text += "y=\"\(Self.number(top - 11))\" width=\"13\" height=\"13\"/></g>"
      text +=
        "<text x=\"\(Self.number(left + 19))\" y=\"\(Self.number(top))\">\(Self.escaped(words))</text>\n"
      left += room
    }
    top += 14
  }

  private mutating func addBoxes() {
    let scale = layout.total == 0 ? 0 : (Self.width - 2 * Self.margin) / Double(layout.total)
    // Each row is a part of the one below.
    let rows = layout.rows.prefix { Double($0.reduce(0) { $0 + $1.weight }) * scale >= Self.nameWidth }
    let drawn = rows.map { row in row.filter { Double($0.weight) * scale >= narrowest } }.prefix {
      !$0.isEmpty
    }
    leftOut = UInt64(rows.reduce(0) { $0 + $1.count } - drawn.reduce(0) { $0 + $1.count })
    if let first = layout.rows.dropFirst(rows.count).first {
      above.rows = layout.rows.count - rows.count
      above.boxes = UInt64(layout.rows.dropFirst(rows.count).reduce(0) { $0 + $1.count })
      above.samples = first.reduce(0) { $0 + $1.weight }
    }
    let bottom = top + Double(drawn.count) * Self.rowHeight
    for (depth, row) in drawn.enumerated() {
      let top = bottom - Double(depth + 1) * Self.rowHeight
      for box in row {
        addBox(at: Self.margin + Double(box.start) * scale, top, width: Double(box.weight) * scale, box)
      }
    }
    let words = "all: \(counted(layout.total, "sample"))"
    text += "<svg class=\"box all\" x=\"\(Self.number(Self.margin))\" y=\"\(Self.number(bottom))\" "
    text += "width=\"\(Self.number(Self.width - 2 * Self.margin))\" height=\"15\"><title>\(words)</title>"
    text += "<rect width=\"100%\" height=\"15\"/><text x=\"3\" y=\"11\">\(words)</text></svg>\n"
    top = bottom + Self.rowHeight + 20
  }

  /// A box is a picture in the picture: what does not fit is cut at its edge, whatever font there is.
  private mutating func addBox(at left: Double, _ top: Double, width: Double, _ box: PictureLayout.Box) {
    let profile = layout.tree.profile
    let frame = layout.tree.frame(of: box.node)
    let (name, file) = (printable(profile[frame.name]), printable(profile[frame.file]))
    let isPython = frame.kind == .python
    let place = isPython ? "\(file):\(frame.line)" : file
    let shortPlace = isPython ? "\(basename(file)):\(frame.line)" : basename(file)
    let amount = "\(counted(box.weight, "sample")), \(share(box.weight, of: layout.total))"
    let title = ([name, place].filter { !$0.isEmpty } + [frame.language.legendTitle, amount])
      .joined(separator: "\n")
    // A hair of the background between neighbours, where there is room for it.
    let shown = width > 3 ? width - 0.6 : width
    let edge = width > 4 ? Self.edge(frame.language) : ""
    text += "<svg class=\"box \(edge)\(frame.language.identifier)\" "
    text += "x=\"\(Self.number(left))\" y=\"\(Self.number(top))\" "
    text += "width=\"\(Self.number(shown))\" height=\"15\"><title>\(Self.escaped(title))</title>"
    text += "<rect width=\"100%\" height=\"15\"/>"
    let room = Int((shown - Self.padding) / Self.characterWidth)
    if room >= Self.leastCharacters {
      let label = isPython || shortPlace.isEmpty ? "\(name)  \(shortPlace)" : "\(name) (\(shortPlace))"
      let fits = label.unicodeScalars.count <= room
      let words = fits ? label : NameShortening.shorten(endOf: Self.label(name, frame, to: room), to: room)
      text += "<text x=\"3\" y=\"11\">\(Self.escaped(words))</text>"
    }
    text += "</svg>\n"
  }

  /// The class of what is nearly as light as the paper.
  private static func edge(_ language: FrameLanguage) -> String { language == .native ? "edge " : "" }

  private static func label(_ name: String, _ frame: Frame, to room: Int) -> String {
    frame.kind == .native ? NameShortening.shorten(symbol: name, to: max(room, 24)) : name
  }

  private mutating func addFoot() {
    func boxes(_ count: UInt64) -> String { count == 1 ? "1 box" : "\(grouped(count)) boxes" }
    if above.rows > 0 {
      let rows = above.rows == 1 ? "1 row" : "\(grouped(UInt64(above.rows))) rows"
      let samples = "\(counted(above.samples, "sample")), \(share(above.samples, of: layout.total))"
      addLine(
        "\(rows) above left out, too narrow for any name: \(boxes(above.boxes)) of \(samples).",
        style: "quiet")
    }
    if leftOut > 0 {
      addLine("\(boxes(leftOut)) narrower than \(fixed(narrowest, decimals: 2)) px left out.", style: "quiet")
    }
    for line in facts.ledgerLines {
      for part in Self.wrapped(line.text.split(separator: " ").map(String.init), separator: " ") {
        addLine(part, style: line.isDoubt ? "doubt" : nil)
      }
    }
    top -= 17
  }

  /// `parts` on as few lines as they need.
  private static func wrapped(_ parts: [String], separator: String) -> [String] {
    var lines: [String] = []
    for part in parts {
      if let last = lines.last, last.unicodeScalars.count + part.unicodeScalars.count < lineLength {
        lines[lines.count - 1] = last + separator + part
      } else {
        lines.append(shortened(part, to: lineLength))
      }
    }
    return lines
  }

  private static func shortened(_ text: String, to limit: Int) -> String {
    NameShortening.shorten(middleOf: text, to: limit)
  }

  /// A length with two digits after the point, without zeros at the end.
  private static func number(_ value: Double) -> String {
    var text = fixed(value, decimals: 2)
    while text.hasSuffix("0") { text.removeLast() }
    if text.hasSuffix(".") { text.removeLast() }
    return text
  }

  /// `text` for XML 1.0: markup escaped, and what no XML file may hold replaced.
  static func escaped(_ text: String) -> String {
    var safe = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": safe += "&amp;"
      case "<": safe += "&lt;"
      case ">": safe += "&gt;"
      case "\"": safe += "&quot;"
      case "\u{FFFE}", "\u{FFFF}", "\u{0}"..<"\t", "\u{B}"..<" ": safe.unicodeScalars.append("\u{FFFD}")
      default: safe.unicodeScalars.append(scalar)
      }
    }
    return safe
  }
}
