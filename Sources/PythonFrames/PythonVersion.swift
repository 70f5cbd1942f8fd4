// Which CPython release an interpreter is, and which releases caduceus reads.

/// A CPython release, as `PY_VERSION_HEX` states it (Include/patchlevel.h).
public struct PythonVersion: Hashable, Sendable, CustomStringConvertible {
  /// `PY_VERSION_HEX`: major, minor, micro, then release level and serial.
  public let hex: UInt32

  /// The release whose `PY_VERSION_HEX` is `hex`.
  public init(hex: UInt32) { self.hex = hex }

  /// A final release.
  public init(major: UInt32, minor: UInt32, micro: UInt32) {
    hex = (major & 0xff) << 24 | (minor & 0xff) << 16 | (micro & 0xff) << 8 | 0xf0
  }

  /// 3 in 3.12.1.
  public var major: UInt32 { hex >> 24 }
  /// 12 in 3.12.1.
  public var minor: UInt32 { hex >> 16 & 0xff }
  /// 1 in 3.12.1.
  public var micro: UInt32 { hex >> 8 & 0xff }

  /// True where caduceus has a layout for it.
  public var isSupported: Bool { major == 3 && (11...13).contains(minor) }

  /// The supported releases, for messages.
  public static let supported = "3.11, 3.12, 3.13"

  /// As `python --version` writes it: `3.12.1`, `3.14.0rc2`.
  public var description: String {
    let serial = hex & 0xf
    let suffix =
      switch hex >> 4 & 0xf {
      case 0xa: "a\(serial)"
      case 0xb: "b\(serial)"
      case 0xc: "rc\(serial)"
      default: ""
      }
    return "\(major).\(minor).\(micro)\(suffix)"
  }
}
