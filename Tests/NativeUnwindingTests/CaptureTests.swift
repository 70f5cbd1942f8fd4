// Stepping by rows against libunwind's own stepping, on every recorded snapshot, with the target's files absent.

import CaptureReplay
import PerfEvents
import Snapshots
import Testing

@testable import NativeUnwinding

@Suite struct CaptureTests {
  /// Address and CFA of each frame.
  private struct Place: Equatable, CustomStringConvertible {
    let address: UInt64
    let cfa: UInt64
    var description: String { "\(String(address, radix: 16))@\(String(cfa, radix: 16))" }
  }

  @Test(arguments: Capture.all) func rowsGiveWhatLibunwindGives(_ name: String) throws {
    let capture = try Capture(named: name)
    let space = capture.addressSpace()
    let rows = try #require(NativeUnwinder(addressSpace: space, memory: capture.memory))
    let oracle = try #require(
      NativeUnwinder(addressSpace: space, memory: capture.memory, method: .libunwind))
    var (stack, expected) = (AddressStack(), AddressStack())
    var (samples, whole, frames) = (0, 0, 0)
    var visitor = SampleVisitor(space, mappingsChanged: { rows.mappingsChanged() }) { sample in
      rows.unwind(sample.snapshot, into: &stack)
      oracle.unwind(sample.snapshot, into: &expected)
      let places = stack.frames.map { Place(address: $0.address, cfa: $0.canonicalFrameAddress) }
      #expect(places == expected.frames.map { Place(address: $0.address, cfa: $0.canonicalFrameAddress) })
      #expect(stack.frames.map(\.isInstructionPointer) == expected.frames.map(\.isInstructionPointer))
      #expect(stack.end == expected.end && stack.guesses == expected.guesses)
      samples += 1
      frames += stack.frames.count
      if stack.end == .outermost { whole += 1 } else { #expect(stack.end == .snapshotExhausted) }
      // A second look, now warm, gives the same.
      let cold = stack.frames
      rows.unwind(sample.snapshot, into: &stack)
      #expect(stack.frames == cold)
    }
    capture.replay(to: &visitor)
    #expect(samples >= 60 && frames > 5 * samples)
    #expect(Capture.whole.contains(name) ? whole == samples : whole * 4 < samples)
  }

  /// Cut short anywhere, a stack is the beginning of the whole one and says that it was cut.
  @Test(arguments: Capture.all) func aShorterCopyGivesTheBeginning(_ name: String) throws {
    let capture = try Capture(named: name)
    let space = capture.addressSpace()
    let rows = try #require(NativeUnwinder(addressSpace: space, memory: capture.memory))
    var (stack, cut) = (AddressStack(), AddressStack())
    var number = 0
    var visitor = SampleVisitor(space, mappingsChanged: { rows.mappingsChanged() }) { sample in
      number += 1
      guard number % 15 == 1 else { return }
      let snapshot = sample.snapshot
      rows.unwind(snapshot, into: &stack)
      for bytes in stride(from: 0, to: snapshot.stack.byteCount, by: 104) {
        rows.unwind(
          StackSnapshot(registers: snapshot.registers, stack: snapshot.stack.extracting(first: bytes)),
          into: &cut)
        // The last frame of a cut stack has no CFA of its own yet.
        let sure = cut.frames.dropLast()
        #expect(Array(sure) == Array(stack.frames.prefix(sure.count)))
        #expect(cut.frames.last?.address == stack.frames[cut.frames.count - 1].address)
        #expect(cut.end == .snapshotExhausted || cut.frames == stack.frames)
      }
    }
    capture.replay(to: &visitor)
  }
}
