// Lengths and targets of instructions against objdump.

import ProcessImages
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct InstructionDecoderTests {
  @Test(arguments: ["libc", "libpython"]) func asObjdumpSays(_ name: String) throws {
    let path = try #require(name == "libc" ? SystemFiles.libc : SystemFiles.libpython)
    let image = try #require(SystemFiles.image(path))
    let section = try #require(image.section(named: ".text"))
    let code = try #require(
      image.virtualAddresses.bytes(section.virtualAddress, count: Int(section.size), limit: 1 << 26))
    let text = try #require(output(["objdump", "-d", "-j", ".text", "--no-show-raw-insn", path]))
    var last: (address: UInt64, text: Substring)?
    var (compared, unknown) = (0, 0)
    var wrong: [String] = []
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 1)
      guard line.first == " ", fields.count == 2,
        let address = UInt64(fields[0].drop { $0 == " " }, radix: 16)
      else { continue }
      let instruction = fields[1].drop { $0 == "\t" || $0 == " " }
      defer { last = (address, instruction) }
      guard let last, !last.text.hasPrefix("("), !last.text.hasPrefix(".byte") else { continue }
      let at = Int(last.address - section.virtualAddress)
      compared += 1
      guard let decoded = InstructionDecoder.decode(Array(code[at..<min(at + 16, code.count)]), at: 0) else {
        unknown += 1
        continue
      }
      var isRight = last.address + UInt64(decoded.length) == address
      let target = last.text.split(separator: " ").dropFirst().first.flatMap { UInt64($0, radix: 16) }
      switch decoded.flow {
      case .jump(let distance), .branch(let distance), .directCall(let distance):
        isRight = isRight && target == address &+ UInt64(bitPattern: Int64(distance))
      case .return: isRight = isRight && last.text.contains("ret")
      case .call: isRight = isRight && last.text.contains("call")
      case .next, .elsewhere: break
      }
      if !isRight { wrong.append("\(String(last.address, radix: 16)) \(last.text)") }
    }
    #expect(compared > 100_000)
    // x87 and system instructions that no stack depends on.
    #expect(wrong.isEmpty, "\(wrong.count) of \(compared): \(wrong.prefix(8))")
    #expect(unknown * 10_000 < compared, "\(unknown) of \(compared)")
  }
}
