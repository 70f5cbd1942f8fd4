// Ways out of code without unwind information. Every result is a guess, and counted as one. Confirmed are those on
// which two facts agree: where the function's own instructions, followed from its entry, have left the return
// address; and that there lies the address behind a call that enters this function.

import ProcessImages
import Snapshots

/// Looks for the caller of a frame whose code has no unwind information. Not thread safe.
final class GuessedCaller {
  /// What was found.
  enum Result {
    /// The caller's registers.
    case caller(Registers, isConfirmed: Bool)
    /// The caller is known to be where the stack was not copied.
    case beyondCopy
    case none
  }

  private let code: CodeMap
  private let calls: CallSites
  /// Bytes of stack that are searched for a return address, and for one that can be confirmed.
  private static let scan: UInt64 = 512
  private static let confirmedScan: UInt64 = 4096
  /// Functions that are followed for one frame at most because of words on its stack.
  private static let followedPerFrame = 4
  /// Functions that are kept.
  private static let keptFunctions = 4096
  /// CPython's perf trampoline (Python/asm_trampoline.S, 3.12): sub $8,%rsp; call *%rcx; add $8,%rsp; ret.
  private static let trampoline: [UInt8] = [0x48, 0x83, 0xec, 0x08, 0xff, 0xd1, 0x48, 0x83, 0xc4, 0x08, 0xc3]

  /// The function at an address, and its row there.
  private struct Followed: BitwiseCopyable {
    /// `.none` where there is no row.
    var row: UnwindRow
    /// Its entry.
    var start: UInt64
    /// False where only a label says where it begins, which may stand anywhere in a function.
    var isFunction: Bool
  }
  private let known = AddressCache(
    bits: 12, filler: Followed(row: UnwindRow(form: .none), start: 0, isFunction: false))
  private let trampolines = AddressCache(bits: 6, filler: false)

  private struct Extent: Hashable {
    let start: UInt64
    let end: UInt64
  }
  private var functions: [Extent: FollowedFunction?] = [:]

  init(code: CodeMap) {
    self.code = code
    calls = CallSites(code: code)
  }

  /// To be called after every change of the address space.
  func mappingsChanged() {
    known.removeAll()
    trampolines.removeAll()
    calls.mappingsChanged()
    functions.removeAll()
  }

  /// The caller of a frame.
  ///
  /// - Parameters:
  ///   - snapshot: The stack.
  ///   - registers: As they stand in the frame.
  ///   - lookup: `NativeFrame.lookupAddress` of the frame.
  ///   - isLeaf: Whether it is the innermost frame.
  ///   - isFree: Whether a caller may be given that is not confirmed.
  func find(
    _ snapshot: borrowing StackSnapshot, _ registers: Registers, lookup: UInt64, isLeaf: Bool, isFree: Bool
  ) -> Result {
    let sp = registers[Registers.rsp]
    let address = registers[Registers.rip]
    if isTrampoline(address), let word = snapshot.stackWord(sp &+ 8) {
      return .caller(caller(registers, returnAddress: word, sp: sp &+ 16), isConfirmed: true)
    }
    let followed = followed(at: lookup)
    var likely: Registers?
    if followed.row.form == .frame {
      let cfa = Self.canonicalFrameAddress(followed.row, registers)
      if cfa > sp, cfa % 8 == 0 {
        guard let word = snapshot.stackWord(cfa &- 8) else { return .beyondCopy }
        let site = calls.site(before: word)
        let result = caller(snapshot, registers, followed.row, cfa, returnAddress: word)
        switch site.form {
        case .direct where calls.leads(site.target, to: followed.start):
          return .caller(result, isConfirmed: true)
        case .indirect where followed.isFunction: return .caller(result, isConfirmed: true)
        case .direct, .indirect: likely = result
        // What a coroutine begins with is entered by a return.
        case .none where code.isContextEntry(word): return .caller(result, isConfirmed: true)
        case .none: break
        }
      }
    }
    if let caller = confirmedScan(snapshot, registers, lookup, known: followed.start) {
      return .caller(caller, isConfirmed: true)
    }
    guard isFree else { return .none }
    guard let guess = likely ?? unconfirmed(snapshot, registers, isLeaf: isLeaf) else { return .none }
    return .caller(guess, isConfirmed: false)
  }

  /// The order of the attempts is by how often they were right on real programs.
  private func unconfirmed(_ snapshot: borrowing StackSnapshot, _ registers: Registers, isLeaf: Bool)
    -> Registers?
  {
    let sp = registers[Registers.rsp]
    let address = registers[Registers.rip]
    // Words that were left on the stack are no callers of code that was made at run time, whose frames nothing is
    // known of.
    let isMadeAtRunTime = code.addressSpace.module(containing: address)?.isFileBacked == false
    if isLeaf, !isMadeAtRunTime, let word = snapshot.stackWord(sp) {
      let site = calls.site(before: word)
      if site.form == .direct, site.target <= address, address &- site.target < 1 << 20 {
        return caller(registers, returnAddress: word, sp: sp &+ 8)
      }
    }
    let rbp = registers[Registers.rbp]
    if rbp >= sp, rbp % 8 == 0, let word = snapshot.stackWord(rbp &+ 8), let saved = snapshot.stackWord(rbp),
      isCallPreceded(word)
    {
      var result = caller(registers, returnAddress: word, sp: rbp &+ 16)
      result[Registers.rbp] = saved
      return result
    }
    if isMadeAtRunTime { return nil }
    if isLeaf, let word = snapshot.stackWord(sp), isCallPreceded(word) {
      return caller(registers, returnAddress: word, sp: sp &+ 8)
    }
    if let caller = scan(snapshot, registers, from: (sp &+ 7) & ~7) { return caller }
    guard isLeaf else { return nil }
    // Hand-written kernels move the stack pointer by more than can be searched and keep its old value in a register
    // (OpenBLAS, kernel/x86_64/dgemm_kernel_4x8_haswell.S: rbx).
    for index in 0..<6 {
      let register = UnwindRow.saved[index]
      let kept = registers[register]
      guard kept > sp, kept % 8 == 0, snapshot.stackWord(kept) != nil else { continue }
      if let caller = scan(snapshot, registers, from: kept) { return caller }
    }
    return nil
  }

  /// The first word in reach that may be a return address.
  private func scan(_ snapshot: borrowing StackSnapshot, _ registers: Registers, from start: UInt64)
    -> Registers?
  {
    var at = start
    while at &- start < Self.scan {
      guard let word = snapshot.stackWord(at) else { return nil }
      if isCallPreceded(word) { return caller(registers, returnAddress: word, sp: at &+ 8) }
      at &+= 8
    }
    return nil
  }

  /// The caller of code that no symbol tells the entry of: a word in reach behind a direct call, from whose target
  /// the instructions lead here and have left the return address in this very word.
  private func confirmedScan(
    _ snapshot: borrowing StackSnapshot, _ registers: Registers, _ lookup: UInt64, known: UInt64
  ) -> Registers? {
    let sp = registers[Registers.rsp]
    guard let area = code.addressSpace.area(containing: lookup) else { return nil }
    var at = (sp &+ 7) & ~7
    let end = at &+ Self.confirmedScan
    var followed = 0
    while at < end, let word = snapshot.stackWord(at) {
      defer { at &+= 8 }
      // Most words are no addresses of this module's process at all.
      guard word > 0x1000, word < 1 << 47 else { continue }
      let site = calls.site(before: word)
      guard site.form == .direct, site.target <= lookup, site.target != known,
        lookup &- site.target < UInt64(FollowedFunction.limit), site.target >= area.mapping.start
      else { continue }
      guard followed < Self.followedPerFrame else { return nil }
      followed += 1
      guard let row = row(at: lookup, from: site.target, to: code.functionEnd(after: lookup)) else {
        continue
      }
      let cfa = Self.canonicalFrameAddress(row, registers)
      if cfa == at &+ 8 { return caller(snapshot, registers, row, cfa, returnAddress: word) }
    }
    return nil
  }

  // MARK: Functions that are followed

  private func followed(at lookup: UInt64) -> Followed {
    if let found = known.find(lookup) { return found }
    var result = Followed(row: UnwindRow(form: .none), start: 0, isFunction: false)
    if let extent = code.functionExtent(at: lookup) {
      result.start = extent.start
      result.isFunction = !extent.isLabel
      if let row = row(at: lookup, from: extent.start, to: extent.end) { result.row = row }
    }
    known.store(result, for: lookup)
    return result
  }

  /// The row at an address of the function that begins at `start`.
  private func row(at lookup: UInt64, from start: UInt64, to end: UInt64) -> UnwindRow? {
    guard start <= lookup, lookup < end, end &- start <= UInt64(FollowedFunction.limit) else { return nil }
    let extent = Extent(start: start, end: end)
    let function: FollowedFunction?
    if let found = functions[extent] {
      function = found
    } else {
      function = code.code(at: start, count: Int(end &- start)).flatMap { FollowedFunction(code: $0) }
      if functions.count >= Self.keptFunctions { functions.removeAll() }
      functions[extent] = function
    }
    return function?.row(at: Int(lookup &- start))
  }

  private static func canonicalFrameAddress(_ row: UnwindRow, _ registers: Registers) -> UInt64 {
    registers[Int(row.cfaRegister)] &+ UInt64(bitPattern: Int64(row.cfaOffset))
  }

  // MARK: Callers

  private func caller(_ registers: Registers, returnAddress: UInt64, sp: UInt64) -> Registers {
    var result = registers
    result[Registers.rip] = returnAddress
    result[Registers.rsp] = sp
    return result
  }

  /// By a row: with the registers that the function had saved.
  private func caller(
    _ snapshot: borrowing StackSnapshot, _ registers: Registers, _ row: UnwindRow, _ cfa: UInt64,
    returnAddress: UInt64
  ) -> Registers {
    var result = caller(registers, returnAddress: returnAddress, sp: cfa)
    for index in 0..<6 where row.slots[index] != 0 {
      let place = cfa &- UInt64(row.slots[index]) &* 8
      guard place >= registers[Registers.rsp], let word = snapshot.stackWord(place) else { continue }
      result[UnwindRow.saved[index]] = word
    }
    return result
  }

  private func isCallPreceded(_ address: UInt64) -> Bool { calls.site(before: address).form != .none }

  /// The bytes around a return address into the stub, which is 6 bytes into it.
  private func isTrampoline(_ address: UInt64) -> Bool {
    if let known = trampolines.find(address) { return known }
    let location = code.addressSpace.location(of: address)
    let answer =
      location != nil && location?.image == nil
      && code.code(at: address &- 6, count: Self.trampoline.count) == Self.trampoline
    trampolines.store(answer, for: address)
    return answer
  }
}
