// Processes made by hand: code without a file, libc beside it for rows, and a stack.

import ProcessImages
import Snapshots
import TestSupport
import Testing

@testable import NativeUnwinding

/// libc, and one mapping of hand-made code that is treated as a file nobody can read, or as made at run time.
struct MadeCode {
  /// Where the code is.
  static let start: UInt64 = 0x7f00_0000_0000
  static let size: UInt64 = 0x2000
  /// Stack pointer.
  static let top: UInt64 = 0x7ffc_0000_1000

  private final class Images: ImageProvider {
    let libc: ElfImage
    let functions: SymbolTable?
    init(_ libc: ElfImage, _ functions: SymbolTable?) {
      self.libc = libc
      self.functions = functions
    }
    func image(for mapping: Mapping) -> ElfImage? { mapping.path == "/libc" ? libc : nil }
    func symbols(for mapping: Mapping) -> SymbolTable? { mapping.path == "/code" ? functions : nil }
  }

  let unwinder: NativeUnwinder
  /// A return address behind an indirect call in a function of libc, of whose row the canonical frame address is rsp +
  /// `offset`.
  let loopCall: UInt64
  let offset: UInt64

  /// - Parameters:
  ///   - code: Bytes by their offset; all others are `hlt`.
  ///   - functions: Symbols by offset; nil for code that was made at run time.
  init(
    _ code: [(at: Int, bytes: [UInt8])], functions: [(start: UInt64, size: UInt32, name: String)]? = nil,
    method: NativeUnwinder.Method = .rows
  ) throws {
    let libc = try #require(SystemFiles.libc.flatMap(SystemFiles.image))
    var contents = [UInt8](repeating: 0xf4, count: Int(Self.size))
    for (at, bytes) in code { contents.replaceSubrange(at..<at + bytes.count, with: bytes) }
    var mappings = libc.segments.filter(\.isExecutable).map { segment in
      Mapping(
        start: segment.virtualAddress & ~4095 + OneFile.bias,
        end: (segment.end + 4095) & ~4095 + OneFile.bias,
        fileOffset: segment.fileOffset & ~4095, isExecutable: true, inode: 1, path: "/libc")
    }
    mappings.insert(
      Mapping(
        start: Self.start, end: Self.start + Self.size, isExecutable: true, inode: functions == nil ? 0 : 2,
        path: functions == nil ? "" : "/code"), at: 0)
    let table = functions.map { SymbolTable(functions: $0) }
    let space = AddressSpace(mappings: mappings, provider: Images(libc, table))
    unwinder = try #require(
      NativeUnwinder(addressSpace: space, memory: BytesAt(Self.start, contents), method: method))
    let map = CodeMap(addressSpace: space, memory: nil)
    let libunwind = try #require(Libunwind(code: map))
    // Any function whose frame is found from the stack pointer, that saves registers and calls what it is given.
    var found: (call: UInt64, row: UnwindRow)?
    for name in ["tsearch", "lfind", "tfind", "lsearch", "tdelete", "bsearch"] where found == nil {
      guard let symbol = libc.symbol(named: name),
        let located = map.function(covering: symbol.virtualAddress &+ OneFile.bias),
        let bytes = map.code(at: located.start, count: Int(located.end - located.start))
      else { continue }
      let rows = libunwind.rows(at: located.start, of: located)
      guard let body = Libunwind.body(of: rows), body.form == .frame, body.cfaRegister == 7,
        body.cfaOffset >= 48, body.slots[0] != 0
      else { continue }
      var at = 0
      while found == nil, let instruction = InstructionDecoder.decode(bytes, at: at) {
        at += instruction.length
        let end = located.start + UInt64(at)
        if instruction.flow == .call,
          rows.contains(where: { end > $0.start && end <= $0.end && $0.row.isForm(of: body) })
        {
          found = (end, body)
        }
      }
    }
    let (call, row) = try #require(found)
    loopCall = call
    offset = UInt64(row.cfaOffset)
  }

  /// Unwinds a stack of words that begins at `top`.
  func unwind(
    at offset: UInt64, _ words: [UInt64], rbp: UInt64 = 0, boundaries: [UInt64] = [], loop: KnownLoop? = nil
  ) -> AddressStack {
    var registers = Registers()
    registers[Registers.rip] = Self.start + offset
    registers[Registers.rsp] = Self.top
    registers[Registers.rbp] = rbp
    var stack = AddressStack()
    stack.keepsRegisters = true
    let bytes = stackBytes(words)
    unsafe unwinder.unwind(
      StackSnapshot(registers: registers, stack: bytes.span.bytes), boundaries: boundaries, loop: loop,
      into: &stack)
    return stack
  }

  /// `call rel32` from where it ends to a target, both offsets.
  static func call(_ target: Int, endingAt end: Int) -> (at: Int, bytes: [UInt8]) {
    let distance = UInt32(bitPattern: Int32(target - end))
    return (end - 5, [0xe8] + (0..<4).map { UInt8(truncatingIfNeeded: distance >> UInt32(8 * $0)) })
  }
}
