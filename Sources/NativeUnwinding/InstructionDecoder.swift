// How long an x86-64 instruction is, where it leads, and what it does to the stack pointer. Intel 64 and IA-32
// Architectures Software Developer's Manual, volume 2, chapter 2 and appendix A. No more than following a stack needs.

/// One decoded instruction.
struct Instruction {
  /// Where control goes.
  enum Flow: Equatable {
    /// To the next instruction.
    case next
    /// To a callee, which comes back to the next instruction.
    case call
    /// `call` with a distance: its target relative to the next instruction.
    case directCall(Int32)
    /// Only there: relative to the next instruction.
    case jump(Int32)
    /// There or to the next instruction.
    case branch(Int32)
    /// To the caller.
    case `return`
    /// Not known, or nowhere.
    case elsewhere
  }

  /// What becomes of the stack pointer or of a register that holds a copy of it.
  enum Effect: Equatable {
    /// Nothing.
    case none
    /// A word is pushed; the register's number where it is one of the general registers, else negative.
    case push(Int)
    /// A word is popped into a general register, or elsewhere (negative).
    case pop(Int)
    /// Bytes are added to the stack pointer.
    case add(Int32)
    /// register = other register + distance, in 64 bits.
    case copy(to: Int, from: Int, Int32)
    /// A general register is stored at a distance from another one.
    case store(Int, base: Int, Int32)
    /// `leave`.
    case leave
    /// A register gets a value that is not followed.
    case overwrite(Int)
  }

  /// Bytes.
  var length = 0
  var flow = Flow.next
  var effect = Effect.none
}

/// Decodes instructions of 64-bit mode, registers by their number in instructions (4: rsp, 5: rbp).
struct InstructionDecoder {
  private let bytes: [UInt8]
  private var at: Int
  private var rex: UInt8 = 0
  private var isOperandSize16 = false
  private var isAddressSize32 = false

  /// The instruction at a position; nil where it is cut or is none.
  static func decode(_ bytes: [UInt8], at position: Int) -> Instruction? {
    var decoder = InstructionDecoder(bytes: bytes, at: position)
    guard var instruction = decoder.decode() else { return nil }
    instruction.length = decoder.at - position
    // Longer ones fault.
    return instruction.length <= 15 && decoder.at <= bytes.count ? instruction : nil
  }

  private init(bytes: [UInt8], at: Int) {
    self.bytes = bytes
    self.at = at
  }

  private mutating func next() -> UInt8? {
    guard at < bytes.count else { return nil }
    at += 1
    return bytes[at - 1]
  }

  private mutating func int8() -> Int32? { next().map { Int32(Int8(bitPattern: $0)) } }

  private mutating func int32() -> Int32? {
    guard bytes.count - at >= 4 else { return nil }
    var value: UInt32 = 0
    for index in 0..<4 { value |= UInt32(bytes[at + index]) << UInt32(8 * index) }
    at += 4
    return Int32(bitPattern: value)
  }

  /// Bytes that the instruction ends with.
  private mutating func skip(_ count: Int, _ instruction: Instruction = Instruction()) -> Instruction? {
    at += count
    return at <= bytes.count ? instruction : nil
  }

  private var isWide: Bool { rex & 8 != 0 }
  private var immediate: Int { isOperandSize16 && !isWide ? 2 : 4 }

  private mutating func decode() -> Instruction? {
    while let byte = next() {
      switch byte {
      case 0x66: isOperandSize16 = true
      case 0x67: isAddressSize32 = true
      case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0xf0, 0xf2, 0xf3: break
      case 0x40...0x4f:
        rex = byte
        guard let opcode = next() else { return nil }
        return decode(opcode: opcode)
      default: return decode(opcode: byte)
      }
    }
    return nil
  }

  /// An operand by its ModRM byte.
  private struct Operand {
    /// The register field, and the register of the other operand where that is one: with REX.
    var register: Int
    var other: Int
    var isRegister: Bool
    /// base + displacement, without an index.
    var base: Int?
    var displacement: Int32 = 0
    /// The register field without REX: an operation's number.
    var operation: Int
  }

  private mutating func operand() -> Operand? {
    guard let modrm = next() else { return nil }
    let low = Int(modrm & 7)
    let mode = modrm >> 6
    var operand = Operand(
      register: Int(modrm >> 3 & 7) | (rex & 4 != 0 ? 8 : 0), other: low | (rex & 1 != 0 ? 8 : 0),
      isRegister: mode == 3, operation: Int(modrm >> 3 & 7))
    if mode == 3 { return operand }
    var base: Int? = operand.other
    var hasDisplacement32 = mode == 2
    if low == 4 {
      guard let sib = next() else { return nil }
      let index = Int(sib >> 3 & 7) | (rex & 2 != 0 ? 8 : 0)
      base = Int(sib & 7) | (rex & 1 != 0 ? 8 : 0)
      if sib & 7 == 5, mode == 0 {
        base = nil
        hasDisplacement32 = true
      }
      if index != 4 { base = nil }
    } else if low == 5, mode == 0 {
      base = nil
      hasDisplacement32 = true
    }
    if mode == 1 {
      guard let displacement = int8() else { return nil }
      operand.displacement = displacement
    } else if hasDisplacement32 {
      guard let displacement = int32() else { return nil }
      operand.displacement = displacement
    }
    operand.base = isAddressSize32 ? nil : base
    return operand
  }

  private mutating func decode(opcode: UInt8) -> Instruction? {
    switch opcode {
    case 0x0f: return decodeTwoBytes()
    case 0x00...0x3f: return decodeArithmetic(opcode)
    case 0x50...0x57:
      let register = Int(opcode & 7) | (rex & 1 != 0 ? 8 : 0)
      return isOperandSize16 ? Instruction(effect: .overwrite(4)) : Instruction(effect: .push(register))
    case 0x58...0x5f:
      let register = Int(opcode & 7) | (rex & 1 != 0 ? 8 : 0)
      return isOperandSize16 || register == 4
        ? Instruction(effect: .overwrite(4)) : Instruction(effect: .pop(register))
    case 0x62: return decodeVector(opcode)
    case 0x63, 0x69, 0x6b:
      guard let operand = operand() else { return nil }
      return skip(
        opcode == 0x63 ? 0 : opcode == 0x69 ? immediate : 1,
        Instruction(effect: .overwrite(operand.register)))
    case 0x68, 0x6a:
      let effect = isOperandSize16 ? Instruction.Effect.overwrite(4) : .push(-1)
      return skip(opcode == 0x6a ? 1 : immediate, Instruction(effect: effect))
    case 0x6c...0x6f, 0x98, 0x99, 0x9b, 0x9e, 0x9f, 0xa4...0xa7, 0xaa...0xaf, 0xd7, 0xec...0xef, 0xf1, 0xf5,
      0xf8...0xfd:
      return Instruction()
    case 0x70...0x7f, 0xe0...0xe3: return int8().map { Instruction(flow: .branch($0)) }
    case 0x80, 0x81, 0x83: return decodeImmediate(opcode)
    case 0x84, 0x85: return operand().map { _ in Instruction() }
    case 0x86, 0x87:
      guard let operand = operand() else { return nil }
      if operand.isRegister, operand.register == 4 || operand.other == 4 {
        return Instruction(effect: .overwrite(4))
      }
      // Of two registers that are exchanged one at most is a copy of the stack pointer; either may be it.
      return Instruction(
        effect: operand.isRegister && isSaved(operand.other)
          ? .overwrite(operand.other) : .overwrite(operand.register))
    case 0x88, 0x8a, 0x89, 0x8b: return decodeMove(opcode)
    case 0x8c, 0x8e: return operand().map { _ in Instruction() }
    case 0x8d: return decodeAddress()
    case 0x8f:
      guard let operand = operand(), operand.operation == 0, !isOperandSize16 else { return nil }
      return Instruction(effect: .pop(operand.isRegister ? operand.other : -1))
    case 0x90...0x97:
      let register = Int(opcode & 7) | (rex & 1 != 0 ? 8 : 0)
      return Instruction(effect: register == 0 ? .none : .overwrite(register))
    case 0x9c: return Instruction(effect: .push(-1))
    case 0x9d: return Instruction(effect: .pop(-1))
    case 0xa0...0xa3: return skip(isAddressSize32 ? 4 : 8)
    case 0xa8, 0xe4...0xe7, 0xcd: return skip(1)
    case 0xa9: return skip(immediate)
    case 0xb0...0xb7: return skip(1)
    case 0xb8...0xbf:
      let register = Int(opcode & 7) | (rex & 1 != 0 ? 8 : 0)
      return skip(isWide ? 8 : immediate, Instruction(effect: .overwrite(register)))
    case 0xc0, 0xc1, 0xd0...0xd3:
      guard let operand = operand() else { return nil }
      return skip(
        opcode < 0xd0 ? 1 : 0,
        Instruction(effect: operand.isRegister && opcode & 1 == 1 ? .overwrite(operand.other) : .none))
    case 0xc2: return skip(2, Instruction(flow: .return))
    case 0xc3: return Instruction(flow: .return)
    case 0xc4, 0xc5: return decodeVector(opcode)
    case 0xc6, 0xc7:
      guard let operand = operand() else { return nil }
      return skip(
        opcode == 0xc6 ? 1 : immediate,
        Instruction(effect: operand.isRegister && opcode == 0xc7 ? .overwrite(operand.other) : .none))
    case 0xc8: return skip(3, Instruction(effect: .overwrite(4)))
    case 0xc9: return Instruction(effect: .leave)
    case 0xcc, 0xf4: return Instruction(flow: .elsewhere)
    case 0xd8...0xdf: return operand().map { _ in Instruction() }
    case 0xe8: return int32().map { Instruction(flow: .directCall($0)) }
    case 0xe9: return int32().map { Instruction(flow: .jump($0)) }
    case 0xeb: return int8().map { Instruction(flow: .jump($0)) }
    case 0xf6, 0xf7:
      guard let operand = operand() else { return nil }
      let isTest = operand.operation < 2
      let isWritten = operand.isRegister && (operand.operation == 2 || operand.operation == 3)
      return skip(
        isTest ? (opcode == 0xf6 ? 1 : immediate) : 0,
        Instruction(effect: isWritten ? .overwrite(operand.other) : .none))
    case 0xfe: return operand().map { _ in Instruction() }
    case 0xff: return decodeIndirect()
    default: return nil
    }
  }

  /// add, or, adc, sbb, and, sub, xor, cmp.
  private mutating func decodeArithmetic(_ opcode: UInt8) -> Instruction? {
    let isCompare = opcode >> 3 == 7
    switch opcode & 7 {
    case 0, 1, 2, 3:
      guard let operand = operand() else { return nil }
      if isCompare || opcode & 1 == 0 { return Instruction() }
      if opcode & 2 != 0 { return Instruction(effect: .overwrite(operand.register)) }
      return Instruction(effect: operand.isRegister ? .overwrite(operand.other) : .none)
    case 4: return skip(1)
    case 5: return skip(immediate)
    default: return nil
    }
  }

  private mutating func decodeImmediate(_ opcode: UInt8) -> Instruction? {
    guard let operand = operand() else { return nil }
    var value: Int32 = 0
    if opcode != 0x81 || immediate == 2 {
      at += opcode == 0x81 ? 2 : 1
      guard at <= bytes.count else { return nil }
      if opcode == 0x83 { value = Int32(Int8(bitPattern: bytes[at - 1])) }
    } else {
      guard let long = int32() else { return nil }
      value = long
    }
    guard operand.isRegister, operand.operation != 7, opcode != 0x80 else { return Instruction() }
    guard operand.other == 4, isWide, value != .min else {
      return Instruction(effect: .overwrite(operand.other))
    }
    switch operand.operation {
    case 0: return Instruction(effect: .add(value))
    case 5: return Instruction(effect: .add(-value))
    default: return Instruction(effect: .overwrite(4))
    }
  }

  private mutating func decodeMove(_ opcode: UInt8) -> Instruction? {
    guard let operand = operand() else { return nil }
    // Of 8 bits; 4 to 7 may be ah to bh, but no copy of an address is changed by a byte.
    let isByte = opcode & 1 == 0
    let isStore = opcode & 2 == 0
    if operand.isRegister {
      let (to, from) =
        isStore ? (operand.other, operand.register) : (operand.register, operand.other)
      return Instruction(effect: isWide && !isByte ? .copy(to: to, from: from, 0) : .overwrite(to))
    }
    if !isStore { return Instruction(effect: .overwrite(operand.register)) }
    guard let base = operand.base, isWide, !isByte else { return Instruction() }
    return Instruction(effect: .store(operand.register, base: base, operand.displacement))
  }

  private mutating func decodeAddress() -> Instruction? {
    guard let operand = operand(), !operand.isRegister else { return nil }
    guard let base = operand.base, isWide else { return Instruction(effect: .overwrite(operand.register)) }
    return Instruction(effect: .copy(to: operand.register, from: base, operand.displacement))
  }

  private mutating func decodeIndirect() -> Instruction? {
    guard let operand = operand() else { return nil }
    switch operand.operation {
    case 0, 1: return Instruction(effect: operand.isRegister ? .overwrite(operand.other) : .none)
    case 2: return Instruction(flow: .call)
    case 4, 5: return Instruction(flow: .elsewhere)
    case 6: return Instruction(effect: isOperandSize16 ? .overwrite(4) : .push(-1))
    default: return nil
    }
  }

  private mutating func decodeTwoBytes() -> Instruction? {
    guard let opcode = next() else { return nil }
    switch opcode {
    case 0x0b, 0xb9, 0xff: return Instruction(flow: .elsewhere)
    case 0x05, 0x06, 0x08, 0x09, 0x0e, 0x30...0x33, 0x77, 0xa2, 0xaa: return Instruction()
    case 0x07, 0x34, 0x35: return Instruction(flow: .elsewhere)
    case 0x80...0x8f: return int32().map { Instruction(flow: .branch($0)) }
    case 0xa0, 0xa8: return Instruction(effect: .push(-1))
    case 0xa1, 0xa9: return Instruction(effect: .pop(-1))
    case 0xc8...0xcf:
      return Instruction(effect: .overwrite(Int(opcode & 7) | (rex & 1 != 0 ? 8 : 0)))
    case 0x38, 0x3a:
      guard let third = next(), let operand = operand() else { return nil }
      if opcode == 0x3a {
        let isExtract = (0x14...0x17).contains(third) && operand.isRegister
        return skip(1, Instruction(effect: isExtract ? .overwrite(operand.other) : .none))
      }
      return Instruction(effect: third >= 0xf0 ? .overwrite(operand.register) : .none)
    case 0x04, 0x0a, 0x0c, 0x24...0x27, 0x36, 0x37, 0x39, 0x3b...0x3f: return nil
    default: break
    }
    guard let operand = operand() else { return nil }
    let hasImmediate: Bool
    switch opcode {
    case 0x0f, 0x70...0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6: hasImmediate = true
    default: hasImmediate = false
    }
    return skip(hasImmediate ? 1 : 0, Instruction(effect: effectOfTwoBytes(opcode, operand)))
  }

  /// Instructions of the second opcode map that write a general register.
  private func effectOfTwoBytes(_ opcode: UInt8, _ operand: Operand) -> Instruction.Effect {
    switch opcode {
    // Conditional moves, conversions to integers, sign masks, multiplications, extensions, bit scans.
    case 0x02, 0x03, 0x2c, 0x2d, 0x40...0x4f, 0x50, 0xaf, 0xb6, 0xb7, 0xb8, 0xbc, 0xbd, 0xbe, 0xbf, 0xc5,
      0xd7:
      return .overwrite(operand.register)
    // Those whose destination is the other operand: moves from vectors, double shifts, bit operations.
    case 0x20, 0x21, 0x7e, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xb1, 0xb3, 0xba, 0xbb, 0xc7, 0xae, 0x00, 0x01:
      return operand.isRegister ? .overwrite(operand.other) : .none
    case 0xc1:
      return .overwrite(operand.isRegister && isSaved(operand.other) ? operand.other : operand.register)
    default: return .none
    }
  }

  /// Instructions with a VEX or EVEX prefix.
  private mutating func decodeVector(_ prefix: UInt8) -> Instruction? {
    let map: UInt8
    var vector = 0
    rex = 0
    switch prefix {
    case 0xc5:
      guard let first = next() else { return nil }
      map = 1
      rex = first & 0x80 == 0 ? 4 : 0
      vector = Int(~first >> 3 & 15)
    case 0xc4:
      guard let first = next(), let second = next() else { return nil }
      map = first & 31
      rex = (first & 0x80 == 0 ? 4 : 0) | (first & 0x40 == 0 ? 2 : 0) | (first & 0x20 == 0 ? 1 : 0)
      vector = Int(~second >> 3 & 15)
    default:
      guard let first = next(), let second = next(), next() != nil else { return nil }
      map = first & 7
      rex = (first & 0x80 == 0 ? 4 : 0) | (first & 0x40 == 0 ? 2 : 0) | (first & 0x20 == 0 ? 1 : 0)
      vector = Int(~second >> 3 & 15)
    }
    guard let opcode = next() else { return nil }
    if map == 1, opcode == 0x77 { return Instruction() }
    guard (1...3).contains(map) || prefix == 0x62 && (map == 5 || map == 6), let operand = operand() else {
      return nil
    }
    var hasImmediate = map == 3
    var effect = Instruction.Effect.none
    switch (map, opcode) {
    case (1, 0x70...0x73), (1, 0xc2), (1, 0xc4), (1, 0xc6): hasImmediate = true
    case (1, 0xc5):
      hasImmediate = true
      effect = .overwrite(operand.register)
    case (1, 0x2c), (1, 0x2d), (1, 0x50), (1, 0x93), (1, 0xd7), (5, 0x2c), (5, 0x2d), (1, 0x78), (1, 0x79):
      effect = .overwrite(operand.register)
    case (1, 0x7e), (5, 0x7e), (3, 0x14...0x17): if operand.isRegister { effect = .overwrite(operand.other) }
    // Bit manipulation: andn, bzhi, pext, pdep, mulx, shifts; blsr and its like write the register in the prefix.
    case (2, 0xf2), (2, 0xf5), (2, 0xf7), (3, 0xf0): effect = .overwrite(operand.register)
    case (2, 0xf6): effect = .overwrite(isSaved(vector) ? vector : operand.register)
    case (2, 0xf3): effect = .overwrite(vector)
    default: break
    }
    return skip(hasImmediate ? 1 : 0, Instruction(effect: effect))
  }

  /// Registers that a callee preserves, and the stack pointer.
  private func isSaved(_ register: Int) -> Bool {
    register == 3 || register == 4 || register == 5 || register >= 12
  }
}
