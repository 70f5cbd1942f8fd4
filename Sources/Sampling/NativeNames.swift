// Frames for code addresses while sampling goes on, and their names once it is over.

import MixedStacks
import NativeUnwinding
import ProcessImages
import Profiles

/// Turns addresses of the target and of the kernel into frames of a profile. Not thread safe.
///
/// Reading the symbols of a large library takes seconds, in which the rings would overflow. So a native frame is a place
/// at first: a function's by the unwind information, or an address where that knows none. Places get their names, each
/// once, when sampling is over. What is read while samples wait is what unwinding needs anyway.
final class NativeNames {
  private struct Key: Hashable {
    let module: ObjectIdentifier
    let place: UInt64
  }

  private struct Place {
    let frame: FrameID
    let module: Module
    /// Where the frame was first seen.
    let virtualAddress: UInt64
    /// What an unnamed function is called by: its own first address, where it is known.
    let start: UInt64
  }

  private let addressSpace: AddressSpace
  private let unwinder: NativeUnwinder
  private let known = AddressCache(bits: 14, filler: FrameID(index: 0))
  private let kernel: LoadedKernelSymbols
  private var kernelFrames: [UInt64: FrameID] = [:]
  private var frames: [Key: FrameID] = [:]
  private var places: [Place] = []
  private var origins = FrameOrigins()

  init(addressSpace: AddressSpace, unwinder: NativeUnwinder, kernel: LoadedKernelSymbols) {
    self.kernel = kernel
    self.addressSpace = addressSpace
    self.unwinder = unwinder
  }

  /// A module holds an interpreter, whose functions have roles.
  func addInterpreter(_ path: String) { origins.interpreters.insert(path) }

  func mappingsChanged() { known.removeAll() }

  /// The frame of the place that `frame` stands in. Its name is empty as yet.
  func frame(_ frame: NativeFrame, _ profile: inout Profile) -> FrameID {
    let address = frame.lookupAddress
    if let frame = known.find(address) { return frame }
    let frame = lookUp(address, &profile)
    known.store(frame, for: address)
    return frame
  }

  private func lookUp(_ address: UInt64, _ profile: inout Profile) -> FrameID {
    guard let location = addressSpace.location(of: address) else {
      return profile.intern(frame: native(profile.intern(string: "[unmapped]"), .empty))
    }
    let module = location.module
    let place = location.virtualAddress
    let start = unwinder.functionStart(covering: address).map { $0 &- location.bias } ?? place
    // All stubs of a file have one entry of unwind information.
    let isStub =
      location.image.map { image in
        image.sections.isEmpty || image.sections.contains { $0.contains(place) && $0.name.hasPrefix(".plt") }
      } ?? false
    let key = Key(module: ObjectIdentifier(module), place: isStub ? place : start)
    let path = profile.intern(string: module.path)
    let frame = frames[key] ?? profile.addProvisional(frame: native(.empty, path))
    if frames.updateValue(frame, forKey: key) == nil {
      places.append(Place(frame: frame, module: module, virtualAddress: place, start: start))
    }
    origins.note(frame, path, location)
    return frame
  }

  private func native(_ name: StringID, _ path: StringID) -> Frame {
    Frame(kind: .native, name: name, file: path, line: 0)
  }

  // MARK: Afterwards

  /// Names every place, with the symbols of one module after the other in memory, and hides what only names tell apart.
  func resolve(_ profile: inout Profile, hiding hidden: HiddenFrames) {
    var final: [Frame?] = profile.frames
    var roles = [FrameRole](repeating: .ordinary, count: final.count)
    var symbols = [String?](repeating: nil, count: final.count)
    var byModule: [ObjectIdentifier: [Int]] = [:]
    for index in places.indices {
      byModule[ObjectIdentifier(places[index].module), default: []].append(index)
    }
    for own in byModule.values {
      guard let module = own.first.map({ places[$0].module }) else { continue }
      let table = module.symbols(at: own.map { places[$0].virtualAddress }.sorted())
      let isInterpreter = origins.isInterpreter(module)
      for index in own {
        let place = places[index]
        let position = Int(place.frame.index)
        let symbol = table.name(at: place.virtualAddress)?.name
        symbols[position] = symbol
        roles[position] = FrameRole(
          symbol: symbol, isInterpreter: isInterpreter, hasInterpreter: !origins.interpreters.isEmpty)
      }
    }
    // In the order of first sight, as all strings of the profile are.
    for place in places {
      let position = Int(place.frame.index)
      let text =
        symbols[position].map(demangle) ?? "\(place.module.displayName)+0x\(String(place.start, radix: 16))"
      final[position]?.name = profile.intern(string: text)
    }
    let ids = hidden.apply(to: &profile, final, roles)
    origins.describe(&profile, ids, symbols)
  }

  /// The name of a kernel function.
  func kernelFrame(_ address: UInt64, _ profile: inout Profile) -> FrameID {
    if let known = kernelFrames[address] { return known }
    let symbols = kernel.symbols
    let symbol = symbols.lookup(address)
    let name =
      symbol?.name ?? (symbols.isRestricted == false ? "kernel+0x\(String(address, radix: 16))" : "kernel")
    let file = symbol?.module.map { "[\($0)]" } ?? "[kernel]"
    let frame = profile.intern(
      frame: Frame(
        kind: .kernel, name: profile.intern(string: name), file: profile.intern(string: file), line: 0))
    kernelFrames[address] = frame
    return frame
  }
}
