// Writes JSON (RFC 8259) as UTF-8, value after value, without a tree of it in memory.

import Profiles

/// JSON text that grows. The writer puts the commas; the caller opens and closes objects and lists, and gives each value
/// of an object its key.
struct JSONWriter {
  private(set) var bytes: [UInt8] = []
  /// Whether a value stands before the next one in the same object or list.
  private var follows = false

  private mutating func separate() {
    if follows { bytes.append(UInt8(ascii: ",")) }
    follows = true
  }

  /// An object, whose members `fill` writes.
  mutating func object(_ fill: (inout JSONWriter) -> Void) { nest("{", "}", fill) }

  /// A list, whose values `fill` writes.
  mutating func list(_ fill: (inout JSONWriter) -> Void) { nest("[", "]", fill) }

  private mutating func nest(
    _ opening: Unicode.Scalar, _ closing: Unicode.Scalar, _ fill: (inout JSONWriter) -> Void
  ) {
    separate()
    follows = false
    bytes.append(UInt8(ascii: opening))
    fill(&self)
    bytes.append(UInt8(ascii: closing))
    follows = true
  }

  /// The key of the next value.
  mutating func key(_ key: String) {
    separate()
    quote(key)
    bytes.append(UInt8(ascii: ":"))
    follows = false
  }

  mutating func null() { literal("null") }

  mutating func value(_ flag: Bool) { literal(flag ? "true" : "false") }

  private mutating func literal(_ text: String) {
    separate()
    bytes.append(contentsOf: text.utf8)
  }

  mutating func value(_ number: some FixedWidthInteger) {
    separate()
    if number < 0 { bytes.append(UInt8(ascii: "-")) }
    digits(UInt64(number.magnitude))
  }

  /// Nanoseconds as a number of milliseconds, exact to the nanosecond.
  mutating func milliseconds(_ nanoseconds: UInt64) {
    separate()
    digits(nanoseconds / 1_000_000)
    var rest = nanoseconds % 1_000_000
    guard rest > 0 else { return }
    bytes.append(UInt8(ascii: "."))
    var unit: UInt64 = 100_000
    while rest > 0 {
      bytes.append(UInt8(ascii: "0") + UInt8(rest / unit))
      rest %= unit
      unit /= 10
    }
  }

  private mutating func digits(_ number: UInt64) {
    let start = bytes.count
    var rest = number
    repeat {
      bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
      rest /= 10
    } while rest > 0
    bytes[start...].reverse()
  }

  mutating func value(_ text: String) {
    separate()
    quote(text)
  }

  private mutating func quote(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0..<0x20:
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(Self.hexadecimal[Int(byte >> 4)])
        bytes.append(Self.hexadecimal[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private static let hexadecimal = [UInt8]("0123456789abcdef".utf8)
}

extension JSONWriter {
  /// A member with its value.
  mutating func member(_ key: String, _ text: String) {
    self.key(key)
    value(text)
  }

  /// A member with its value.
  mutating func member(_ key: String, _ number: some FixedWidthInteger) {
    self.key(key)
    value(number)
  }

  /// A member with its value.
  mutating func member(_ key: String, _ flag: Bool) {
    self.key(key)
    value(flag)
  }

  /// A member that is an object.
  mutating func member(object key: String, _ fill: (inout JSONWriter) -> Void) {
    self.key(key)
    object(fill)
  }

  /// A member that is a list.
  mutating func member(list key: String, _ fill: (inout JSONWriter) -> Void) {
    self.key(key)
    list(fill)
  }

  /// A member that is a list of as many equal values.
  mutating func member(list key: String, repeating fill: (inout JSONWriter) -> Void, count: Int) {
    member(list: key) { list in
      for _ in 0..<count { fill(&list) }
    }
  }

  /// What is known of the run, and its ledger, for formats that let anything be added.
  mutating func members(of profile: Profile) {
    let header = profile.header
    member("version", header.version)
    member("command", header.command)
    member("interpreter", header.interpreter)
    if !header.captureMethod.isEmpty { member("sampled", header.captureMethod) }
    member("pid", header.processID)
    member("period_ns", header.period)
    member("start_time_ns", header.startTime)
    member("duration_ns", header.duration)
    member(object: "ledger") { object in
      for field in profile.ledger.fields { object.member(field.name, field.value) }
    }
  }
}
