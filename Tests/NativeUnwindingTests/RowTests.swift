// Rows of real functions against binutils' reading of the same unwind information, and single rows stepped over.

import ProcessImages
import Snapshots
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct RowTests {
  /// One line of `readelf --debug-dump=frames-interp`.
  private struct Line {
    let address: UInt64
    let cfa: String
    /// By register name; absent: no column.
    let registers: [String: String]
  }

  /// The FDEs of a file, by their first address.
  private func frames(_ path: String) -> [(start: UInt64, end: UInt64, lines: [Line])] {
    var result: [(start: UInt64, end: UInt64, lines: [Line])] = []
    var columns: [String] = []
    var isFDE = false
    for line in (output(["readelf", "--debug-dump=frames-interp", path], mayFail: true) ?? "").split(
      separator: "\n")
    {
      let words = line.split(separator: " ").map(String.init)
      if words.contains("CIE") || words.contains("ZERO") { isFDE = false }
      if let range = words.first(where: { $0.hasPrefix("pc=") }), words.contains("FDE") {
        let ends = range.dropFirst(3).split(separator: "..").compactMap { UInt64($0, radix: 16) }
        isFDE = ends.count == 2
        if isFDE { result.append((ends[0], ends[1], [])) }
      } else if words.first == "LOC" {
        columns = words
      } else if isFDE, words.count == columns.count, let address = UInt64(words[0], radix: 16) {
        let registers = Dictionary(uniqueKeysWithValues: zip(columns, words).dropFirst(2))
        result[result.count - 1].lines.append(Line(address: address, cfa: words[1], registers: registers))
      }
    }
    return result
  }

  private static let names = ["rbx", "rbp", "r12", "r13", "r14", "r15"]

  /// A row as readelf writes it; nil for a form it has other words for.
  private func describe(_ row: UnwindRow) -> (cfa: String, slots: [Int])? {
    guard row.form == .frame else { return nil }
    let registers = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"]
    let number = Int(row.cfaRegister)
    let register = number < 8 ? registers[number] : "r\(number)"
    let offset = row.cfaOffset
    return ("\(register)\(offset < 0 ? "" : "+")\(offset)", (0..<6).map { Int(row.slots[$0]) * 8 })
  }

  @Test(arguments: ["libc", "python"]) func rowsAreWhatBinutilsReads(_ name: String) throws {
    let path = try #require(name == "libc" ? SystemFiles.libc : SystemFiles.libpython)
    let image = try #require(SystemFiles.image(path))
    let code = CodeMap(addressSpace: OneFile.space(image), memory: nil)
    let libunwind = try #require(Libunwind(code: code))
    let bias = code.addressSpace.areas[0].bias
    var (functions, compared, others) = (0, 0, 0)
    // Every eighth: hundreds of functions of each file.
    for (index, frame) in frames(path).enumerated() where index % 8 == 0 && !frame.lines.isEmpty {
      let located = try #require(code.function(covering: frame.start &+ bias))
      #expect(located.function.start == frame.start && located.function.end == frame.end)
      let rows = libunwind.rows(at: located.start, of: located)
      functions += 1
      for (number, line) in frame.lines.enumerated() {
        // A location that the next one repeats has no instruction of its own.
        if number + 1 < frame.lines.count, frame.lines[number + 1].address == line.address { continue }
        let address = line.address &+ bias
        let row = rows.first { address >= $0.start && address < $0.end }?.row
        guard let row, let text = describe(row) else {
          // Expressions: what rows cannot say, or say in another form.
          let isExpression = line.cfa == "exp" || line.registers.values.contains { $0.hasSuffix("exp") }
          let isOutermost = line.registers["ra"] == "u"
          #expect(isExpression || isOutermost || row?.form == .complex, "\(line)")
          if isOutermost { #expect(row?.form == .outermost) }
          others += 1
          continue
        }
        #expect(text.cfa == line.cfa, "\(line)")
        #expect(line.registers["ra"] == "c-8")
        for (slot, register) in zip(text.slots, Self.names) {
          let place = line.registers[register] ?? "u"
          #expect(slot == (place.hasPrefix("c-") ? Int(place.dropFirst(2)) ?? -1 : 0), "\(register) \(line)")
        }
        compared += 1
      }
    }
    #expect(functions >= 250, "\(functions)")
    #expect(compared > functions && others * 20 < compared, "\(compared), \(others)")
  }

  /// libc with an unwinder of each method over it.
  private struct Libc {
    let image: ElfImage
    let space: AddressSpace
    let code: CodeMap
    let libunwind: Libunwind
    let bias: UInt64

    init() throws {
      image = try #require(SystemFiles.libc.flatMap(SystemFiles.image))
      space = OneFile.space(image)
      code = CodeMap(addressSpace: space, memory: nil)
      libunwind = try #require(Libunwind(code: code))
      bias = try #require(space.areas.first).bias
    }

    func frames(
      _ registers: Registers, _ words: [UInt64], _ method: NativeUnwinder.Method
    ) throws -> [NativeFrame] {
      let unwinder = try #require(NativeUnwinder(addressSpace: space, memory: nil, method: method))
      var stack = AddressStack()
      let bytes = stackBytes(words)
      unsafe unwinder.unwind(StackSnapshot(registers: registers, stack: bytes.span.bytes), into: &stack)
      return stack.frames
    }

    /// The first address in a function of which a row is `wanted`.
    func place(where wanted: (UnwindRow) -> Bool) throws -> UInt64 {
      let text = try #require(image.section(named: ".text"))
      var at = text.virtualAddress
      while at < text.virtualAddress + text.size {
        guard let located = code.function(covering: at &+ bias) else {
          at += 16
          continue
        }
        if let row = libunwind.rows(at: located.start, of: located).first(where: { wanted($0.row) }) {
          return row.start
        }
        at = max(located.function.end, at + 1)
      }
      throw CancellationError()
    }
  }

  private let top: UInt64 = 0x7ffc_0000_1000

  private func registers(at address: UInt64, rbp: UInt64 = 0) -> Registers {
    var registers = Registers()
    registers[Registers.rip] = address
    registers[Registers.rsp] = top
    registers[Registers.rbp] = rbp
    return registers
  }

  /// ld's rule for .plt depends on the position in the stub; libunwind evaluates the expression itself.
  @Test func pltStubs() throws {
    let libc = try Libc()
    let section = try #require(libc.image.section(named: ".plt"))
    let caller = try #require(libc.image.symbol(named: "qsort")).virtualAddress &+ libc.bias + 1
    var forms = 0
    for offset in 0..<min(64, section.size) {
      let address = section.virtualAddress &+ libc.bias &+ offset
      let located = try #require(libc.code.function(covering: address))
      let row = libc.libunwind.rows(at: located.start, of: located).first {
        address >= $0.start && address < $0.end
      }
      if row?.row.form == .plt { forms += 1 }
      let words = [UInt64](repeating: caller, count: 16)
      let rows = try libc.frames(registers(at: address), words, .rows)
      let oracle = try libc.frames(registers(at: address), words, .libunwind)
      #expect(rows.first == oracle.first, "\(offset)")
    }
    #expect(forms >= 32)
  }

  /// After `pop %rbp` gcc's row still says "saved at CFA-16". The slot is below the stack pointer by then: the
  /// register has its caller's value, and the caller's CFA is computed from it.
  @Test func epilogueAfterThePop() throws {
    let libc = try Libc()
    let epilogue = try libc.place {
      $0.form == .frame && $0.cfaRegister == 7 && $0.cfaOffset == 8 && $0.slots[1] == 2 && $0.slots[0] == 0
        && $0.slots[2] == 0
    }
    let based = try libc.place { $0.form == .frame && $0.cfaRegister == 6 && $0.cfaOffset == 16 }
    let base = top + 64
    var words = [UInt64](repeating: 0x1111, count: 16)
    words[0] = based + 1
    let frames = try libc.frames(registers(at: epilogue, rbp: base), words, .rows)
    #expect(frames.count >= 2)
    #expect(frames[0].canonicalFrameAddress == top + 8)
    #expect(frames[1].address == based + 1 && frames[1].canonicalFrameAddress == base + 16)
    #expect(
      try libc.frames(registers(at: epilogue, rbp: base), words, .libunwind).prefix(2) == frames.prefix(2))
  }

  @Test func aFrameThatDoesNotAdvanceEndsTheStack() throws {
    let libc = try Libc()
    let based = try libc.place { $0.form == .frame && $0.cfaRegister == 6 && $0.cfaOffset == 16 }
    let unwinder = try #require(NativeUnwinder(addressSpace: libc.space, memory: nil))
    for (rbp, end) in [
      (top - 64, UnwindEnd.didNotAdvance), (top + 3, .didNotAdvance), (0, .didNotAdvance),
      (top + 4096, .snapshotExhausted), (.max, .didNotAdvance),
    ] as [(UInt64, UnwindEnd)] {
      var stack = AddressStack()
      let bytes = stackBytes([UInt64](repeating: based + 1, count: 16))
      unsafe unwinder.unwind(
        StackSnapshot(registers: registers(at: based, rbp: rbp), stack: bytes.span.bytes), into: &stack)
      #expect(stack.end == end && stack.frames.count == 1, "\(rbp)")
    }
  }

  /// A stack full of return addresses into a function that keeps no frame goes on and on.
  @Test func depthIsLimited() throws {
    let libc = try Libc()
    let flat = try libc.place {
      $0.form == .frame && $0.cfaRegister == 7 && $0.cfaOffset == 8 && $0.slots[0] == 0
    }
    let unwinder = try #require(NativeUnwinder(addressSpace: libc.space, memory: nil))
    var stack = AddressStack()
    let bytes = stackBytes([UInt64](repeating: flat + 1, count: 5000))
    unsafe unwinder.unwind(
      StackSnapshot(registers: registers(at: flat), stack: bytes.span.bytes), into: &stack)
    #expect(stack.end == .depthLimit && stack.frames.count == NativeUnwinder.maximumDepth)
  }
}
