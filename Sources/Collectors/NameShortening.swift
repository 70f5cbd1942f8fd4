// Makes long native symbols short while the function's own name stays readable.

/// Shortening of demangled names to a number of Unicode code points. What was left out shows as `…`.
enum NameShortening {
  private static let cut: Unicode.Scalar = "\u{2026}"

  /// `symbol` in at most `limit` code points.
  ///
  /// First the contents of the outermost parameter lists go, the longest first, then those of the outermost
  /// template argument lists, each only while the name is still too long. What is too long even then, or
  /// has no such lists, loses its middle.
  static func shorten(symbol: String, to limit: Int) -> String {
    let scalars = Array(symbol.unicodeScalars)
    guard scalars.count > limit else { return symbol }
    let lists = bracketedLists(scalars)
    var removed: [Range<Int>] = []
    var length = scalars.count
    for kind in [BracketedList.Kind.parameters, .templateArguments] {
      let longestFirst = lists.filter { $0.kind == kind }.sorted {
        ($1.contents.count, $0.contents.lowerBound) < ($0.contents.count, $1.contents.lowerBound)
      }
      for list in longestFirst where length > limit && list.contents.count > 1 {
        removed.append(list.contents)
        length -= list.contents.count - 1
      }
    }
    removed.sort { $0.lowerBound < $1.lowerBound }
    var short: [Unicode.Scalar] = []
    var position = 0
    for contents in removed {
      short += scalars[position..<contents.lowerBound]
      short.append(cut)
      position = contents.upperBound
    }
    short += scalars[position...]
    return text(cutMiddle(short, to: limit))
  }

  /// `text` in at most `limit` code points, its middle replaced.
  static func shorten(middleOf text: String, to limit: Int) -> String {
    guard text.unicodeScalars.count > limit else { return text }
    return self.text(cutMiddle(Array(text.unicodeScalars), to: limit))
  }

  /// `text` in at most `limit` code points, its end replaced.
  static func shorten(endOf text: String, to limit: Int) -> String {
    guard text.unicodeScalars.count > limit else { return text }
    return self.text(text.unicodeScalars.prefix(max(0, limit - 1)) + [cut])
  }

  private static func cutMiddle(_ scalars: [Unicode.Scalar], to limit: Int) -> [Unicode.Scalar] {
    guard scalars.count > limit else { return scalars }
    let kept = max(0, limit - 1)
    return scalars.prefix(kept / 2) + [cut] + scalars.suffix(kept - kept / 2)
  }

  private static func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var text = ""
    text.unicodeScalars.append(contentsOf: scalars)
    return text
  }

  /// An outermost pair of brackets.
  private struct BracketedList {
    enum Kind { case parameters, templateArguments }
    let kind: Kind
    /// What is between the brackets.
    let contents: Range<Int>
  }

  /// The outermost lists of a C++ or Rust name. Brackets that belong to an operator's name or to an arrow
  /// are none; a bracket without its counterpart is ignored.
  private static func bracketedLists(_ name: [Unicode.Scalar]) -> [BracketedList] {
    var lists: [BracketedList] = []
    var open: [(bracket: Unicode.Scalar, position: Int)] = []
    var position = 0
    while position < name.count {
      let scalar = name[position]
      if let end = endOfOperator(name, at: position) {
        position = end
        continue
      }
      let isArrow = scalar == ">" && position > 0 && name[position - 1] == "-"
      if scalar == "(" || scalar == "<" {
        open.append((scalar, position))
      } else if scalar == ")" || scalar == ">", !isArrow {
        // A `>` inside of parentheses without a `<` there is a comparison; a `)` closes its own `(`,
        // whatever comparison was taken for a list in between.
        let wanted: Unicode.Scalar = scalar == ")" ? "(" : "<"
        let match = scalar == ")" ? open.lastIndex { $0.bracket == wanted } : open.indices.last
        if let match, open[match].bracket == wanted {
          let contents = open[match].position + 1..<position
          open.removeSubrange(match...)
          if open.isEmpty, !isAnonymousNamespace(name[contents]) {
            lists.append(
              BracketedList(kind: wanted == "(" ? .parameters : .templateArguments, contents: contents))
          }
        }
      }
      position += 1
    }
    return lists
  }

  private static let operatorWord = Array("operator".unicodeScalars)
  /// The operators whose names hold brackets, the longest first. Demanglers write a space between such a
  /// name and its template arguments (`operator<< <char>`).
  private static let bracketOperators = [
    "<<=", ">>=", "<=>", "->*", "<<", ">>", "->", "<=", ">=", "()", "<", ">",
  ].map { Array($0.unicodeScalars) }

  /// The end of an operator's name that begins at `start`, if one with brackets does.
  private static func endOfOperator(_ name: [Unicode.Scalar], at start: Int) -> Int? {
    guard name[start] == "o", name[start...].starts(with: operatorWord),
      start == 0 || !isPartOfIdentifier(name[start - 1])
    else { return nil }
    let rest = name[(start + operatorWord.count)...]
    return bracketOperators.first { rest.starts(with: $0) }.map { rest.startIndex + $0.count }
  }

  private static func isPartOfIdentifier(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isAlphabetic || ("0"..."9").contains(scalar)
  }

  private static func isAnonymousNamespace(_ contents: ArraySlice<Unicode.Scalar>) -> Bool {
    contents.elementsEqual("anonymous namespace".unicodeScalars)
  }
}
