// Frames that are named after sampling: what becomes equal becomes one, and nothing is lost or moved.

import Profiles
import Testing

@Suite struct FrameResolutionTests {
  private func native(_ name: String, in profile: inout Profile) -> Frame {
    Frame(
      kind: .native, name: profile.intern(string: name), file: profile.intern(string: "lib.so"), line: 0)
  }

  /// Six places of three functions, in stacks of which some become equal.
  private func made() -> (profile: Profile, places: [FrameID], root: FrameID) {
    var profile = Profile()
    profile.timeline = Timeline(start: 0)
    let unnamed = native("", in: &profile)
    let places = (0..<3).map { _ in profile.addProvisional(frame: unnamed) }
    let root = profile.intern(frame: native("root", in: &profile))
    let later = (0..<3).map { _ in profile.addProvisional(frame: unnamed) }
    let all = places + later
    for (index, thread) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (0, 1), (5, 0)] {
      profile.record(stack: [all[index], root].span, thread: thread, time: UInt64(index) * 1_000_000)
    }
    profile.record(stack: [all[0], all[3], root].span, thread: 0, count: 2, time: 9_000_000)
    return (profile, all, root)
  }

  @Test func placesStayApartUntilTheyAreNamed() {
    let (profile, places, _) = made()
    #expect(Set(places).count == 6)
    #expect(profile.frames.count == 7)
    #expect(profile.samples.count == 8)
  }

  @Test func equalOnesBecomeOneWhereTheFirstStood() throws {
    var (profile, places, root) = made()
    var final = profile.frames.map(Optional.init)
    // By place: b a b a c a.
    for (place, name) in zip(places, ["b", "a", "b", "a", "c", "a"]) {
      final[Int(place.index)] = native(name, in: &profile)
    }
    let ids = profile.resolve(final)
    #expect(profile.frames.map { profile[$0.name] } == ["b", "a", "root", "c"])
    #expect(places.map { ids[Int($0.index)]?.index } == [0, 1, 0, 1, 3, 1])
    #expect(ids[Int(root.index)]?.index == 2)
    let named = profile.samples.map { sample in
      profile.frames(of: sample.stack).map { profile[profile[$0].name] }.joined(separator: " ")
        + " \(sample.thread) \(sample.count)"
    }
    #expect(named == ["b root 0 2", "a root 0 3", "c root 1 1", "b root 1 1", "b a root 0 2"])
    // Interning goes on with the final frames.
    #expect(profile.intern(frame: native("c", in: &profile)).index == 3)
    #expect(profile.intern(frame: native("d", in: &profile)).index == 4)
  }

  @Test func theTimeLineKeepsEverySample() throws {
    var (profile, places, _) = made()
    var final = profile.frames.map(Optional.init)
    for place in places { final[Int(place.index)] = native("f", in: &profile) }
    let before = try #require(profile.timeline).map { ($0.time, $0.thread) }
    profile.resolve(final)
    let after = try #require(profile.timeline)
    #expect(after.map(\.time) == before.map(\.0))
    #expect(after.map(\.thread) == before.map(\.1))
    for sample in after { #expect([2, 3].contains(profile.frames(of: sample.stack).count)) }
    #expect(Set(after.map(\.stack)).count == 2)
  }

  @Test func framesAreTakenOutAndStacksChanged() {
    var (profile, places, root) = made()
    var final = profile.frames.map(Optional.init)
    for place in places { final[Int(place.index)] = native("f", in: &profile) }
    final[Int(places[0].index)] = nil
    var seen: UInt64 = 0
    profile.resolve(final) { stack, count in
      seen += count
      if stack.first == places[5] { stack = [root, root] }
    }
    #expect(seen == 9)
    #expect(profile.samples.map { profile.frames(of: $0.stack).count } == [1, 2, 2, 1, 2])
    #expect(profile.samples.map(\.count) == [1, 5, 1, 1, 1])
  }
}
