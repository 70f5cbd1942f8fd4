// The only user of libunwind: parses unwind information into rows, and steps where a row is not enough.

internal import CLibunwind
import ProcessImages
import Snapshots

/// One libunwind address space over a `CodeMap`. Not thread safe.
@safe final class Libunwind {
  private let context: UnsafeMutablePointer<caduceus_unwind>
  private let code: CodeMap
  /// Stack words from `windowStart` on, where the frame lies in none of the bytes that begin at the stack pointer.
  private var window: [UInt64] = []
  private var windowStart: UInt64 = 0
  /// Words that are copied there at most.
  private static let windowLimit = 8192

  /// Nil where libunwind cannot be set up, or its row format is another one than the one we know.
  init?(code: CodeMap) {
    self.code = code
    unsafe context = .allocate(capacity: 1)
    unsafe context.initialize(to: caduceus_unwind())
    unsafe context.pointee.owner = Unmanaged.passUnretained(code).toOpaque()
    unsafe context.pointee.read = { owner, address, value in
      guard let owner = unsafe owner, let value = unsafe value,
        let word = unsafe Unmanaged<CodeMap>.fromOpaque(owner).takeUnretainedValue().readWord(address)
      else { return -1 }
      unsafe value.pointee = word
      return 0
    }
    unsafe context.pointee.find = { owner, address, start, fde in
      guard let owner = unsafe owner, let start = unsafe start, let fde = unsafe fde else { return -1 }
      let code = unsafe Unmanaged<CodeMap>.fromOpaque(owner).takeUnretainedValue()
      guard let located = code.function(covering: address) else { return -1 }
      code.select(located)
      unsafe start.pointee = located.start
      unsafe fde.pointee = located.function.fde &+ located.bias
      return 0
    }
    guard unsafe caduceus_unwind_open(context) == 0 else {
      unsafe context.deallocate()
      return nil
    }
  }

  deinit {
    unsafe caduceus_unwind_close(context)
    unsafe context.deallocate()
  }

  /// A row and the addresses of the target it is for.
  struct Row {
    let start: UInt64
    let end: UInt64
    let row: UnwindRow
  }

  /// The row that most bytes of a function have.
  static func body(of rows: [Row]) -> UnwindRow? {
    var best: (bytes: UInt64, row: UnwindRow)?
    for row in rows {
      let bytes = rows.reduce(0) { $1.row.isForm(of: row.row) ? $0 + ($1.end - $1.start) : $0 }
      if bytes > best?.bytes ?? 0 { best = (bytes, row.row) }
    }
    return best?.row
  }

  private final class Collector {
    var rows: [Row] = []
    let isSignalFrame: Bool
    let code: CodeMap
    init(isSignalFrame: Bool, code: CodeMap) {
      self.isSignalFrame = isSignalFrame
      self.code = code
    }
  }

  /// All rows of the function that covers `address`; empty where libunwind cannot parse them.
  func rows(at address: UInt64, of located: CodeMap.Located) -> [Row] {
    let collector = Collector(isSignalFrame: located.function.isSignalFrame, code: code)
    code.select(located)
    let status = unsafe caduceus_unwind_rows(
      context, address,
      { token, state, size, start, end in
        guard let token = unsafe token, let state = unsafe state,
          size == MemoryLayout<caduceus_reg_state>.size
        else {
          return -1
        }
        let collector = unsafe Unmanaged<Collector>.fromOpaque(token).takeUnretainedValue()
        let row = unsafe Libunwind.row(
          state.assumingMemoryBound(to: caduceus_reg_state.self).pointee, collector.isSignalFrame,
          collector.code)
        collector.rows.append(Row(start: start, end: end, row: row))
        return 0
      }, Unmanaged.passUnretained(collector).toOpaque())
    return status < 0 ? [] : collector.rows
  }

  /// Translates libunwind's register state; `.complex` where the row needs more than ours can say.
  private static func row(_ state: caduceus_reg_state, _ isSignalFrame: Bool, _ code: CodeMap) -> UnwindRow {
    let complex = UnwindRow(form: .complex, isSignalFrame: isSignalFrame)
    guard state.ret_addr_column == 16 else { return complex }
    let whereBytes = unsafe withUnsafeBytes(of: state.where) { bytes in
      var copy = InlineArray<19, UInt8>(repeating: 0)
      for index in 0..<19 { copy[index] = unsafe bytes[index] }
      return copy
    }
    let values = unsafe withUnsafeBytes(of: state.value) { bytes in
      var copy = InlineArray<19, UInt64>(repeating: 0)
      for index in 0..<19 { copy[index] = unsafe bytes.load(fromByteOffset: index * 8, as: UInt64.self) }
      return copy
    }
    func place(_ register: Int) -> UInt32 { UInt32(whereBytes[register]) }
    if place(16) == CADUCEUS_UNDEFINED.rawValue { return UnwindRow(form: .outermost) }
    guard place(16) == CADUCEUS_CFA_RELATIVE.rawValue, Int64(bitPattern: values[16]) == -8,
      place(7) == CADUCEUS_SAME.rawValue || place(7) == CADUCEUS_CFA.rawValue
        || place(7) == CADUCEUS_UNDEFINED.rawValue
    else { return complex }
    var row = UnwindRow(form: .frame, isSignalFrame: isSignalFrame)
    if place(17) == CADUCEUS_EXPRESSION.rawValue {
      guard let expression = FrameExpression(at: values[17], code) else { return complex }
      switch expression {
      case .plt: row.form = .plt
      case .dereference(let register, let offset):
        row.form = .aligned
        row.cfaRegister = register
        row.cfaOffset = offset
      }
    } else {
      guard place(17) == CADUCEUS_IN_REGISTER.rawValue, values[17] < 17,
        let offset = Int32(exactly: Int64(bitPattern: values[18]))
      else { return complex }
      row.cfaRegister = UInt8(values[17])
      row.cfaOffset = offset
    }
    for index in 0..<6 {
      let register = UnwindRow.saved[index]
      switch place(register) {
      case CADUCEUS_SAME.rawValue, CADUCEUS_UNDEFINED.rawValue: continue
      case CADUCEUS_CFA_RELATIVE.rawValue where row.form == .frame:
        let offset = -Int64(bitPattern: values[register])
        guard offset % 8 == 0, (2...255).contains(offset / 8) else { return complex }
        row.slots[index] = UInt8(offset / 8)
      case CADUCEUS_EXPRESSION.rawValue where row.form == .aligned:
        guard let offset = FrameExpression.basePointerOffset(at: values[register], code), offset <= 0,
          offset % 8 == 0,
          -offset / 8 + 1 <= 255
        else { return complex }
        row.slots[index] = UInt8(-offset / 8 + 1)
      default: return complex
      }
    }
    return row
  }

  /// One step from `registers`, which stand at `lookup`; nil where libunwind fails, `outermost` at the end.
  enum Step {
    case caller(Registers, isSignalFrame: Bool)
    case outermost
    case failed
  }

  func step(_ registers: Registers, lookup: UInt64, _ snapshot: borrowing StackSnapshot) -> Step {
    var start = registers
    start[Registers.rip] = lookup
    guard begin(start, snapshot) else { return .failed }
    return next(snapshot)
  }

  /// Places the cursor; the snapshot must be the one of the following `next` calls, too.
  func begin(_ registers: Registers, _ snapshot: borrowing StackSnapshot) -> Bool {
    placeWindow(snapshot, registers[Registers.rsp])
    unsafe withUnsafeMutableBytes(of: &context.pointee.registers) { bytes in
      for number in 0..<Registers.count {
        unsafe bytes.storeBytes(of: registers[number], toByteOffset: number * 8, as: UInt64.self)
      }
    }
    return lend(snapshot) { unsafe caduceus_unwind_begin(context) >= 0 }
  }

  /// One frame outwards from where the cursor stands.
  func next(_ snapshot: borrowing StackSnapshot) -> Step {
    lend(snapshot) {
      let isSignalFrame = unsafe caduceus_unwind_is_signal_frame(context) != 0
      var words = InlineArray<17, UInt64>(repeating: 0)
      var span = words.mutableSpan
      let status = unsafe span.withUnsafeMutableBufferPointer {
        unsafe caduceus_unwind_step(context, $0.baseAddress)
      }
      if status < 0 { return .failed }
      if status == 0 { return .outermost }
      var registers = Registers()
      for number in 0..<Registers.count { registers[number] = words[number] }
      return .caller(registers, isSignalFrame: isSignalFrame)
    }
  }

  private func lend<Result>(_ snapshot: borrowing StackSnapshot, _ body: () -> Result) -> Result {
    if window.isEmpty {
      let start = snapshot.stackStart
      return unsafe snapshot.stack.withUnsafeBytes { unsafe lend($0, at: start, body) }
    }
    return unsafe window.withUnsafeBytes { unsafe lend($0, at: windowStart, body) }
  }

  private func lend<Result>(_ bytes: UnsafeRawBufferPointer, at start: UInt64, _ body: () -> Result) -> Result
  {
    unsafe context.pointee.stack = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    unsafe context.pointee.stack_start = start
    unsafe context.pointee.stack_size = UInt64(bytes.count)
    defer {
      unsafe context.pointee.stack = nil
      unsafe context.pointee.stack_size = 0
    }
    return body()
  }

  /// Copies what the snapshot holds from a stack pointer on, where that lies behind a hole.
  private func placeWindow(_ snapshot: borrowing StackSnapshot, _ sp: UInt64) {
    window.removeAll(keepingCapacity: true)
    guard sp &- snapshot.stackStart >= UInt64(snapshot.stack.byteCount) else { return }
    windowStart = sp
    while window.count < Self.windowLimit, let word = snapshot.stackWord(sp &+ UInt64(window.count) * 8) {
      window.append(word)
    }
  }
}

/// The two kinds of DWARF expression (DWARF 5, section 2.5) that compilers and linkers make for the CFA.
enum FrameExpression {
  /// breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus: ld's .plt.
  case plt
  /// breg<register> offset, deref.
  case dereference(register: UInt8, offset: Int32)

  private static let pltBytes: [UInt8] = [11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22]

  init?(at address: UInt64, _ code: CodeMap) {
    guard let bytes = code.expression(at: address) else { return nil }
    if bytes.starts(with: Self.pltBytes) {
      self = .plt
      return
    }
    guard bytes[0] >= 3, (0x70...0x7f).contains(bytes[1]), let (offset, used) = Self.sleb(bytes, 2),
      Int(bytes[0]) == used + 2, bytes[2 + used] == 0x06
    else { return nil }
    self = .dereference(register: bytes[1] - 0x70, offset: offset)
  }

  /// The offset in `breg6 offset`.
  static func basePointerOffset(at address: UInt64, _ code: CodeMap) -> Int32? {
    guard let bytes = code.expression(at: address), bytes[1] == 0x76, let (offset, used) = sleb(bytes, 2),
      Int(bytes[0]) == used + 1
    else { return nil }
    return offset
  }

  private static func sleb(_ bytes: [UInt8], _ start: Int) -> (value: Int32, length: Int)? {
    var value: Int32 = 0
    for index in 0..<4 {
      let byte = bytes[start + index]
      value |= Int32(byte & 0x7f) << Int32(index * 7)
      if byte & 0x80 == 0 {
        let bits = Int32(index * 7 + 7)
        return (byte & 0x40 != 0 ? value | (-1 << bits) : value, index + 1)
      }
    }
    return nil
  }
}

extension CodeMap {
  /// The first 16 bytes of an expression: its length, then its operations; what cannot be read is zero.
  fileprivate func expression(at address: UInt64) -> [UInt8]? {
    guard let first = readWord(address), let second = readWord(address &+ 8) else { return nil }
    return (0..<8).map { UInt8(truncatingIfNeeded: first >> UInt64($0 * 8)) }
      + (0..<8).map { UInt8(truncatingIfNeeded: second >> UInt64($0 * 8)) }
  }
}
