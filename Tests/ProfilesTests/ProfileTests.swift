// Interning: equal things get one id, counts add up, and growth of the tables changes nothing.

import Profiles
import Testing

private func frame(_ name: String, _ line: Int32, in profile: inout Profile) -> FrameID {
  profile.intern(
    frame: Frame(
      kind: .python, name: profile.intern(string: name), file: profile.intern(string: "m.py"), line: line))
}

@Test func equalStringsAndFramesShareAnID() {
  var profile = Profile()
  let first = profile.intern(string: "spin")
  #expect(profile.intern(string: "spin") == first)
  #expect(profile.intern(string: "spun") != first)
  #expect(profile.intern(string: "") == .empty)
  #expect(profile[first] == "spin")
  let one = frame("f", 1, in: &profile)
  #expect(frame("f", 1, in: &profile) == one)
  #expect(frame("f", 2, in: &profile) != one)
  #expect(profile.frames.count == 2)
}

@Test func namesAreComparedByteByByte() {
  var profile = Profile()
  let composed = profile.intern(string: "\u{E9}")
  #expect(profile.intern(string: "e\u{301}") != composed)
  #expect(profile.intern(string: "\u{E9}") == composed)
  #expect(ExactString("\u{E9}") != ExactString("e\u{301}"))
  #expect(ExactString("\u{E9}") == ExactString("\u{E9}"))
}

@Test func functionsThatBeginAtOtherLinesAreOtherFrames() {
  var profile = Profile()
  let (name, file) = (profile.intern(string: "f"), profile.intern(string: "m.py"))
  func frame(_ firstLine: Int32) -> FrameID {
    profile.intern(frame: Frame(kind: .python, name: name, file: file, line: 9, firstLine: firstLine))
  }
  #expect(frame(3) == frame(3))
  #expect(frame(3) != frame(4))
  #expect(profile[frame(4)].firstLine == 4)
}

@Test func samplesAddUpPerStackAndThread() {
  var profile = Profile()
  let leaf = frame("leaf", 3, in: &profile)
  let root = frame("root", 1, in: &profile)
  let short = [root]
  let long = [leaf, root]
  profile.record(stack: long.span, thread: 0)
  profile.record(stack: short.span, thread: 0)
  profile.record(stack: long.span, thread: 0, count: 4)
  profile.record(stack: long.span, thread: 1)
  let samples = profile.samples
  #expect(samples.map(\.count) == [5, 1, 1])
  #expect(samples.map(\.thread) == [0, 0, 1])
  #expect(Array(profile.frames(of: samples[0].stack)) == long)
  #expect(Array(profile.frames(of: samples[1].stack)) == short)
  #expect(samples[0].stack == samples[2].stack)
}

@Test func anEmptyStackIsAStack() {
  var profile = Profile()
  let none: [FrameID] = []
  profile.record(stack: none.span, thread: 0)
  profile.record(stack: none.span, thread: 0)
  #expect(profile.samples.map(\.count) == [2])
  #expect(profile.frames(of: profile.samples[0].stack).isEmpty)
}

/// Prefixes, permutations and rotations of one set of frames are different stacks, also after the tables grew.
@Test func manyStacksStayApart() {
  var profile = Profile()
  let frames = (0..<40).map { frame("f\($0)", Int32($0), in: &profile) }
  var expected: [[FrameID]: UInt64] = [:]
  var seed: UInt64 = 0x5EED
  func next(_ bound: Int) -> Int {
    seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(seed >> 33) % bound
  }
  for _ in 0..<20_000 {
    let start = next(40)
    let stack = (0..<next(40)).map { frames[(start + $0 * (1 + start % 3)) % 40] }
    profile.record(stack: stack.span, thread: 0)
    expected[stack, default: 0] += 1
  }
  var seen: [[FrameID]: UInt64] = [:]
  for sample in profile.samples { seen[Array(profile.frames(of: sample.stack)), default: 0] += sample.count }
  #expect(seen == expected)
  #expect(profile.samples.count == expected.count)
}
