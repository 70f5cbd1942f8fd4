// Small text helpers of the formats: names made safe for one line, numbers, basenames, alignment.

/// Text after the last `/`; the whole text when nothing follows it.
func basename(_ path: String) -> String {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return path }
  let tail = path[path.utf8.index(after: slash)...]
  return tail.isEmpty ? path : String(tail)
}

/// Whether a character would break a line of text: control characters and Unicode's line separators.
func breaksLines(_ scalar: Unicode.Scalar) -> Bool {
  scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028
    || scalar.value == 0x2029
}

/// `text` for a terminal: what would break the line, start an escape sequence or turn the direction of
/// writing is spelled as Python spells it (`\n`, `\x1b`, `\u202e`).
func printable(_ text: String) -> String {
  func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
    breaksLines(scalar) || (0x202A...0x202E).contains(scalar.value)
      || (0x2066...0x2069).contains(scalar.value)
  }
  guard text.unicodeScalars.contains(where: isHarmful) else { return text }
  var safe = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\n": safe += "\\n"
    case "\r": safe += "\\r"
    case "\t": safe += "\\t"
    case _ where isHarmful(scalar): safe += escaped(scalar)
    default: safe.unicodeScalars.append(scalar)
    }
  }
  return safe
}

/// `text` as Python's `repr` spells it: CPython sorts rows by such texts.
func pythonLiteral(_ text: String) -> String {
  let quote: Unicode.Scalar =
    text.unicodeScalars.contains("'") && !text.unicodeScalars.contains("\"") ? "\"" : "'"
  var literal = String(quote)
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\n": literal += "\\n"
    case "\r": literal += "\\r"
    case "\t": literal += "\\t"
    case "\\", quote: literal += "\\\(scalar)"
    case _ where isPrintable(scalar): literal.unicodeScalars.append(scalar)
    default: literal += escaped(scalar)
    }
  }
  return literal + String(quote)
}

/// Whether Python's `str.isprintable` holds for a character.
private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.properties.generalCategory {
  case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
  case .spaceSeparator: scalar == " "
  default: true
  }
}

/// `\xhh`, `\uhhhh` or `\Uhhhhhhhh`.
private func escaped(_ scalar: Unicode.Scalar) -> String {
  let digits = String(scalar.value, radix: 16)
  let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
  return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
}

/// A number that is not negative with `decimals` (0 to 3) digits after the point, rounded as C and Python do:
/// the exact binary value, ties to even.
public func fixed(_ value: Double, decimals: Int) -> String {
  let scale = [1, 10, 100, 1000][decimals] as UInt64
  var scaled: UInt64 = 0
  if value >= 0x1p53 {
    let whole = String(value < 0x1p64 ? UInt64(value) : .max)
    return decimals == 0 ? whole : whole + "." + String(repeating: "0", count: decimals)
  }
  if value.isNormal, value > 0 {
    let product = (value.significandBitPattern | 1 << 52) * scale
    let shift = 52 - Int(value.exponent)
    if shift == 0 {
      scaled = product
    } else if shift < 64 {
      scaled = product >> shift
      let rest = product & (1 << shift - 1)
      let half: UInt64 = 1 << (shift - 1)
      if rest > half || (rest == half && scaled & 1 == 1) { scaled += 1 }
    }
  }
  guard decimals > 0 else { return String(scaled) }
  let fraction = String(scaled % scale)
  return "\(scaled / scale)." + String(repeating: "0", count: decimals - fraction.count) + fraction
}

/// `part` of `whole` in percent; 0 of nothing is 0.
func percent(_ part: UInt64, of whole: UInt64) -> Double {
  whole == 0 ? 0 : Double(part) / Double(whole) * 100
}

/// Digits in groups of three: `1,234,567`.
func grouped(_ number: UInt64) -> String {
  var text = ""
  let digits = String(number)
  for (position, digit) in digits.enumerated() {
    if position > 0, (digits.count - position) % 3 == 0 { text.append(",") }
    text.append(digit)
  }
  return text
}

/// `text` moved to the right end of a column; widths count Unicode code points, as Python does.
func rightAligned(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.unicodeScalars.count)) + text
}

/// Whether `left` comes before `right` by code points.
func precedes(_ left: String, _ right: String) -> Bool {
  left.utf8.lexicographicallyPrecedes(right.utf8)
}
