// What was lost is in a Firefox Profiler file, each cause as a marker of its own.

import FlameGraphSupport
import Foundation
import Profiles
import Testing

@testable import Collectors

@Suite("Losses in a Firefox Profiler file")
struct GeckoLossTests {
  /// All objects of a file that say they are a loss, as text and count.
  private func losses(_ value: Any) -> [String: Int] {
    var found: [String: Int] = [:]
    if let object = value as? [String: Any] {
      if object["type"] as? String == "Loss", let text = object["what"] as? String {
        found[text] = object["count"] as? Int
      }
      for inner in object.values { found.merge(losses(inner)) { $1 } }
    } else if let list = value as? [Any] {
      for inner in list { found.merge(losses(inner)) { $1 } }
    }
    return found
  }

  @Test("Each cause has its words and its count; what did not happen is not there")
  func eachCause() throws {
    var profile = EveryLanguage.profile
    profile.ledger.ringFull = 3
    profile.ledger.outputErrors = 4
    profile.ledger[dropped: .noUserRegisters] = 5
    profile.ledger.kernelLostSideband = 6
    profile.ledger.kernelLostNames = 7
    profile.ledger.lateRecords = 8
    profile.ledger.unopenedThreads = 9
    let file = try JSONSerialization.jsonObject(with: Data(GeckoCollector(profile).exported()))
    #expect(
      losses(file) == [
        "samples lost: no room in the ring": 3, "samples lost: output failed": 4,
        "samples dropped: no user registers (the thread was exiting)": 5,
        "notices of mappings, forks or exits lost": 6, "records of names lost": 7,
        "records that came after younger ones": 8, "threads that could not be opened": 9,
      ])
    let clean = try JSONSerialization.jsonObject(
      with: Data(GeckoCollector(EveryLanguage.profile).exported()))
    #expect(losses(clean).isEmpty)
  }
}
