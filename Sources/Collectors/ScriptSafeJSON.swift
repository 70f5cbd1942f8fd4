// JSON that can stand in an HTML page: nothing in it ends a script or begins anything else.

/// JSON text under construction, in UTF-8.
struct ScriptSafeJSON {
  private(set) var bytes: [UInt8] = []

  /// Adds text of the format itself.
  mutating func add(_ syntax: StaticString) {
    unsafe bytes.append(
      contentsOf: UnsafeBufferPointer(start: syntax.utf8Start, count: syntax.utf8CodeUnitCount))
  }

  /// Adds a string. What HTML or JavaScript could take for more than text is escaped.
  mutating func add(string: String) {
    bytes.append(UInt8(ascii: "\""))
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"", "\\", "<", ">", "&", "'", "\u{7F}", "\u{2028}", "\u{2029}", "\u{0}"..<" ":
        let digits = String(scalar.value, radix: 16)
        bytes.append(contentsOf: "\\u".utf8)
        bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 4 - digits.utf8.count))
        bytes.append(contentsOf: digits.utf8)
      default:
        bytes.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  mutating func add(number: some BinaryInteger) { bytes.append(contentsOf: String(number).utf8) }

  /// Adds an array; `add` adds one element.
  mutating func add<Elements: Sequence>(
    array elements: Elements, _ add: (inout ScriptSafeJSON, Elements.Element) -> Void
  ) {
    var isFirst = true
    bytes.append(UInt8(ascii: "["))
    for element in elements {
      if !isFirst { bytes.append(UInt8(ascii: ",")) }
      isFirst = false
      add(&self, element)
    }
    bytes.append(UInt8(ascii: "]"))
  }

  mutating func add(numbers: some Sequence<some BinaryInteger>) {
    add(array: numbers) { $0.add(number: $1) }
  }
}
