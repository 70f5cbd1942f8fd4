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
        ? file.hasPrefix("/opt/programs/") || (file.hasPrefix("<") && !file.hasPrefix("<frozen"))
        : file.hasSuffix("/situations.so") || file.hasSuffix("/accuracy.so")
      return isOwn && names.contains(name) ? name : nil
    }
  }
}

@Suite struct CaptureTests {
  @Test(arguments: Capture.whole, [NativeFrames.all, .extensions])
  func everyStackIsOneOfTheProgram(_ name: String, _ shown: NativeFrames) throws {
    let legal = try LegalPaths(Capture.program(name))
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

  /// Each thread's stacks are those of the function that the program says it ran.
  @Test func stacksAreThoseOfTheirThread() throws {
    let name = "many_threads-3.12"
    let text = try String(contentsOfFile: "\(Capture.folder)/\(name).threads", encoding: .utf8)
    var workers: [Int32: String] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      workers[try #require(Int32(words[0]))] = String(words[1])
    }
    let profile = try #require(try Capture(named: name).profile())
    var seen: Set<Int32> = []
    for sample in profile.samples {
      let tid = profile.threads[sample.thread].tid
      let names = profile.frames(of: sample.stack).map { profile[profile[$0].name] }
      let found = names.filter { $0.hasPrefix("worker_") }
      #expect(found == (workers[tid].map { [$0] } ?? []), "thread \(tid): \(names)")
      if !found.isEmpty { seen.insert(tid) }
    }
    #expect(seen == Set(workers.keys) && seen.count == 4)
  }

  /// numpy's loop over Python objects calls `element`: its C functions stand between the two Python frames, and nothing
  /// of them elsewhere in such a stack.
  @Test func numpyStandsWhereItCallsPython() throws {
    let profile = try #require(try Capture(named: "numpy_calls-3.11").profile())
    func isOfNumpy(_ frame: Frame) -> Bool {
      frame.kind == .native && profile[frame.file].contains("/_multiarray_umath.")
    }
    var (callbacks, product) = (UInt64(0), UInt64(0))
    for sample in profile.samples {
      let frames = profile.frames(of: sample.stack).reversed().map { profile[$0] }
      let names = frames.map { $0.kind == .python ? profile[$0.name] : "" }
      if let outer = names.firstIndex(of: "elements"), let inner = names.firstIndex(of: "element") {
        callbacks += sample.count
        #expect(frames[outer + 1..<inner].contains(where: isOfNumpy))
        #expect(!frames[..<outer].contains(where: isOfNumpy) && !frames[inner...].contains(where: isOfNumpy))
      }
      // The library that numpy brings for matrices.
      if names.contains("product"), frames.contains(where: { profile[$0.file].contains("openblas") }) {
        product += sample.count
      }
    }
    #expect(callbacks > 20 && product > 0, "\(callbacks), \(product)")
  }

  /// A stack of 90 KiB in a copy of 64: the inner frames, one marker, and the whole Python half.
  @Test func aTruncatedStackShowsBothEnds() throws {
    let name = "deep_stack-3.13"
    let legal = try LegalPaths(Capture.program(name))
    let path = try #require(legal.paths.first)
    let profile = try #require(try Capture(named: name).profile())
    var (samples, cut) = (UInt64(0), UInt64(0))
    for sample in profile.samples {
      samples += sample.count
      let frames = profile.frames(of: sample.stack).map { profile[$0] }
      let known = legal.known(frames, profile)
      let markers = frames.filter { $0.kind == .marker }.map { profile[$0.name] }
      #expect(path.starts(with: known), "\(known)")
      if markers.isEmpty { continue }
      cut += sample.count
      #expect(markers == ["[truncated native stack]"])
      // From the root: both Python frames, what is missing, and as many C frames as the copy holds.
      let marker = try #require(frames.reversed().firstIndex { $0.kind == .marker }?.base)
      #expect(frames[marker...].map { profile[$0.name] } == ["main", "<module>"])
      #expect((40...64).contains(known.count - 2), "\(known.count)")
      let inner = frames[..<marker].dropLast().drop { $0.kind == .kernel }
      #expect(inner.allSatisfy { profile[$0.name] == "acc_deep" }, "\(inner.map { profile[$0.name] })")
    }
    #expect(profile.ledger[damaged: .nativeStackTruncated] == cut && profile.ledger.whole == samples - cut)
    #expect(cut >= 50)
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
