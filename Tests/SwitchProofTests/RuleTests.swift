// The rule on made-up records: what it accepts, and each way in which it refuses.

import Accounting
import Snapshots
import SwitchProof
import Testing

/// Times and registers of one interrupt; every test breaks one thing.
private struct Scene {
  static let interrupt: UInt64 = 1_000_000
  var head: UInt64 = 0xffff_ffff_ffff_f000
  var newest: SwitchRecord?
  var second: SwitchRecord?
  var third: SwitchRecord?
  var isComplete = false
  var since: UInt64 = 1000
  var registers = Scene.registers()

  init() {
    newest = SwitchRecord(.out, time: 1_030_100)
    second = SwitchRecord(.registers, time: 1_030_000, registers: registers)
    third = SwitchRecord(.in, time: 900_000)
  }

  static func registers(rax: UInt64 = 7) -> Registers {
    var registers = Registers()
    for number in 0..<Registers.count { registers[number] = 0x1000 + UInt64(number) }
    registers[0] = rax
    return registers
  }

  var history: SwitchHistory {
    SwitchHistory(
      head: head, newest: newest, second: second, third: third, isComplete: isComplete, since: since)
  }

  var refusal: UnverifiedCause? {
    SwitchProof.refusal(interruptedAt: Self.interrupt, with: registers, history)
  }

  var evidence: UnverifiedCause? { SwitchEvidence.refusal(interruptedAt: Self.interrupt, history) }
}

@Suite struct RuleTests {
  @Test func oneSwitchWithTheSameRegisters() {
    #expect(Scene().refusal == nil)
  }

  @Test func aSystemCallMayHaveReturned() {
    var scene = Scene()
    scene.second?.registers[0] = 42
    #expect(scene.refusal == nil)
  }

  @Test(arguments: 1..<Registers.count) func anyOtherRegister(_ number: Int) {
    var scene = Scene()
    scene.second?.registers[number] ^= 1 << 63
    #expect(scene.refusal == .registersDiffer)
  }

  @Test func notSwitchedAwayYet() {
    var scene = Scene()
    (scene.newest, scene.second) = (scene.third, SwitchRecord(.out, time: 800_000))
    #expect(scene.refusal == .running)
  }

  @Test func aboutToBeSwitchedAway() {
    var scene = Scene()
    (scene.newest, scene.second) = (scene.second, scene.third)
    #expect(scene.refusal == .running)
  }

  @Test func switchedBack() {
    var scene = Scene()
    (scene.third, scene.second) = (scene.second, scene.newest)
    scene.newest = SwitchRecord(.in, time: 1_050_000)
    #expect(scene.refusal == .running)
  }

  @Test func twoSwitches() {
    var scene = Scene()
    scene.third = SwitchRecord(.in, time: 1_010_000)
    #expect(scene.refusal == .switchedAgain)
  }

  /// The registers of the second switch are those of the interrupt all the same.
  @Test func twoSwitchesWithoutTheirRegisters() {
    var scene = Scene()
    scene.second = SwitchRecord(.in, time: 1_010_000)
    scene.third = SwitchRecord(.out, time: 1_005_000)
    #expect(scene.refusal == .switchedAgain)
  }

  @Test func theRegistersWereLost() {
    var scene = Scene()
    (scene.second, scene.third) = (scene.third, SwitchRecord(.out, time: 800_000))
    #expect(scene.refusal == .historyBroken)
  }

  @Test func theRegistersAreOlderThanTheInterrupt() {
    var scene = Scene()
    scene.second?.time = 999_000
    #expect(scene.refusal == .historyBroken)
  }

  @Test func theReturnBeforeWasLost() {
    var scene = Scene()
    scene.third = SwitchRecord(.out, time: 900_000)
    #expect(scene.refusal == .historyBroken)
  }

  @Test func aRecordOfAnotherKind() {
    for at in 0..<3 {
      var scene = Scene()
      let other = SwitchRecord(.other, time: at == 2 ? 900_000 : 1_030_050)
      if at == 0 {
        scene.newest = other
      } else if at == 1 {
        scene.second = other
      } else {
        scene.third = other
      }
      #expect(scene.refusal == .historyBroken, "record \(at)")
    }
  }

  @Test func aWrappedRing() {
    var scene = Scene()
    scene.third = nil
    #expect(scene.refusal == .historyBroken)
    scene.second = nil
    #expect(scene.refusal == .historyBroken)
  }

  @Test func theFirstSwitchThereEverWas() {
    var scene = Scene()
    scene.third = nil
    scene.isComplete = true
    #expect(scene.refusal == nil)
  }

  @Test func aRingThatIsYoungerThanTheInterrupt() {
    var scene = Scene()
    scene.third = nil
    scene.isComplete = true
    scene.since = 1_020_000
    #expect(scene.refusal != nil)
    scene.newest = nil
    scene.second = nil
    #expect(scene.refusal == .notWatched)
  }

  /// OUT comes 30.1 us after the interrupt in the scene.
  @Test func theStackIsAnotherOne() {
    func refusal(_ scene: Scene, isSame: Bool, inKernel: Bool) -> UnverifiedCause? {
      SwitchProof.refusal(
        stackIsSame: isSame, inKernel: inKernel, interruptedAt: Scene.interrupt, scene.history)
    }
    var scene = Scene()
    #expect(refusal(scene, isSame: true, inKernel: false) == nil)
    #expect(refusal(scene, isSame: false, inKernel: false) == .stackDiffers)
    // The end of a system call that writes to the stack.
    #expect(refusal(scene, isSame: false, inKernel: true) == nil)
    scene.newest = SwitchRecord(.out, time: Scene.interrupt + SwitchEvidence.longestGap)
    #expect(refusal(scene, isSame: false, inKernel: true) == .stackDiffers)
    #expect(refusal(scene, isSame: true, inKernel: true) == nil)
  }

  @Test func aSwitchDuringTheWalk() {
    let history = Scene().history
    #expect(SwitchProof.refusal(head: history.head, after: history) == nil)
    #expect(SwitchProof.refusal(head: history.head &- 24, after: history) == .switchedMeanwhile)
    #expect(SwitchProof.refusal(head: history.head &- 4096, after: history) == .switchedMeanwhile)
  }

  /// Without the kernel's part a ring holds no registers.
  private func evidenceScene() -> Scene {
    var scene = Scene()
    scene.second = scene.third
    scene.third = SwitchRecord(.out, time: 800_000)
    return scene
  }

  @Test func evidence() {
    var scene = evidenceScene()
    #expect(scene.evidence == nil)
    scene.newest?.time = Scene.interrupt + SwitchEvidence.longestGap
    #expect(scene.evidence == .leftTooLate)
    scene = evidenceScene()
    scene.second?.time = 1_010_000
    #expect(scene.evidence == .switchedAgain)
    scene = evidenceScene()
    scene.newest = SwitchRecord(.in, time: 1_050_000)
    #expect(scene.evidence == .running)
    scene = evidenceScene()
    scene.second = SwitchRecord(.out, time: 900_000)
    #expect(scene.evidence == .historyBroken)
    scene = evidenceScene()
    scene.second = nil
    #expect(scene.evidence == .historyBroken)
  }
}
