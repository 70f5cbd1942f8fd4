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

  let code: CodeMap
  private let libunwind: Libunwind
  private let method: Method
  private let guesser: GuessedCaller
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
    guesser = GuessedCaller(code: code)
  }

  /// Unwinds as if these files had no unwind information.
  package func hideUnwindInformation(_ isHidden: @escaping (ElfImage) -> Bool) {
    code.isHidden = isHidden
    mappingsChanged()
  }

  /// To be called after every change of the address space.
  public func mappingsChanged() {
    cache.removeAll()
    guesser.mappingsChanged()
  }

  /// First address of the function with unwind information that covers `address`; nil where there is none.
  public func functionStart(covering address: UInt64) -> UInt64? { code.function(covering: address)?.start }

  /// Fills `stack` with the frames of the snapshot, leaf first.
  ///
  /// - Parameters:
  ///   - snapshot: Registers and stack bytes.
  ///   - boundaries: Addresses that lie inside of the native frames of evaluation loops, all at the same distance
  ///     below the frame's canonical frame address; innermost first, so in rising order.
  ///   - loop: That distance, and a place in the loop's code. With it unwinding is taken up again at the next
  ///     boundary where it cannot go on, and a guessed path that misses a boundary is taken back.
  ///   - stack: The result.
  public func unwind(
    _ snapshot: borrowing StackSnapshot, boundaries: [UInt64] = [], loop: KnownLoop? = nil,
    into stack: inout AddressStack
  ) {
    stack.reset()
    var walk = StackWalk(snapshot.registers, boundaries, loop)
    switch method {
    case .rows: walkRows(snapshot, &walk, &stack)
    case .libunwind: walkLibunwind(snapshot, &walk, &stack)
    }
  }

  private func walkRows(
    _ snapshot: borrowing StackSnapshot, _ walk: inout StackWalk, _ stack: inout AddressStack
  ) {
    // Here while frames follow each other by rows, in `walk` for all that happens seldom.
    var registers = walk.registers
    var isInstruction = walk.isInstruction
    while true {
      var trouble = Trouble.noRule
      step: do {
        let address = registers[Registers.rip]
        let sp = registers[Registers.rsp]
        let lookup = isInstruction ? address : address &- 1
        let row = cache.find(lookup) ?? findRow(lookup)
        var cfa: UInt64 = 0
        switch row.form {
        case .frame:
          cfa = registers[Int(row.cfaRegister)] &+ UInt64(bitPattern: Int64(row.cfaOffset))
        case .aligned:
          let at = registers[Int(row.cfaRegister)] &+ UInt64(bitPattern: Int64(row.cfaOffset))
          guard let word = snapshot.stackWord(at) else {
            trouble = .exhausted
            break step
          }
          cfa = word
        case .plt:
          cfa = sp &+ 8 &+ (address & 15 >= 11 ? 8 : 0)
        case .outermost, .contextEntry, .complex, .none:
          trouble = row.form == .outermost ? .outermost : row.form == .contextEntry ? .contextEntry : .noRule
          break step
        }
        guard cfa > sp, cfa % 8 == 0 else {
          trouble = .didNotAdvance
          break step
        }
        guard let returnAddress = snapshot.stackWord(cfa &- 8) else {
          trouble = .exhausted
          break step
        }
        if walk.guess >= 0, walk.misses(from: sp, to: cfa) {
          trouble = .missed
          break step
        }
        if stack.keepsRegisters { stack.registers.append(registers) }
        stack.frames.append(
          NativeFrame(
            address: address, canonicalFrameAddress: cfa, isInstructionPointer: isInstruction,
            isGuessed: walk.isGuessed, isConfirmed: walk.isConfirmed))
        if walk.isGuessed {
          stack.guesses += 1
          if !walk.isConfirmed { stack.unconfirmed += 1 }
          walk.isGuessed = false
          walk.isConfirmed = false
        }
        if stack.frames.count >= Self.maximumDepth {
          stack.end = .depthLimit
          return
        }
        if returnAddress == 0 { return }
        restore(row, cfa, sp, snapshot, &registers, base: registers[Registers.rbp])
        registers[Registers.rsp] = cfa
        registers[Registers.rip] = returnAddress
        isInstruction = row.isSignalFrame
        continue
      }
      walk.registers = registers
      walk.isInstruction = isInstruction
      guard handle(trouble, snapshot, &walk, &stack) else { return }
      registers = walk.registers
      isInstruction = walk.isInstruction
    }
  }

  /// Why a row does not lead to the next frame.
  private enum Trouble {
    case noRule, exhausted, didNotAdvance, missed, outermost, contextEntry
  }

  /// Goes on from a frame that no row leads out of; false where the stack is ended.
  @inline(never)
  private func handle(
    _ trouble: Trouble, _ snapshot: borrowing StackSnapshot, _ walk: inout StackWalk,
    _ stack: inout AddressStack
  ) -> Bool {
    switch trouble {
    case .outermost:
      end(&stack, walk, .outermost)
      return false
    case .contextEntry:
      endContext(walk, &stack)
      return false
    case .exhausted: return goesOn(snapshot, &walk, &stack, after: .snapshotExhausted)
    case .didNotAdvance:
      return goesOn(snapshot, &walk, &stack, after: .didNotAdvance, isDisproved: true)
    case .missed: return goesOn(snapshot, &walk, &stack, after: .noUnwindInformation, isDisproved: true)
    case .noRule: break
    }
    let address = walk.registers[Registers.rip]
    let sp = walk.registers[Registers.rsp]
    let lookup = walk.isInstruction ? address : address &- 1
    let row = cache.find(lookup) ?? findRow(lookup)
    guard row.form == .complex else { return goesByGuess(snapshot, &walk, &stack) }
    switch libunwind.step(walk.registers, lookup: lookup, snapshot) {
    case .outermost:
      end(&stack, walk, .outermost)
      return false
    case .caller(let caller, _) where caller[Registers.rsp] > sp && caller[Registers.rsp] % 8 == 0:
      if walk.guess >= 0, walk.misses(from: sp, to: caller[Registers.rsp]) {
        return goesOn(snapshot, &walk, &stack, after: .noUnwindInformation, isDisproved: true)
      }
      if !add(&stack, walk, caller[Registers.rsp]) { return false }
      walk.registers = caller
      walk.arrive(isInstruction: row.isSignalFrame)
      return true
    default: return goesByGuess(snapshot, &walk, &stack)
    }
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

  /// Adds the frame that the walk stands in; false where the stack is as deep as it may be.
  private func add(_ stack: inout AddressStack, _ walk: borrowing StackWalk, _ cfa: UInt64) -> Bool {
    stack.append(walk.frame(cfa), walk.registers)
    if stack.frames.count < Self.maximumDepth { return true }
    stack.end = .depthLimit
    return false
  }

  /// Adds the last frame, whose caller is not known; a frame that lies in no code at all is left out.
  private func end(_ stack: inout AddressStack, _ walk: StackWalk, _ reason: UnwindEnd) {
    stack.end = reason
    if !stack.frames.isEmpty, reason != .outermost,
      code.addressSpace.module(containing: walk.registers[Registers.rip]) == nil
    {
      if reason == .noUnwindInformation { stack.end = .didNotAdvance }
      return
    }
    _ = add(&stack, walk, walk.registers[Registers.rsp])
    stack.end = reason
  }

  // MARK: Where there is no rule

  /// Goes to a guessed caller of the frame that the walk stands in; false where the stack is ended.
  private func goesByGuess(
    _ snapshot: borrowing StackSnapshot, _ walk: inout StackWalk, _ stack: inout AddressStack
  ) -> Bool {
    let address = walk.registers[Registers.rip]
    let sp = walk.registers[Registers.rsp]
    let isLeaf = stack.frames.isEmpty
    if !isLeaf, code.addressSpace.module(containing: address) == nil {
      return goesOn(snapshot, &walk, &stack, after: .noUnwindInformation)
    }
    // Where unwinding can be taken up further out a gap is better than what may never have been.
    let isFree = restart(snapshot, walk, beyond: sp) == nil
    let lookup = walk.isInstruction ? address : address &- 1
    switch guesser.find(snapshot, walk.registers, lookup: lookup, isLeaf: isLeaf, isFree: isFree) {
    case .caller(let caller, let isConfirmed):
      if !add(&stack, walk, caller[Registers.rsp]) { return false }
      if walk.guess < 0 {
        walk.guess = stack.frames.count
        walk.next = 0
      }
      if walk.misses(from: sp, to: caller[Registers.rsp]) {
        return goesOn(snapshot, &walk, &stack, after: .noUnwindInformation, isDisproved: true)
      }
      walk.registers = caller
      walk.isInstruction = false
      walk.isGuessed = true
      walk.isConfirmed = isConfirmed
      return true
    case .beyondCopy: return goesOn(snapshot, &walk, &stack, after: .snapshotExhausted)
    case .none:
      let isExhausted = snapshot.stackWord(sp) == nil
      return goesOn(
        snapshot, &walk, &stack, after: isExhausted ? .snapshotExhausted : .noUnwindInformation)
    }
  }

  /// Goes on at the next boundary further out; ends the stack, and is false, where there is none.
  ///
  /// - Parameters:
  ///   - cause: Why it does not go on here.
  ///   - isDisproved: Whether this shows that the last guess was wrong. So does a caller that lies in no code.
  private func goesOn(
    _ snapshot: borrowing StackSnapshot, _ walk: inout StackWalk, _ stack: inout AddressStack,
    after cause: UnwindEnd, isDisproved: Bool = false
  ) -> Bool {
    let isCode = code.addressSpace.module(containing: walk.registers[Registers.rip]) != nil
    let isTakenBack = walk.guess > 0 && (isDisproved || !isCode)
    var sp = walk.registers[Registers.rsp]
    if isTakenBack {
      // The frame whose caller was guessed is the last one that is known, and where it ends is not.
      stack.remove(from: walk.guess)
      sp = walk.guess > 1 ? stack.frames[walk.guess - 2].canonicalFrameAddress : snapshot.stackStart
      stack.frames[walk.guess - 1].canonicalFrameAddress = sp
    }
    guard let restart = restart(snapshot, walk, beyond: sp) else {
      if isTakenBack { stack.end = .noUnwindInformation } else { end(&stack, walk, cause) }
      return false
    }
    if !isTakenBack, isCode || stack.frames.isEmpty, !add(&stack, walk, sp) { return false }
    stack.gapCauses.append(isTakenBack ? .noUnwindInformation : cause)
    let cfa = restart.caller[Registers.rsp]
    var frame = StackWalk(restart.frame, [], nil).frame(cfa)
    frame.isInstructionPointer = false
    frame.restartedAt = restart.boundary
    stack.append(frame, restart.frame)
    walk.registers = restart.caller
    walk.arrive(isInstruction: false)
    walk.guess = -1
    if stack.frames.count < Self.maximumDepth { return true }
    stack.end = .depthLimit
    return false
  }

  /// Ends a stack that was made for a coroutine: what lies further out is another stack.
  private func endContext(_ walk: StackWalk, _ stack: inout AddressStack) {
    var last = walk
    // Its entry, not behind a call.
    last.isInstruction = true
    end(&stack, last, .outermost)
  }

  /// The next place further out at which unwinding can be taken up again.
  private func restart(_ snapshot: borrowing StackSnapshot, _ walk: StackWalk, beyond sp: UInt64)
    -> StackWalk.Restart?
  {
    guard let loop = walk.loop else { return nil }
    let lookup = loop.callAddress &- 1
    return walk.restart(
      snapshot, beyond: sp, row: cache.find(lookup) ?? findRow(lookup), code.addressSpace)
  }

  /// The row for an address.
  private func findRow(_ lookup: UInt64) -> UnwindRow {
    let row = readRow(lookup)
    cache.store(row, for: lookup)
    return row
  }

  /// Parses all rows of the function on first touch.
  private func readRow(_ lookup: UInt64) -> UnwindRow {
    guard let located = code.function(covering: lookup) else {
      if code.isContextEntry(lookup &+ 1) { return UnwindRow(form: .contextEntry) }
      // A system call's return address may be the end of its function.
      if code.endsSystemCall(lookup), code.function(covering: lookup &- 1) != nil {
        return cache.find(lookup &- 1) ?? findRow(lookup &- 1)
      }
      return UnwindRow(form: .none)
    }
    if lookup &+ 1 == located.end, code.isContextEntry(lookup &+ 1) { return UnwindRow(form: .contextEntry) }
    // Without rows libunwind's stepping may still get through: it executes only what stands before the address.
    return rows(of: located).first { lookup >= $0.start && lookup < $0.end }?.row
      ?? UnwindRow(form: .complex, isSignalFrame: located.function.isSignalFrame)
  }

  func rows(of located: CodeMap.Located) -> [Libunwind.Row] {
    let key = FunctionKey(
      image: ObjectIdentifier(located.image), fde: located.function.fde, bias: located.bias)
    if let known = functions[key] { return known }
    let rows = libunwind.rows(at: located.start, of: located)
    functions[key] = rows
    return rows
  }

  /// The whole stack by libunwind, placed anew where only a guess or a boundary leads on.
  private func walkLibunwind(
    _ snapshot: borrowing StackSnapshot, _ walk: inout StackWalk, _ stack: inout AddressStack
  ) {
    var isPlaced = false
    while true {
      let sp = walk.registers[Registers.rsp]
      let address = walk.registers[Registers.rip]
      let lookup = walk.isInstruction ? address : address &- 1
      let located = code.function(covering: lookup)
      // Rows are read with the cursor that walks: only where it need not stay.
      if located == nil || lookup &+ 1 == located?.end, code.isContextEntry(lookup &+ 1) {
        return endContext(walk, &stack)
      }
      let hasRow = located != nil || (!isPlaced && findRow(lookup).form != .none)
      var step = Libunwind.Step.failed
      if hasRow {
        if !isPlaced {
          var start = walk.registers
          start[Registers.rip] = located == nil ? lookup &- 1 : lookup
          isPlaced = libunwind.begin(start, snapshot)
        }
        if isPlaced { step = libunwind.next(snapshot) }
      }
      switch step {
      case .outermost: return end(&stack, walk, .outermost)
      case .caller(let caller, _) where caller[Registers.rsp] > sp && caller[Registers.rsp] % 8 == 0:
        if walk.guess >= 0, walk.misses(from: sp, to: caller[Registers.rsp]) {
          isPlaced = false
          if goesOn(snapshot, &walk, &stack, after: .noUnwindInformation, isDisproved: true) { continue }
          return
        }
        if !add(&stack, walk, caller[Registers.rsp]) { return }
        if caller[Registers.rip] == 0 { return }
        walk.registers = caller
        walk.arrive(isInstruction: located?.function.isSignalFrame ?? false)
      default:
        isPlaced = false
        if !hasRow || findRow(lookup).form == .complex
          ? goesByGuess(snapshot, &walk, &stack)
          // A function with unwind information whose caller cannot be read: the copy ended inside its frame.
          : goesOn(snapshot, &walk, &stack, after: .snapshotExhausted)
        {
          continue
        }
        return
      }
    }
  }
}
