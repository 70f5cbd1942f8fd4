// The kernel's version, and what versions lack that sampling is built on.

import Glibc

/// Major and minor number of a kernel.
public struct KernelVersion: Comparable, CustomStringConvertible, Sendable {
  /// 6 in 6.1.
  public var major: Int
  /// 1 in 6.1.
  public var minor: Int

  /// The oldest version that is supported.
  public static let oldestSupported = KernelVersion(6, 1)

  /// A version from its numbers.
  public init(_ major: Int, _ minor: Int) {
    self.major = major
    self.minor = minor
  }

  /// The version in a release as uname(2) gives it: `6.1.0-13-amd64`, `6.18-rc1`.
  public init?(release: String) {
    let parts = release.split { $0 == "." || $0 == "-" || $0 == "+" }.prefix(2).compactMap { Int($0) }
    guard parts.count == 2 else { return nil }
    self.init(parts[0], parts[1])
  }

  /// As in `6.1`.
  public var description: String { "\(major).\(minor)" }

  /// By major, then by minor number.
  public static func < (left: KernelVersion, right: KernelVersion) -> Bool {
    (left.major, left.minor) < (right.major, right.minor)
  }

  /// What sampling uses, and the version that brought it.
  private static let features: [(since: KernelVersion, name: String)] = [
    (KernelVersion(5, 8), "CAP_BPF and CAP_PERFMON"),
    (KernelVersion(5, 13), "events that threads inherit and processes do not"),
    (KernelVersion(5, 15), "a program's access to user registers"),
    (KernelVersion(5, 17), "bpf_loop"),
    (KernelVersion(6, 0), "the count of lost records"),
  ]

  /// The features that this version lacks, each with the version that brought it; empty for versions that are only
  /// too old to have been tried.
  public var lacks: [String] {
    Self.features.filter { self < $0.since }.map { "\($0.name) (\($0.since))" }
  }
}

extension KernelVersion {
  /// The running kernel's release, as uname(2) gives it.
  static func runningRelease() -> String {
    var name = utsname()
    guard unsafe uname(&name) == 0 else { return "" }
    return unsafe withUnsafeBytes(of: &name.release) { bytes in
      unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
