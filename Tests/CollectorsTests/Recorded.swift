// Profiles of recorded runs.

import CaptureReplay
import Profiles

enum Recorded {
  static let names = Capture.all

  /// The profile of a recording; nil where its interpreter cannot be replayed.
  static func profile(_ name: String) throws -> Profile? {
    var profile = try Capture(named: name).profile()
    profile?.header.command = "recorded \(name)"
    return profile
  }
}
