// Registers and a stack copy become return addresses. Pure: the same snapshot and the same files give the same
// stack, at any time and on any machine.

import ProcessImages
import Snapshots

/// Walks stacks of one process. Not thread safe.
public final class NativeUnwinder {
  /// How frames are stepped over.
  public enum Method: Sendable {
    /// By rows; libunwind for what has no simple row.
    case rows
    /// By libunwind alone.
    case libunwind
  }

  /// Frames that are followed at most.
  public static let maximumDepth = 4096

  private let code: CodeMap
  private let libunwind: Libunwind
  private let method: Method
  private let cache = AddressCache(bits: 15, filler: UnwindRow(form: .none))

  private struct FunctionKey: Hashable {
    let image: ObjectIdentifier
    let fde: UInt64
    let bias: UInt64
  }
  private var functions: [FunctionKey: [Libunwind.Row]] = [:]

  /// `memory`: the target's memory for code without a file; nil in a replay. Nil where libunwind cannot be set up.
  public init?(addressSpace: AddressSpace, memory: (any ByteSource)?, method: Method = .rows) {
    code = CodeMap(addressSpace: addressSpace, memory: memory)
    guard let libunwind = Libunwind(code: code) else { return nil }
    self.libunwind = libunwind
    self.method = method
  }

  /// To be called after every change of the address space.
  public func mappingsChanged() { cache.removeAll() }

  /// First address of the function with unwind information that covers `address`; nil where there is none.
  public func functionStart(covering address: UInt64) -> UInt64? { code.function(covering: address)?.start }

  /// Fills `stack` with the frames of the snapshot, leaf first.
  public func unwind(_ snapshot: borrowing StackSnapshot, into stack: inout AddressStack) {
    stack.reset()
    switch method {
    case .rows: walkRows(snapshot, &stack)
    case .libunwind: walkLibunwind(snapshot, &stack)
    }
  }

  private func walkRows(_ snapshot: borrowing StackSnapshot, _ stack: inout AddressStack) {
    var registers = snapshot.registers
    var isInstruction = true
    var isGuessed = false
    while true {
      let address = registers[Registers.rip]
      let sp = registers[Registers.rsp]
      let lookup = isInstruction ? address : address &- 1
      var row = cache.find(lookup) ?? findRow(lookup)
      if row.form == .none, isInstruction, stack.frames.isEmpty {
        // A system call's return address may be the end of its function.
        row = findRow(address &- 1)
      }
      var cfa: UInt64 = 0
      switch row.form {
      case .frame:
        cfa = registers[Int(row.cfaRegister)] &+ UInt64(bitPattern: Int64(row.cfaOffset))
      case .aligned:
        let at = registers[Int(row.cfaRegister)] &+ UInt64(bitPattern: Int64(row.cfaOffset))
        guard let word = snapshot.stackWord(at) else {
          return end(&stack, registers, isInstruction, isGuessed, .snapshotExhausted)
        }
        cfa = word
      case .plt:
        cfa = sp &+ 8 &+ (address & 15 >= 11 ? 8 : 0)
      case .outermost:
        return end(&stack, registers, isInstruction, isGuessed, .outermost)
      case .complex:
        switch libunwind.step(registers, lookup: lookup, snapshot) {
        case .outermost: return end(&stack, registers, isInstruction, isGuessed, .outermost)
        case .caller(let caller, _) where caller[Registers.rsp] > sp && caller[Registers.rsp] % 8 == 0:
          if !append(&stack, registers, caller[Registers.rsp], isInstruction, isGuessed) { return }
          registers = caller
          isInstruction = row.isSignalFrame
          isGuessed = false
          continue
        default: row.form = .none
        }
      case .none: break
      }
      if row.form == .none {
        if disproves(address, &stack) { return }
        guard let guess = guessCaller(snapshot, registers, isLeaf: stack.frames.isEmpty) else {
          let reason: UnwindEnd =
            sp &- snapshot.stackStart >= UInt64(snapshot.stack.byteCount)
            ? .snapshotExhausted : .noUnwindInformation
          return end(&stack, registers, isInstruction, isGuessed, reason)
        }
        if !append(&stack, registers, guess[Registers.rsp], isInstruction, isGuessed) { return }
        registers = guess
        isInstruction = false
        isGuessed = true
        continue
      }
      guard cfa > sp, cfa % 8 == 0 else {
        return end(&stack, registers, isInstruction, isGuessed, .didNotAdvance)
      }
      guard let returnAddress = snapshot.stackWord(cfa &- 8) else {
        return end(&stack, registers, isInstruction, isGuessed, .snapshotExhausted)
      }
      if stack.keepsRegisters { stack.registers.append(registers) }
      restore(row, cfa, sp, snapshot, &registers, base: registers[Registers.rbp])
      let frame = NativeFrame(
        address: address, canonicalFrameAddress: cfa, isInstructionPointer: isInstruction,
        isGuessed: isGuessed)
      if !append(&stack, frame) { return }
      if returnAddress == 0 { return }
      registers[Registers.rsp] = cfa
      registers[Registers.rip] = returnAddress
      isInstruction = row.isSignalFrame
      isGuessed = false
    }
  }

  /// Whether a caller lies in no code at all: a guess further in was wrong, and everything outside of it with it.
  private func disproves(_ address: UInt64, _ stack: inout AddressStack) -> Bool {
    guard let guess = stack.frames.firstIndex(where: \.isGuessed),
      code.addressSpace.module(containing: address) == nil
    else { return false }
    stack.frames.removeSubrange(guess...)
    if stack.keepsRegisters { stack.registers.removeSubrange(guess...) }
    stack.guesses = 0
    stack.end = .noUnwindInformation
    return true
  }

  /// Gives the saved registers of a frame back to its caller.
  @inline(__always)
  private func restore(
    _ row: UnwindRow, _ cfa: UInt64, _ sp: UInt64, _ snapshot: borrowing StackSnapshot,
    _ registers: inout Registers,
    base: UInt64
  ) {
    // The two origins of a slot's distance.
    let origin = row.form == .frame ? cfa : base &+ 8
    @inline(__always)
    func restore(_ register: Int, _ slot: UInt8, _ registers: inout Registers) {
      guard slot != 0 else { return }
      let place = origin &- UInt64(slot) &* 8
      // Below the stack pointer the register has been popped already: gcc does not say so in epilogues.
      guard place >= sp, let word = snapshot.stackWord(place) else { return }
      registers[register] = word
    }
    // `UnwindRow.saved`, one by one: indices that the compiler knows cost nothing.
    restore(3, row.slots[0], &registers)
    restore(6, row.slots[1], &registers)
    restore(12, row.slots[2], &registers)
    restore(13, row.slots[3], &registers)
    restore(14, row.slots[4], &registers)
    restore(15, row.slots[5], &registers)
  }

  private func append(
    _ stack: inout AddressStack, _ registers: Registers, _ cfa: UInt64, _ isInstruction: Bool,
    _ isGuessed: Bool
  ) -> Bool {
    if stack.keepsRegisters { stack.registers.append(registers) }
    return append(
      &stack,
      NativeFrame(
        address: registers[Registers.rip], canonicalFrameAddress: cfa, isInstructionPointer: isInstruction,
        isGuessed: isGuessed))
  }

  private func append(_ stack: inout AddressStack, _ frame: NativeFrame) -> Bool {
    if frame.isGuessed { stack.guesses += 1 }
    stack.frames.append(frame)
    if stack.frames.count < Self.maximumDepth { return true }
    stack.end = .depthLimit
    return false
  }

  /// Adds the last frame, whose caller is not known; a frame that lies in no code at all is left out.
  private func end(
    _ stack: inout AddressStack, _ registers: Registers, _ isInstruction: Bool, _ isGuessed: Bool,
    _ reason: UnwindEnd
  ) {
    let address = registers[Registers.rip]
    stack.end = reason
    if !stack.frames.isEmpty, reason != .outermost, code.addressSpace.module(containing: address) == nil {
      if reason == .noUnwindInformation { stack.end = .didNotAdvance }
      return
    }
    _ = append(&stack, registers, registers[Registers.rsp], isInstruction, isGuessed)
    stack.end = reason
  }

  /// The row for an address: parses all rows of its function on first touch.
  private func findRow(_ lookup: UInt64) -> UnwindRow {
    guard let located = code.function(covering: lookup) else {
      let none = UnwindRow(form: .none)
      cache.store(none, for: lookup)
      return none
    }
    let key = FunctionKey(
      image: ObjectIdentifier(located.image), fde: located.function.fde, bias: located.bias)
    let rows: [Libunwind.Row]
    if let known = functions[key] {
      rows = known
    } else {
      rows = libunwind.rows(at: located.start, of: located)
      functions[key] = rows
    }
    let found = rows.first { lookup >= $0.start && lookup < $0.end }?.row
    // Without rows libunwind's stepping may still get through: it executes only what stands before the address.
    let row = found ?? UnwindRow(form: .complex, isSignalFrame: located.function.isSignalFrame)
    cache.store(row, for: lookup)
    return row
  }

  /// The whole stack by libunwind, restarted where only a guess leads on.
  private func walkLibunwind(_ snapshot: borrowing StackSnapshot, _ stack: inout AddressStack) {
    var registers = snapshot.registers
    var isInstruction = true
    var isGuessed = false
    var isPlaced = false
    while true {
      let sp = registers[Registers.rsp]
      let address = registers[Registers.rip]
      var lookup = isInstruction ? address : address &- 1
      var located = code.function(covering: lookup)
      if located == nil, stack.frames.isEmpty {
        lookup = address &- 1
        located = code.function(covering: lookup)
        isPlaced = false
      }
      var step = Libunwind.Step.failed
      if located != nil {
        if !isPlaced {
          var start = registers
          start[Registers.rip] = lookup
          isPlaced = libunwind.begin(start, snapshot)
        }
        if isPlaced { step = libunwind.next(snapshot) }
      }
      switch step {
      case .outermost: return end(&stack, registers, isInstruction, isGuessed, .outermost)
      case .caller(let caller, _) where caller[Registers.rsp] > sp && caller[Registers.rsp] % 8 == 0:
        if !append(&stack, registers, caller[Registers.rsp], isInstruction, isGuessed) { return }
        if caller[Registers.rip] == 0 { return }
        registers = caller
        isInstruction = located?.function.isSignalFrame ?? false
        isGuessed = false
      default:
        let isExhausted = sp &- snapshot.stackStart >= UInt64(snapshot.stack.byteCount)
        // A function with unwind information whose caller cannot be read: the copy ended inside its frame.
        if disproves(address, &stack) { return }
        guard located == nil || !isExhausted,
          let guess = located == nil || isSteppable(lookup) == false
            ? guessCaller(snapshot, registers, isLeaf: stack.frames.isEmpty) : nil
        else {
          let reason: UnwindEnd = located != nil || isExhausted ? .snapshotExhausted : .noUnwindInformation
          return end(&stack, registers, isInstruction, isGuessed, reason)
        }
        if !append(&stack, registers, guess[Registers.rsp], isInstruction, isGuessed) { return }
        registers = guess
        isInstruction = false
        isGuessed = true
        isPlaced = false
      }
    }
  }

  /// False where the function's rows cannot be parsed or need more than rows can say.
  private func isSteppable(_ lookup: UInt64) -> Bool {
    let form = findRow(lookup).form
    return form != .complex && form != .none
  }

  /// The caller of a frame without usable unwind information.
  private func guessCaller(_ snapshot: borrowing StackSnapshot, _ registers: Registers, isLeaf: Bool)
    -> Registers?
  {
    GuessedCaller(code: code).find(snapshot, registers, isLeaf: isLeaf)
  }
}
