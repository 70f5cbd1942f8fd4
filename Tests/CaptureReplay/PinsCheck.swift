// Asks, of each stack whose Python half was read in the interrupt, what its copy alone would have said.

import MixedStacks
import NativeUnwinding
import PerfEvents
import PythonFrames

/// What the copies said.
public struct PinsReport: Sendable, CustomStringConvertible {
  /// Samples with a whole Python half.
  public var samples = 0
  /// Evaluation loops in them that had called native code.
  public var loops = 0
  /// Loops of which the copy named the function.
  public var found = 0
  /// Of these: another function than the one at the loop's top.
  public var wrong = 0
  /// Of these: the right function at another instruction.
  public var otherInstruction = 0

  /// One line.
  public var description: String {
    "\(samples) samples, \(loops) loops, \(found) functions found, \(wrong) wrong, "
      + "\(otherInstruction) other instructions"
  }
}

/// Lets a `LoopPins` learn from each sample, and asks it before.
public struct PinsCheck: RecordHandler {
  let unwinder: NativeUnwinder
  let joiner: StackJoiner
  let layout: InterpreterLayout
  let frames = PythonFrameTable(codes: CodeTable())
  let memory: CodeMemory?
  let pins: LoopPins
  var addresses = AddressStack()
  var chain = DecodedChain()
  var mixed = MixedStack()
  /// What was found so far.
  public private(set) var report = PinsReport()

  /// `memory`: the running process; nil where code objects are believed to live on.
  public init(
    _ unwinder: NativeUnwinder, _ layout: InterpreterLayout, memory: CodeMemory?, pins: LoopPins = LoopPins()
  ) {
    self.unwinder = unwinder
    self.layout = layout
    self.memory = memory
    self.pins = pins
    joiner = StackJoiner { unwinder.functionStart(covering: $0) }
    addresses.keepsRegisters = true
  }

  /// Asks, compares and learns.
  public mutating func handle(sample: borrowing SampleRecord) {
    guard sample.hasRegisters, (try? chain.decode(sample.chain, codeAdaptive: layout.codeAdaptive)) != nil
    else { return }
    unwinder.unwind(sample.snapshot, into: &addresses)
    joiner.join(
      addresses, chain, frames, memory: memory,
      stack: StackExtent(
        start: sample.registers.stackPointer, end: chain.stackEnd, isOther: chain.isOnOtherStack),
      into: &mixed)
    guard mixed.damage == nil, !chain.groups.isEmpty else { return }
    report.samples += 1
    let found = pins.functions(addresses, sample.snapshot) { memory?.isAlive($0) ?? true }
    for group in chain.groups.indices where joiner.places[group] > 0 {
      report.loops += 1
      let place = joiner.places[group]
      guard let top = chain.groups[group].frames.first, let pin = found.first(where: { $0.loop == place })
      else { continue }
      report.found += 1
      let frame = chain.frames[top]
      if pin.code.key.code != frame.code || pin.code.key.fingerprint != frame.fingerprint {
        report.wrong += 1
      } else if pin.offset != frame.offset {
        report.otherInstruction += 1
      }
    }
    // A loop that is no group's: it was being entered or left.
    report.wrong += found.count { pin in !joiner.places.contains(pin.loop) }
    pins.learn(
      addresses, sample.snapshot, chain, places: joiner.places, frames, codeAdaptive: layout.codeAdaptive)
  }

  /// Names tell how long a code object is.
  public mutating func handle(names: borrowing PerfEvents.NamesRecord) {
    _ = try? frames.codes.add(names: names.names)
  }
  /// Mappings are those of the beginning.
  public mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {}
  /// Such a sample says nothing.
  public mutating func handleMalformedSample() {}
}
