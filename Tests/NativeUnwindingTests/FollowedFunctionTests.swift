// Functions that are followed instruction by instruction, against what their own unwind information says.

import ProcessImages
import Snapshots
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct FollowedFunctionTests {
  /// What a comparison of all functions of a file found.
  private struct Figures {
    var functions = 0
    var refused = 0
    var bytes = 0
    var rowless = 0
    var compared = 0
    var otherBase = 0
    var wrong = 0
    /// Of hand-written functions whose unwind information says nothing of what they push.
    var undescribed = 0
    var lostSave = 0
    var examples: [String] = []
  }

  private func compare(_ image: ElfImage) throws -> Figures {
    let code = CodeMap(addressSpace: OneFile.space(image), memory: nil)
    let libunwind = try #require(Libunwind(code: code))
    let table = UnwindTable(image: image)
    var figures = Figures()
    var at: UInt64 = 0
    while let start = table.start(after: at) {
      at = start
      let bias = OneFile.bias
      guard let located = code.function(covering: start &+ bias), located.function.start == start,
        let bytes = code.code(at: located.start, count: Int(located.end - located.start))
      else { continue }
      let rows = libunwind.rows(at: located.start, of: located)
      // A part of a function that was put elsewhere does not begin with its entry.
      guard let first = rows.first?.row, first.form == .frame, first.cfaRegister == 7, first.cfaOffset == 8
      else {
        continue
      }
      figures.functions += 1
      guard let followed = FollowedFunction(code: bytes) else {
        figures.refused += 1
        continue
      }
      figures.bytes += bytes.count
      for offset in bytes.indices {
        guard let mine = followed.row(at: offset) else {
          figures.rowless += 1
          continue
        }
        let address = located.start + UInt64(offset)
        guard let theirs = rows.first(where: { address >= $0.start && address < $0.end })?.row,
          theirs.form == .frame
        else { continue }
        guard mine.cfaRegister == theirs.cfaRegister else {
          figures.otherBase += 1
          continue
        }
        figures.compared += 1
        if mine.cfaOffset != theirs.cfaOffset {
          if rows.count == 1 {
            figures.undescribed += 1
          } else {
            figures.wrong += 1
            figures.examples.append("\(String(start, radix: 16))+\(String(offset, radix: 16))")
          }
        }
        for index in 0..<6 where theirs.slots[index] != 0 && mine.slots[index] != theirs.slots[index] {
          // After a pop the unwind information still names the slot.
          if mine.cfaRegister == 7, Int32(theirs.slots[index]) * 8 > mine.cfaOffset { continue }
          figures.lostSave += 1
          break
        }
      }
    }
    return figures
  }

  /// Each byte of code to which following leads: the stack pointer's distance and the saved registers. Where ways do
  /// not agree there is no row; most of that lies behind calls that do not come back.
  @Test(arguments: ["libc", "libpython"]) func agreesWithUnwindInformation(_ name: String) throws {
    let path = try #require(name == "libc" ? SystemFiles.libc : SystemFiles.libpython)
    let figures = try compare(try #require(SystemFiles.image(path)))
    #expect(figures.wrong == 0 && figures.lostSave == 0, "\(figures)")
    #expect(figures.functions > 2000 && figures.refused * 200 < figures.functions, "\(figures)")
    #expect(figures.compared > 2 * figures.rowless, "\(figures)")
    #expect(figures.undescribed * 1000 < figures.compared, "\(figures)")
  }
}
