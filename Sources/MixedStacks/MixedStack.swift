// A merged stack: the native and the Python frames of one instant in one order.

import Accounting
import PythonFrames

/// Says in a stack that something is missing at its place.
public enum Marker: UInt8, CaseIterable, Sendable {
  /// The native stack between here and the next outer frame was not copied or could not be unwound.
  case truncatedNativeStack
  /// The Python frames from here inwards are not proven.
  case unprovenFrames
  /// Outer Python frames were more than are recorded.
  case deeperPythonFrames
  /// What Python ran here was read too late to be sure.
  case unverified
  /// The stack was switched here (greenlets, fibers): what further out resumed it is not known.
  case rootNotKnown
  /// Who called the code here is only a guess: the native frames up to the next proven one are left out.
  case unconfirmedCallers
  /// What Python ran here, if any, could not be read: the interpreter was not found yet.
  case interpreterNotYetKnown

  /// As it stands in a stack.
  public var text: String {
    switch self {
    case .truncatedNativeStack: "[truncated native stack]"
    case .unprovenFrames: "[unproven frames]"
    case .deeperPythonFrames: "[deeper Python frames]"
    case .unverified: "[unverified]"
    case .rootNotKnown: "[root not known]"
    case .unconfirmedCallers: "[unconfirmed callers]"
    case .interpreterNotYetKnown: "[interpreter not yet known]"
    }
  }
}

/// One frame of a merged stack.
public enum MixedFrame: Equatable, Sendable {
  /// A native frame: its position in the `AddressStack`.
  case native(Int)
  /// The native frame of an evaluation loop.
  case evaluationLoop(Int)
  /// A Python frame.
  case python(PythonFrameID)
  /// Something is missing.
  case marker(Marker)
}

/// A merged stack, leaf first, and what is to be said about it. One value is used for sample after sample.
public struct MixedStack: Sendable {
  /// Leaf first.
  public internal(set) var frames: [MixedFrame] = []
  /// Why it is not whole; nil where it is.
  public internal(set) var damage: DamageCause?
  /// What is doubtful in it.
  public internal(set) var remarks = Remarks()
  /// Positions in `AddressStack.frames` from which on outwards no Python frame follows; its count where none does.
  public internal(set) var outermostLoop: Int?
  /// The native frame before which a gap was marked last.
  var gapMarkedAt = -1
  /// Gaps that were marked.
  var gapsMarked = 0
  /// Whether the end of the known native frames is marked.
  var isEndMarked = false

  /// An empty stack.
  public init() { frames.reserveCapacity(512) }

  mutating func reset() {
    frames.removeAll(keepingCapacity: true)
    damage = nil
    remarks = Remarks()
    outermostLoop = nil
    gapMarkedAt = -1
    gapsMarked = 0
    isEndMarked = false
  }
}
