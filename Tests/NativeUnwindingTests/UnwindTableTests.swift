// The search table against a walk over all FDEs, and against files that lie.

import ProcessImages
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct UnwindTableTests {
  /// The same file without its PT_GNU_EH_FRAME header: only .eh_frame can be walked.
  private func withoutHeader(_ image: ElfImage) throws -> ElfImage {
    // e_phoff at 32, e_phentsize at 54, e_phnum at 56; p_type is a header's first word (PT_GNU_EH_FRAME 0x6474e550).
    let table = try #require(image.bytes.load(32, as: UInt64.self))
    let count = try #require(image.bytes.load(56, as: UInt16.self))
    var patches: [UInt64: UInt8] = [:]
    for index in 0..<UInt64(count) where image.bytes.load(table + index * 56, as: UInt32.self) == 0x6474_e550
    {
      for byte in 0..<4 { patches[table + index * 56 + UInt64(byte)] = 0 }
    }
    #expect(patches.count == 4)
    let patched = try ElfImage(bytes: Patched(image.bytes, patches), size: image.size)
    #expect(patched.ehFrameHeader == nil)
    return patched
  }

  @Test(arguments: ["libc", "vdso"]) func headerAndWalkAgree(_ name: String) throws {
    let image = try #require(name == "vdso" ? LiveImages.vdso() : SystemFiles.libc.flatMap(SystemFiles.image))
    let searched = UnwindTable(image: image)
    let walked = UnwindTable(image: try withoutHeader(image))
    var functions = 0
    for segment in image.segments where segment.isExecutable {
      for address in stride(from: segment.virtualAddress, to: segment.end, by: name == "vdso" ? 1 : 41) {
        let (one, two) = (searched.function(covering: address), walked.function(covering: address))
        #expect(one?.start == two?.start && one?.end == two?.end && one?.fde == two?.fde)
        #expect(one?.isSignalFrame == two?.isSignalFrame)
        if let one {
          #expect(address >= one.start && address < one.end)
          functions += 1
        }
      }
    }
    #expect(functions > (name == "vdso" ? 100 : 10_000))
  }

  /// A CIE and one FDE for 0x100..<0x140, at 0x2000: version 1, "zR", pc-relative 4-byte pointers, RA column 16.
  private static let cie: [UInt8] = [
    0x14, 0, 0, 0, 0, 0, 0, 0, 1, 0x7a, 0x52, 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0,
  ]
  private static let fde: [UInt8] = [
    0x14, 0, 0, 0, 0x1c, 0, 0, 0, 0xe0, 0xe0, 0xff, 0xff, 0x40, 0, 0, 0, 0, 0x41, 0x0e, 16, 0, 0, 0, 0,
  ]

  private func parse(_ change: (inout [UInt8]) -> Void) -> UnwindTable.Function? {
    var bytes = Self.cie + Self.fde
    change(&bytes)
    return UnwindTable.parse(fde: 0x2018, BytesAt(0x2000, bytes))
  }

  @Test func aFunctionOfItsOwn() throws {
    let function = try #require(parse { _ in })
    // The pointer stands at 0x2020 and is relative to its own place.
    #expect(function.start == 0x100 && function.end == 0x140 && !function.isSignalFrame)
    // A signal frame: the augmentation "zRS".
    let signal = try #require(
      parse {
        $0.replaceSubrange(
          8..<24, with: [1, 0x7a, 0x52, 0x53, 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0])
      })
    #expect(signal.isSignalFrame)
  }

  @Test(.timeLimit(.minutes(5))) func corruptInformationIsRefused() {
    let lies: [(String, (inout [UInt8]) -> Void)] = [
      ("version 0", { $0[8] = 0 }), ("version 2", { $0[8] = 2 }), ("version 4", { $0[8] = 4 }),
      ("return address column 17", { $0[14] = 17 }), ("return address column 255", { $0[14] = 255 }),
      (
        "version 3, column 16384",
        { $0.replaceSubrange(8..<17, with: [3, 0x7a, 0x52, 0, 1, 0x78, 0x80, 0x80, 1]) }
      ),
      ("unknown augmentation", { $0[10] = 0x51 }), ("augmentation without z", { $0[9] = 0x52 }),
      ("indirect encoding", { $0[16] = 0x9b }), ("text-relative encoding", { $0[16] = 0x2b }),
      ("data-relative encoding", { $0[16] = 0x3b }), ("function-relative encoding", { $0[16] = 0x4b }),
      ("aligned encoding", { $0[16] = 0x50 }), ("encoding ULEB128", { $0[16] = 0x11 }),
      ("2-byte encoding", { $0[16] = 0x1a }), ("omitted pointers", { $0[16] = 0xff }),
      ("no CIE but an FDE", { $0[4] = 1 }), ("CIE elsewhere", { $0[29] = 0x7f }),
      ("CIE itself", { $0[28] = 0 }),
      ("empty CIE", { $0[0] = 4 }), ("CIE without end", { $0[2] = 1 }),
      ("64-bit CIE", { $0.replaceSubrange(0..<4, with: [255, 255, 255, 255]) }),
      ("FDE too short", { $0[24] = 8 }), ("FDE without end", { $0[27] = 1 }),
      ("64-bit FDE", { $0.replaceSubrange(24..<28, with: [255, 255, 255, 255]) }),
      ("no size", { $0[36] = 0 }),
      ("negative size", { $0.replaceSubrange(36..<40, with: [255, 255, 255, 255]) }),
      ("alignment without end", { $0.replaceSubrange(12..<24, with: [UInt8](repeating: 0x80, count: 12)) }),
    ]
    for (lie, change) in lies { #expect(parse(change) == nil, "\(lie)") }
  }

  @Test func cutInformationIsRefused() {
    // The FDE ends behind its size field: what follows is libunwind's to read.
    for count in 0..<40 { #expect(parse { $0 = Array($0[..<count]) } == nil, "\(count)") }
  }

  /// A search table that is out of order cannot be searched: the FDEs are walked instead.
  @Test func aHeaderOutOfOrderIsNotUsed() throws {
    let image = try #require(SystemFiles.libc.flatMap(SystemFiles.image))
    let header = try #require(image.ehFrameHeader)
    let segment = try #require(
      image.segments.first { header.virtualAddress >= $0.virtualAddress && header.virtualAddress < $0.end })
    let offset = header.virtualAddress - segment.virtualAddress + segment.fileOffset
    var patches: [UInt64: UInt8] = [:]
    for byte in 0..<4 { patches[offset + 12 + UInt64(byte)] = byte == 3 ? 0x7f : 0xff }
    let lying = UnwindTable(image: try ElfImage(bytes: Patched(image.bytes, patches), size: image.size))
    let honest = UnwindTable(image: image)
    let start = try #require(image.symbol(named: "qsort")?.virtualAddress)
    #expect(lying.function(covering: start)?.start == honest.function(covering: start)?.start)
    #expect(honest.function(covering: start)?.start == start)
  }
}
