// Joined stacks of recorded samples against what the sampled program says of itself.

import Accounting
import CaptureReplay
import Foundation
import Profiles
import Sampling
import Testing

/// What a captured program reported: the paths that may be in its stacks, from the root to the leaf.
struct LegalPaths {
  let paths: [[String]]
  let names: Set<String>

  init(_ program: String) throws {
    let text = try String(contentsOfFile: "\(Capture.folder)/\(program).paths", encoding: .utf8)
    paths = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    names = Set(paths.joined())
  }

  /// The stack's frames that the program knows, from the root to the leaf.
  func known(_ frames: [Frame], _ profile: Profile) -> [String] {
    frames.reversed().compactMap { frame in
      let name = profile[frame.name]
      let file = profile[frame.file]
      // The functions of the programs and of their extension; the standard library has a `main` or two as well.
      let isOwn =
        frame.kind == .python
        ? file.hasPrefix("/opt/programs/") || file == "<recursion>" : file.hasSuffix("/situations.so")
      return isOwn && names.contains(name) ? name : nil
    }
  }
}

@Suite struct CaptureTests {
  private static func program(_ capture: String) -> String {
    capture.hasPrefix("embed") ? "sandwich" : String(capture.prefix { $0 != "-" })
  }

  @Test(arguments: Capture.all, [NativeFrames.all, .extensions])
  func everyStackIsOneOfTheProgram(_ name: String, _ shown: NativeFrames) throws {
    let legal = try LegalPaths(Self.program(name))
    let capture = try Capture(named: name)
    let profile = try #require(capture.profile(shown: shown))
    var (samples, complete) = (UInt64(0), UInt64(0))
    for sample in profile.samples {
      samples += sample.count
      let frames = profile.frames(of: sample.stack).map { profile[$0] }
      let path = legal.known(frames, profile)
      #expect(legal.paths.contains { $0.starts(with: path) }, "\(path)")
      #expect(!path.isEmpty)
      #expect(!frames.contains { $0.kind == .marker })
      if legal.paths.contains(path) { complete += sample.count }
    }
    #expect(profile.ledger.whole == samples && samples >= 60)
    #expect(profile.ledger.damaged == 0 && profile.ledger.dropped == 0)
    #expect(profile.ledger[.namelessPythonFrame] == 0 && profile.ledger[.firstLineOnly] == 0)
    // Most of the time is spent in the leaves; without one complete stack nothing was tested.
    #expect(complete * 3 > samples)
  }

  /// The way of unwinding makes no difference to what is shown.
  @Test(arguments: Capture.all) func libunwindGivesTheSameProfile(_ name: String) throws {
    let capture = try Capture(named: name)
    func text(_ profile: Profile?) -> [String] {
      guard let profile else { return [] }
      return profile.samples.map { sample in
        profile.frames(of: sample.stack).map { profile[profile[$0].name] }.joined(separator: ";")
          + " \(sample.count)"
      }
    }
    let rows = text(capture.profile(shown: .all))
    #expect(rows == text(capture.profile(method: .libunwind, shown: .all)) && !rows.isEmpty)
  }
}
