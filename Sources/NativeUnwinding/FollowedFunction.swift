// Unwind rows of a function that has none, made by following its instructions from its entry: how far the stack
// pointer is below the return address at each of them, and where the caller's registers were put.

/// What following one function found.
struct FollowedFunction {
  /// A row for offsets from the function's first byte.
  struct Row {
    let start: Int
    let end: Int
    let row: UnwindRow
  }

  /// By offset. Instructions that no known way leads to, or ways that do not agree, have none.
  let rows: [Row]

  /// Bytes of a function that are followed at most.
  static let limit = 1 << 18

  /// The row for the instruction at an offset.
  func row(at offset: Int) -> UnwindRow? {
    var low = 0
    var high = rows.count
    while low < high {
      let middle = (low + high) / 2
      if rows[middle].start <= offset { low = middle + 1 } else { high = middle }
    }
    guard low > 0, offset < rows[low - 1].end else { return nil }
    return rows[low - 1].row
  }

  /// What is known at an instruction. Registers by their number in instructions.
  private struct State: Equatable {
    /// Bytes from the stack pointer up to the canonical frame address; negative: not known.
    var depth: Int32 = 8
    /// A callee-saved register that holds a stack address, and the bytes from there up to the canonical frame
    /// address; negative for none.
    var base: Int = -1
    var baseDepth: Int32 = 0
    /// As `UnwindRow.slots`.
    var slots = InlineArray<6, UInt8>(repeating: 0)

    static func == (a: State, b: State) -> Bool {
      a.depth == b.depth && a.base == b.base && a.baseDepth == b.baseDepth && a.hasSlots(of: b)
    }

    func hasSlots(of other: State) -> Bool {
      for index in 0..<6 where slots[index] != other.slots[index] { return false }
      return true
    }
  }

  /// Instruction numbers of rbx, rbp, r12 to r15: the order of `UnwindRow.saved`.
  private static func slot(of register: Int) -> Int? {
    switch register {
    case 3: 0
    case 5: 1
    case 12...15: register - 10
    default: nil
    }
  }

  /// DWARF numbers by instruction numbers of those.
  private static func dwarf(_ register: Int) -> UInt8 {
    register == 5 ? 6 : UInt8(register)
  }

  /// Follows a function from its first byte. Nil where it returns with something left on its stack, so that it is
  /// no function or was not understood.
  init?(code bytes: [UInt8]) {
    guard !bytes.isEmpty, bytes.count <= Self.limit else { return nil }
    var states = [State?](repeating: nil, count: bytes.count)
    /// Places at which ways do not agree.
    var conflicts = [Bool](repeating: false, count: bytes.count)
    var lengths = [UInt8](repeating: 0, count: bytes.count)
    states[0] = State()
    var waiting = [0]
    func lead(to target: Int, _ state: State) {
      guard target >= 0, target < bytes.count, !conflicts[target] else { return }
      guard let known = states[target] else {
        states[target] = state
        return waiting.append(target)
      }
      if known == state { return }
      var merged = state
      if state.depth == known.depth, state.depth >= 0, state.hasSlots(of: known) {
        // Only one way keeps a copy of the stack pointer.
        merged.base = -1
        merged.baseDepth = 0
        if merged == known { return }
        states[target] = merged
      } else {
        conflicts[target] = true
      }
      waiting.append(target)
    }
    func conflict(at target: Int) {
      guard target >= 0, target < bytes.count, !conflicts[target] else { return }
      conflicts[target] = true
      waiting.append(target)
    }
    // Each place is visited again at most twice: when its copy is given up, and when it is.
    var visits = 0
    while let at = waiting.popLast() {
      visits += 1
      guard visits < bytes.count * 4, let instruction = InstructionDecoder.decode(bytes, at: at) else {
        return nil
      }
      lengths[at] = UInt8(instruction.length)
      let next = at + instruction.length
      if conflicts[at] {
        switch instruction.flow {
        case .next, .call, .directCall: conflict(at: next)
        case .jump(let distance): conflict(at: next + Int(distance))
        case .branch(let distance):
          conflict(at: next)
          conflict(at: next + Int(distance))
        case .return, .elsewhere: break
        }
        continue
      }
      guard var state = states[at] else { continue }
      Self.apply(instruction.effect, to: &state)
      switch instruction.flow {
      case .next, .call: lead(to: next, state)
      case .directCall(let distance):
        // A call of the next instruction pushes its address.
        if distance == 0 { Self.apply(.push(-1), to: &state) }
        lead(to: next, state)
      case .jump(let distance): lead(to: next + Int(distance), state)
      case .branch(let distance):
        lead(to: next, state)
        lead(to: next + Int(distance), state)
      case .return:
        if state.depth >= 0, state.depth != 8 { return nil }
      case .elsewhere: break
      }
    }
    rows = Self.rows(states, conflicts, lengths)
  }

  private static func rows(_ states: [State?], _ conflicts: [Bool], _ lengths: [UInt8]) -> [Row] {
    var rows: [Row] = []
    var (start, end) = (0, 0)
    var last: State?
    func finish() {
      if let last, let row = row(last) { rows.append(Row(start: start, end: end, row: row)) }
      last = nil
    }
    for at in states.indices {
      guard lengths[at] > 0, !conflicts[at], let state = states[at] else { continue }
      if at != end || state != last {
        finish()
        start = at
        last = state
      }
      end = at + Int(lengths[at])
    }
    finish()
    return rows
  }

  private static func row(_ state: State) -> UnwindRow? {
    var row = UnwindRow(form: .frame)
    row.slots = state.slots
    if state.depth >= 8 {
      row.cfaOffset = state.depth
    } else if state.base >= 0 {
      row.cfaRegister = dwarf(state.base)
      row.cfaOffset = state.baseDepth
    } else {
      return nil
    }
    return row
  }

  private static func apply(_ effect: Instruction.Effect, to state: inout State) {
    switch effect {
    case .none: break
    case .push(let register):
      guard state.depth >= 0 else { break }
      state.depth += 8
      save(register, at: state.depth, &state)
    case .pop(let register):
      if register == state.base { state.base = -1 }
      guard state.depth >= 0 else { break }
      state.depth -= 8
      forgetPopped(&state)
    case .add(let bytes):
      guard state.depth >= 0 else { break }
      setDepth(Int(state.depth) - Int(bytes), &state)
      if bytes > 0 { forgetPopped(&state) }
    case .copy(let to, let from, let distance):
      copy(to, from, distance, &state)
    case .store(let register, let base, let distance):
      let depth = base == 4 ? state.depth : base == state.base ? state.baseDepth : -1
      guard depth >= 0 else { break }
      let place = Int(depth) - Int(distance)
      if place > 8, place <= 255 * 8, place % 8 == 0 { save(register, at: Int32(place), &state) }
    case .leave:
      if state.base == 5 {
        setDepth(Int(state.baseDepth) - 8, &state)
        forgetPopped(&state)
      } else {
        state.depth = -1
      }
      if state.base == 5 { state.base = -1 }
    case .overwrite(let register):
      if register == 4 { state.depth = -1 }
      if register == state.base { state.base = -1 }
    }
    if state.base < 0 { state.baseDepth = 0 }
  }

  private static func copy(_ to: Int, _ from: Int, _ distance: Int32, _ state: inout State) {
    let depth = from == 4 ? state.depth : from == state.base ? state.baseDepth : -1
    if to == 4 {
      if depth >= 0 { setDepth(Int(depth) - Int(distance), &state) } else { state.depth = -1 }
      forgetPopped(&state)
    } else if depth >= 0, slot(of: to) != nil, state.base < 0 || to == 5 || to == state.base {
      let bytes = Int(depth) - Int(distance)
      state.base = abs(bytes) < 1 << 24 ? to : -1
      state.baseDepth = Int32(truncatingIfNeeded: bytes)
    } else if to == state.base {
      state.base = -1
    }
  }

  private static func setDepth(_ depth: Int, _ state: inout State) {
    state.depth = depth >= 8 && depth < 1 << 24 ? Int32(depth) : -1
  }

  /// The first time that a preserved register is stored is where its caller's value is.
  private static func save(_ register: Int, at depth: Int32, _ state: inout State) {
    guard let slot = slot(of: register), state.slots[slot] == 0, depth <= 255 * 8 else { return }
    state.slots[slot] = UInt8(depth / 8)
  }

  /// What lay below the stack pointer is back in its register.
  private static func forgetPopped(_ state: inout State) {
    guard state.depth >= 0 else { return }
    for index in 0..<6 where Int32(state.slots[index]) * 8 > state.depth { state.slots[index] = 0 }
  }
}
