// Names for code addresses, each looked up once.

import MixedStacks
import NativeUnwinding
import ProcessImages
import Profiles

/// Turns addresses of the target and of the kernel into frames of a profile. Not thread safe.
final class NativeNames {
  /// A named address.
  struct Name: BitwiseCopyable {
    var frame: FrameID
    var role: FrameRole
  }

  private let addressSpace: AddressSpace
  private let unwinder: NativeUnwinder
  private let known = AddressCache(
    bits: 14, filler: Name(frame: FrameID(index: 0), role: .ordinary))
  private let kernel: LoadedKernelSymbols
  private var kernelFrames: [UInt64: FrameID] = [:]
  private var origins = FrameOrigins()
  /// Path of the module that holds the interpreter; its functions have roles. Empty while it is not known.
  var interpreterModule = "" {
    didSet {
      if oldValue != interpreterModule { known.removeAll() }
      origins.interpreters.insert(interpreterModule)
    }
  }

  init(addressSpace: AddressSpace, unwinder: NativeUnwinder, kernel: LoadedKernelSymbols) {
    self.kernel = kernel
    self.addressSpace = addressSpace
    self.unwinder = unwinder
  }

  func mappingsChanged() { known.removeAll() }

  /// The name of the function that `frame` stands in.
  func name(_ frame: NativeFrame, _ profile: inout Profile) -> Name {
    let address = frame.lookupAddress
    if let name = known.find(address) { return name }
    let name = lookUp(address, &profile)
    known.store(name, for: address)
    return name
  }

  private func lookUp(_ address: UInt64, _ profile: inout Profile) -> Name {
    guard let location = addressSpace.location(of: address) else {
      return Name(frame: native("[unmapped]", "", &profile), role: .ordinary)
    }
    let name = lookUp(location, &profile)
    origins.note(name.frame, profile[name.frame].file, location)
    return name
  }

  /// Says in which language each function was written and which modules there are.
  func describe(_ profile: inout Profile) { origins.describe(&profile) }

  private func lookUp(_ location: CodeLocation, _ profile: inout Profile) -> Name {
    let module = location.module
    let place = location.virtualAddress
    guard let symbol = module.symbols.name(at: place) else {
      // One row per function, not per address: the offset is that of the function where one is known.
      let start = unwinder.functionStart(covering: location.address).map { $0 &- location.bias } ?? place
      let text = "\(module.displayName)+0x\(String(start, radix: 16))"
      return Name(frame: native(text, module.path, &profile), role: .ordinary)
    }
    let readable = demangle(symbol.name)
    var role = FrameRole.ordinary
    if module.path == interpreterModule {
      role = FrameRole(interpreterSymbol: symbol.name)
    } else if !interpreterModule.isEmpty, FrameRole.entryNames.contains(symbol.name) {
      role = .startUp
    }
    return Name(frame: native(readable, module.path, &profile), role: role)
  }

  private func native(_ name: String, _ path: String, _ profile: inout Profile) -> FrameID {
    profile.intern(
      frame: Frame(
        kind: .native, name: profile.intern(string: name), file: profile.intern(string: path), line: 0))
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
