// Thread states that are lent, several states of one thread, and stacks that are switched inside of a thread: frames of
// another stack are never joined, and what is proven from the leaf outwards is kept.

import Accounting
import PythonChain
import Testing

@testable import MixedStacks
@testable import NativeUnwinding
@testable import PythonFrames

@Suite struct StackSwitchTests {
  /// A greenlet's chain ends where it began; the native stack goes on into frames that are not its callers.
  @Test func aSwitchedStackWithoutAKnownStart() throws {
    var joining = Joining()
    var halves = Halves("nLnnLn")
    halves.python(10)
    halves.loopEnd(in: 1)
    #expect(try joining.join(halves) == "n0 p10 L1 [root not known]")
    #expect(joining.mixed.damage == .rootNotKnown)
  }

  /// greenlet's own function is the start of each of its stacks.
  @Test func aGreenletsStartIsItsRoot() throws {
    var joining = Joining()
    joining.joiner.isStackSwitcher = { $0.canonicalFrameAddress == Halves.base + 0x400 }
    for functions in ["nLnnnLn", "nLnnnnn"] {
      var halves = Halves(functions, end: functions.hasSuffix("Ln") ? .outermost : .noUnwindInformation)
      halves.native.guesses = 1
      halves.native.frames[5].isGuessed = true
      halves.python(10)
      halves.loopEnd(in: 1)
      #expect(try joining.join(halves) == "n0 p10 L1 n2 n3")
      #expect(joining.mixed.damage == nil && !joining.mixed.remarks.contains(.guessedNativeFrame))
    }
    // Whether its Python half is known or not.
    for (status, text) in [
      (PYTHON_CHAIN_UNVERIFIED, "n0 [unverified] L1 n2 n3"),
      (PYTHON_CHAIN_NO_LAYOUT, "n0 [interpreter not yet known] L1 n2 n3"),
    ] {
      var halves = Halves("nLnnnLn")
      halves.status = status
      #expect(try joining.join(halves) == text)
    }
    // The main stack has no such start.
    var halves = Halves("nLnLn")
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(11)
    halves.loopEnd(in: 3)
    joining.joiner.isStackSwitcher = { _ in false }
    #expect(try joining.join(halves) == "n0 p10 L1 n2 p11 L3 n4")
    #expect(joining.mixed.damage == nil)
    // A call out of greenlet's own functions into Python is no start.
    joining.joiner.isStackSwitcher = { $0.canonicalFrameAddress == Halves.base + 0x300 }
    #expect(try joining.join(halves) == "n0 p10 L1 n2 p11 L3 n4")
    #expect(joining.mixed.damage == nil)
  }

  /// A fiber: its own stack is whole, and what lies on the stack that resumed it is not joined.
  @Test func framesOfAnotherStackAreNotJoined() throws {
    var joining = Joining()
    for boundary in [Halves.base + 0x10_0000, Halves.base - 0x10_0000] {
      var halves = Halves("nLnn")
      if boundary < Halves.base {
        halves.python(11)
        halves.loopEnd(at: boundary)
        halves.python(10)
        halves.loopEnd(in: 1)
      } else {
        halves.python(10)
        halves.loopEnd(in: 1)
        halves.python(11)
        halves.loopEnd(at: boundary)
      }
      #expect(try joining.join(halves) == "n0 p10 L1 n2 n3")
      #expect(joining.mixed.damage == nil)
    }
  }

  /// Beyond the end of what is known of the native stack only what lies on the same stack is joined.
  @Test func theEndOfTheStackBoundsWhatIsJoined() throws {
    var joining = Joining()
    func halves(boundary: UInt64, stackEnd: UInt64, isLent: Bool = false) -> Halves {
      var halves = Halves("nLn", end: .snapshotExhausted)
      halves.stackEnd = stackEnd
      halves.isLent = isLent
      halves.python(10)
      halves.loopEnd(in: 1)
      halves.python(11)
      halves.loopEnd(at: boundary)
      return halves
    }
    let both = "n0 p10 L1 n2 [truncated native stack] p11"
    let one = "n0 p10 L1 n2 [truncated native stack]"
    let near = Halves.base + 0x8000
    #expect(try joining.join(halves(boundary: near, stackEnd: near + 8)) == both)
    #expect(try joining.join(halves(boundary: near, stackEnd: near + 8, isLent: true)) == both)
    #expect(try joining.join(halves(boundary: near, stackEnd: near)) == one)
    #expect(try joining.join(halves(boundary: near, stackEnd: 0)) == both)
    #expect(try joining.join(halves(boundary: near, stackEnd: 0, isLent: true)) == one)
    // A fiber's frames end where its native frames do.
    var fiber = halves(boundary: near, stackEnd: near + 8)
    fiber.isOther = true
    #expect(try joining.join(fiber) == one)
    // An end below the stack pointer is that of another stack.
    #expect(try joining.join(halves(boundary: near, stackEnd: Halves.base - 8)) == both)
    #expect(try joining.join(halves(boundary: Halves.base + 1 << 40, stackEnd: 0)) == one)
    #expect(try joining.join(halves(boundary: Halves.base + 1 << 40, stackEnd: Halves.base + 1 << 41)) == one)
    #expect(joining.mixed.damage == .nativeStackTruncated)
  }

  /// Two states of one thread: main, the interpreter it calls into, and back.
  @Test func statesOfTwoInterpreters() throws {
    var joining = Joining()
    var halves = Halves("nLnLnLn")
    halves.python(10)
    halves.loopEnd(in: 1)
    halves.python(12)
    halves.loopEnd(in: 5)
    halves.state()
    halves.python(11)
    halves.loopEnd(in: 3)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 p11 L3 n4 p12 L5 n6")
    #expect(joining.mixed.damage == nil)
    // The middle one is not found: its loop is marked, the others are proven.
    halves.entries.removeLast(3)
    #expect(try joining.join(halves) == "n0 p10 L1 n2 [unproven frames] L3 n4 p12 L5 n6")
    #expect(joining.mixed.damage == .joinMismatch)
  }

  /// A state that names another thread is believed where its boundary lies in a known loop, and nowhere else.
  @Test func aLentStateMustProveItself() throws {
    var joining = Joining()
    var halves = Halves("nLn")
    halves.isLent = true
    halves.python(10)
    halves.loopEnd(in: 1)
    #expect(try joining.join(halves) == "n0 p10 L1 n2")
    #expect(joining.mixed.damage == nil)
    // What an ended thread left behind on memory that is this thread's stack now.
    halves = Halves("nnn")
    halves.isLent = true
    halves.python(10)
    halves.loopEnd(in: 1)
    #expect(try joining.join(halves) == "n0 n1 n2")
    #expect(joining.mixed.damage == nil && joining.joiner.loopFunctions == [0x1000])
  }

  /// The innermost loop may have no frame where it really is being entered or left, and nowhere else.
  @Test func aLoopThatIsNotBeingEntered() throws {
    var joining = Joining()
    for isEntered in [true, false] {
      joining.joiner.isEnteredOrLeft = { _ in isEntered }
      for functions in ["Lnn", "nLn"] {
        var halves = Halves(functions)
        halves.status = PYTHON_CHAIN_NO_THREAD
        let text = try joining.join(halves)
        #expect(text.contains("[unproven frames]") != isEntered)
        #expect(joining.mixed.damage == (isEntered ? nil : .noThreadState))
      }
      var halves = Halves("LnLn")
      halves.python(11)
      halves.loopEnd(in: 2)
      #expect(
        try joining.join(halves)
          == (isEntered ? "L0 n1 p11 L2 n3" : "[unproven frames] L0 n1 p11 L2 n3"))
      #expect(joining.mixed.damage == (isEntered ? nil : .joinMismatch))
    }
  }

  /// A loop on the native stack and no chain for it: never whole.
  @Test func aLoopWithoutAThreadState() throws {
    var joining = Joining()
    for status in [PYTHON_CHAIN_NO_THREAD, PYTHON_CHAIN_NO_FRAMES] {
      var halves = Halves("nnLn")
      halves.status = status
      #expect(try joining.join(halves) == "n0 n1 [unproven frames] L2 n3")
      #expect(joining.mixed.damage == .noThreadState)
    }
  }
}
