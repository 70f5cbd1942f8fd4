// Text of others that is safe to show: names of files and processes may hold anything.

/// The text with every character replaced by a blank that could steer a terminal or turn the direction of what follows:
/// control characters (C0, DEL, C1), line and paragraph separators, and the directional formatting characters of
/// Unicode (UAX #9).
func safeText(_ text: String) -> String {
  String(String.UnicodeScalarView(text.unicodeScalars.map { isSafe($0) ? $0 : " " }))
}

private func isSafe(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: false
  default: true
  }
}
