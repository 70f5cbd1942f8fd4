// The time line gives back what was put in, in at most 16 bytes per sample.

import Testing

@testable import Profiles

@Suite("Time line")
struct TimelineTests {
  private struct Line: Equatable {
    var time: UInt64
    var thread: Int
    var line: Int32
  }

  private func profile(start: UInt64?, _ samples: [Line]) -> Profile {
    var profile = Profile()
    profile.timeline = Timeline(start: start)
    for sample in samples {
      let frame = [
        profile.intern(
          frame: Frame(kind: .python, name: .empty, file: profile.intern(string: "m.py"), line: sample.line))
      ]
      profile.record(stack: frame.span, thread: sample.thread, time: sample.time)
    }
    return profile
  }

  private func lines(_ profile: Profile) -> [Line] {
    var lines: [Line] = []
    guard let timeline = profile.timeline else { return [] }
    for sample in timeline {
      let frame = profile.frames(of: sample.stack).first.map { profile[$0] }
      lines.append(Line(time: sample.time, thread: sample.thread, line: frame?.line ?? -1))
    }
    return lines
  }

  @Test("Times are microseconds since the start; what is cut off of one does not add up")
  func times() {
    let samples = (0..<1000).map { index in
      Line(time: 5_000_000 + UInt64(index) * 1_999, thread: index % 3, line: Int32(index % 7))
    }
    let expected = samples.map { sample in
      Line(time: (sample.time - 5_000_000) / 1000 * 1000, thread: sample.thread, line: sample.line)
    }
    #expect(lines(profile(start: 5_000_000, samples)) == expected)
  }

  @Test("Without a start, the first sample is at 0")
  func firstIsStart() {
    let profile = profile(
      start: nil, [Line(time: 7_000_000, thread: 0, line: 1), Line(time: 9_000_000, thread: 0, line: 2)])
    #expect(lines(profile).map(\.time) == [0, 2_000_000])
    #expect(profile.timeline?.start == 7_000_000)
  }

  @Test("An older record counts as simultaneous; pauses of hours are kept")
  func order() {
    let hours: UInt64 = 3 * 3600 * 1_000_000_000
    let samples: [(UInt64, Int, Int32)] = [(5, 0, 1), (2_010, 0, 2), (1_010, 0, 3), (hours + 10, 1, 4)]
    let got = lines(profile(start: 10, samples.map { Line(time: $0.0, thread: $0.1, line: $0.2) }))
    #expect(got.map(\.time) == [0, 2_000, 2_000, hours])
    #expect(got.map(\.line) == [1, 2, 3, 4])
  }

  @Test("It is kept only when asked for, and the counts are the same without it")
  func optional() {
    let samples: [(UInt64, Int, Int32)] = [(1, 0, 1), (2, 0, 1), (3, 1, 2)]
    var kept = profile(start: 0, samples.map { Line(time: $0.0, thread: $0.1, line: $0.2) })
    kept.record(stack: [FrameID(index: 0)].span, thread: 0, count: 3, time: 4)
    #expect(kept.timeline?.count == 6)
    #expect(kept.samples.map(\.count) == [5, 1])
    var without = Profile()
    without.record(stack: [FrameID]().span, thread: 0, time: 1)
    #expect(without.timeline == nil)
  }

  @Test("At most 16 bytes per sample, the room for the next samples included")
  func memory() throws {
    var profile = Profile()
    profile.timeline = Timeline(start: 0)
    let stack: [FrameID] = []
    for index in 0..<600_000 { profile.record(stack: stack.span, thread: 0, time: UInt64(index) * 100_000) }
    let timeline = try #require(profile.timeline)
    #expect(timeline.count == 600_000)
    #expect(timeline.memory <= 600_000 * 16)
  }

  @Test("A frame's language can be told later; its identity moves with it")
  func languages() {
    var profile = Profile()
    let name = profile.intern(string: "dot")
    let native = Frame(kind: .native, name: name, file: .empty, line: 0)
    #expect(native.language == .native)
    let id = profile.intern(frame: native)
    profile.setLanguage(.fortran, of: id)
    #expect(profile[id].language == .fortran)
    var fortran = native
    fortran.language = .fortran
    #expect(profile.intern(frame: fortran) == id)
    #expect(Frame(kind: .python, name: name, file: .empty, line: 1).language == .python)
    #expect(Frame(kind: .kernel, name: name, file: .empty, line: 0).language == .kernel)
    #expect(Frame(kind: .marker, name: name, file: .empty, line: 0).language == .marker)
  }
}
