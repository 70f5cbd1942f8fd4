// What stands before a return address: the call instruction, and where it leads.

import ProcessImages

/// The instruction that ends at an address.
struct CallSite: Equatable, BitwiseCopyable {
  /// Its form.
  enum Form: UInt8, BitwiseCopyable {
    /// No call, so the address is no return address.
    case none
    /// `call rel32`.
    case direct
    /// `call r/m64`.
    case indirect
  }

  var form: Form
  /// Where a direct call leads; else 0.
  var target: UInt64 = 0
}

/// Looks at calls, each once. Not thread safe.
final class CallSites {
  private let code: CodeMap
  private let known = AddressCache(bits: 12, filler: CallSite(form: .none))
  private struct Lead: Hashable {
    let target: UInt64
    let function: UInt64
  }
  private var leads: [Lead: Bool] = [:]
  /// Answers that are kept at most.
  private static let limit = 1 << 14

  init(code: CodeMap) { self.code = code }

  /// To be called after every change of the address space.
  func mappingsChanged() {
    known.removeAll()
    leads.removeAll()
  }

  /// The call that ends at `address`.
  func site(before address: UInt64) -> CallSite {
    if let site = known.find(address) { return site }
    let site = read(before: address)
    known.store(site, for: address)
    return site
  }

  private func read(before address: UInt64) -> CallSite {
    guard code.addressSpace.module(containing: address &- 1) != nil,
      let bytes = code.code(at: address &- 7, count: 7)
    else { return CallSite(form: .none) }
    var target: UInt64 = 0
    if bytes[2] == 0xe8 {
      let distance =
        UInt32(bytes[3]) | UInt32(bytes[4]) << 8 | UInt32(bytes[5]) << 16 | UInt32(bytes[6]) << 24
      target = address &+ UInt64(bitPattern: Int64(Int32(bitPattern: distance)))
      if code.addressSpace.module(containing: target) != nil {
        return CallSite(form: .direct, target: target)
      }
    }
    if Self.isIndirect(bytes) { return CallSite(form: .indirect) }
    return bytes[2] == 0xe8 ? CallSite(form: .direct, target: target) : CallSite(form: .none)
  }

  /// Whether seven bytes end with call r/m64 (ff /2) of any length.
  private static func isIndirect(_ bytes: [UInt8]) -> Bool {
    // ff /2 with its ModRM byte at distance 2 (register), 3 (SIB or disp8), 4 (SIB and disp8), 6 and 7 (disp32).
    func isCall(_ at: Int, _ expected: (UInt8) -> Bool) -> Bool {
      bytes[at] == 0xff && bytes[at + 1] & 0x38 == 0x10 && expected(bytes[at + 1])
    }
    return isCall(5) { $0 >> 6 == 3 || ($0 >> 6 == 0 && $0 & 7 != 4 && $0 & 7 != 5) }
      || isCall(4) { ($0 >> 6 == 1 && $0 & 7 != 4) || ($0 >> 6 == 0 && $0 & 7 == 4) }
      || isCall(3) { $0 >> 6 == 1 && $0 & 7 == 4 }
      || isCall(1) { ($0 >> 6 == 2 && $0 & 7 != 4) || ($0 >> 6 == 0 && $0 & 7 == 5) }
      || isCall(0) { ($0 >> 6 == 2 && $0 & 7 == 4) || ($0 >> 6 == 0 && $0 & 7 == 4 && bytes[2] & 7 == 5) }
  }

  /// Whether a direct call of `target` enters the function that begins at `function`: this very address, or the
  /// stub (.plt, .plt.sec) of a symbol that its module defines there.
  func leads(_ target: UInt64, to function: UInt64) -> Bool {
    if target == function { return true }
    let lead = Lead(target: target, function: function)
    if let answer = leads[lead] { return answer }
    let answer = isStub(target, of: function)
    if leads.count >= Self.limit { leads.removeAll() }
    leads[lead] = answer
    return answer
  }

  private func isStub(_ target: UInt64, of function: UInt64) -> Bool {
    let suffix = "@plt"
    guard let stub = code.addressSpace.location(of: target),
      let symbol = stub.module.symbols.name(at: stub.virtualAddress), symbol.offset == 0,
      symbol.name.hasSuffix(suffix),
      let place = code.addressSpace.location(of: function),
      let definition = place.module.image?.symbol(named: String(symbol.name.dropLast(suffix.count)))
    else { return false }
    return definition.virtualAddress == place.virtualAddress
  }
}
