// What the kernel copied of one thread in one interrupt: user registers and the top of the user stack.

/// The general registers of x86-64, by DWARF number (System V ABI, AMD64 supplement, figure 3.36), and the
/// instruction pointer as number 16.
public struct Registers: Sendable {
  /// DWARF number of `rbx`.
  public static let rbx = 3
  /// DWARF number of `rbp`.
  public static let rbp = 6
  /// DWARF number of `rsp`.
  public static let rsp = 7
  /// Number of the return address column, used for the instruction pointer.
  public static let rip = 16
  /// Registers there are.
  public static let count = 17

  private var values: InlineArray<17, UInt64>

  /// All registers zero.
  public init() { values = InlineArray(repeating: 0) }

  /// The register with a DWARF number below `count`.
  @inline(__always)
  public subscript(number: Int) -> UInt64 {
    get { values[number] }
    set { values[number] = newValue }
  }

  /// The stack pointer.
  public var stackPointer: UInt64 { values[Self.rsp] }
  /// The instruction pointer: the instruction that was about to run, not a return address.
  public var instructionPointer: UInt64 { values[Self.rip] }

  /// DWARF numbers in the order in which perf writes registers (arch/x86/include/uapi/asm/perf_regs.h:
  /// ax bx cx dx si di bp sp ip r8 ... r15).
  private static let perfOrder: InlineArray<17, Int> = [
    0, 3, 2, 1, 4, 5, 6, 7, 16, 8, 9, 10, 11, 12, 13, 14, 15,
  ]

  /// Registers from the words of a perf record.
  public init(perfWords: RawSpan) {
    values = InlineArray(repeating: 0)
    for index in 0..<Self.count { values[Self.perfOrder[index]] = perfWords.word(at: index * 8) }
  }
}

/// Registers and stack bytes of one interrupted thread. The stack bytes begin at the stack pointer; pages of the stack
/// that lie behind a hole or out of the copy's reach may be there besides.
public struct StackSnapshot: ~Escapable {
  /// Bytes of one page of `pages`.
  public static let pageBytes = 4096

  /// User registers at the interrupt.
  public let registers: Registers
  /// Bytes from the stack pointer upwards, as many as could be copied.
  public let stack: RawSpan
  /// Whole pages of the same instant, one behind the other.
  public let pages: RawSpan
  /// Their addresses, 8 bytes each, ascending.
  public let pageAddresses: RawSpan

  /// A snapshot over borrowed stack bytes.
  @_lifetime(copy stack)
  public init(registers: Registers, stack: RawSpan) {
    self.registers = registers
    self.stack = stack
    pages = stack.extracting(first: 0)
    pageAddresses = stack.extracting(first: 0)
  }

  /// A snapshot with pages besides the stack bytes: `pageAddresses` has 8 bytes for each `pageBytes` of `pages`.
  @_lifetime(copy stack)
  public init(registers: Registers, stack: RawSpan, pages: RawSpan, pageAddresses: RawSpan) {
    precondition(pages.byteCount == pageAddresses.byteCount / 8 * Self.pageBytes)
    self.registers = registers
    self.stack = stack
    self.pages = unsafe _overrideLifetime(pages, copying: stack)
    self.pageAddresses = unsafe _overrideLifetime(pageAddresses, copying: stack)
  }

  /// Address of the first stack byte.
  public var stackStart: UInt64 { registers.stackPointer }

  /// The stack word at `address`, or nil where it was not copied.
  @inline(__always)
  public func stackWord(_ address: UInt64) -> UInt64? {
    let offset = address &- registers.stackPointer
    guard offset <= UInt64(stack.byteCount), UInt64(stack.byteCount) - offset >= 8 else {
      return pages.isEmpty ? nil : pageWord(address)
    }
    return stack.word(at: Int(offset))
  }

  /// The word at `address` in one of the pages. Words are aligned, so none lies in two.
  private func pageWord(_ address: UInt64) -> UInt64? {
    guard address % 8 == 0 else { return nil }
    for page in 0..<pageAddresses.byteCount / 8 {
      let offset = address &- pageAddresses.word(at: page * 8)
      if offset < UInt64(Self.pageBytes) { return pages.word(at: page * Self.pageBytes + Int(offset)) }
    }
    return nil
  }
}
