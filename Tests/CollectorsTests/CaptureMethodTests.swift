// A run without the eBPF program is told from one with it in every file that has a head.

import Accounting
import Profiles
import Testing

@testable import Collectors

@Suite("How samples were taken") struct CaptureMethodTests {
  private static let method = "without eBPF (--no-bpf): readers of the real-time class"

  private static func profile(_ method: String) -> Profile {
    var profile = Profile.run
    profile.header.captureMethod = method
    profile.ledger.unverified[UnverifiedCause.running.rawValue] = 3
    return profile
  }

  private static func texts(_ profile: Profile) -> [(String, String)] {
    func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
    return [
      ("HTML", text(FlameGraphCollector(profile).exported())),
      ("SVG", text(FlameGraphPictureCollector(profile).exported())),
      ("speedscope", text(SpeedscopeCollector(profile).exported())),
      ("gecko", text(GeckoCollector(profile).exported())),
      ("jsonl", text(JsonlCollector(profile).exported())),
    ]
  }

  @Test("Each file says it, and says nothing of it where the program took the samples")
  func everyFile() throws {
    for (format, text) in Self.texts(Self.profile(Self.method)) {
      #expect(text.contains("without eBPF (--no-bpf): readers of the real-time class"), "\(format)")
    }
    for (format, text) in Self.texts(Self.profile("")) {
      #expect(!text.contains("without eBPF ("), "\(format)")
    }
  }

  @Test("pprof: a comment", .enabled(if: Python.readers != nil || Python.isRequired, withoutReaders))
  func pprof() throws {
    let file = try #require(try ReadFormats(Self.profile(Self.method)).pprof)
    #expect(file.comments.contains("Sampled \(Self.method)"), "\(file.comments)")
  }

  @Test("The whole ledger tells why Python frames are unverified, and does not speak of a program")
  func ledger() {
    let text = SamplingSummary(Self.profile(Self.method)).fullLedgerText
    #expect(text.contains("Python frames unverified because"), "\(text)")
    #expect(text.contains("3  \(UnverifiedCause.running.explanation)"), "\(text)")
    #expect(!text.contains("sampling program"), "\(text)")
  }
}
