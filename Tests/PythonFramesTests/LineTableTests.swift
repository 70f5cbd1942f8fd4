// Decodes location tables, and compares with every interpreter's own answer.

import Foundation
import Testing

@testable import PythonFrames

@Suite struct LineTableTests {
  @Test func entriesOfEachKind() {
    // Short form, 2 units; one line on, 1 unit; no line, 1 unit; long form with step -3, 8 units.
    let table: [UInt8] = [
      0x80 | 3 << 3 | 1, 0, 0x80 | 11 << 3, 0, 0, 0x80 | 15 << 3, 0x80 | 14 << 3 | 7, 7, 0x41, 1, 0, 0,
    ]
    let answers = [0, 2, 4, 6, 8, 22].map { LineTable.line(at: $0, in: table, firstLine: 100) }
    #expect(answers == [.line(100), .line(100), .line(101), .noLine, .line(98), .line(98)])
    #expect(LineTable.line(at: 24, in: table, firstLine: 100) == .beyondTable)
    #expect(LineTable.line(at: -2, in: table, firstLine: 100) == .line(100))
    #expect(LineTable.coveredBytes(table) == 24)
  }

  @Test func everyCutAndEverySpoiledByteEnds() {
    let table: [UInt8] = [0x80 | 3 << 3 | 1, 0, 0x80 | 11 << 3, 0, 0, 0x80 | 14 << 3 | 7, 7, 0x41, 1, 0, 0]
    for end in table.indices {
      let cut = Array(table[..<end])
      #expect(LineTable.line(at: 20, in: cut, firstLine: 1) == .beyondTable)
    }
    for index in table.indices {
      for value in UInt8.min...UInt8.max {
        var spoiled = table
        spoiled[index] = value
        _ = LineTable.line(at: 20, in: spoiled, firstLine: .max)
        _ = LineTable.coveredBytes(spoiled)
      }
    }
    #expect(LineTable.coveredBytes(Array(repeating: 0x7f, count: 9)) == nil)
  }

  /// One line per code object: first line, table in hexadecimal, then the line of each unit (`co_lines`).
  static let program = #"""
    import argparse, ast, asyncio.base_events, collections, dataclasses, decimal, email.message, inspect, json, os
    import pickle, sys, tokenize, typing, unittest.mock
    def walk(code):
        yield code
        for c in code.co_consts:
            if hasattr(c, "co_code"):
                yield from walk(c)
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if not path.endswith(".py"):
            continue
        try:
            source = open(path, "rb").read()
        except OSError:
            continue
        for code in walk(compile(source, path, "exec")):
            lines = [0] * (len(code.co_code) // 2)
            for start, end, line in code.co_lines():
                for unit in range(start // 2, end // 2):
                    lines[unit] = -1 if line is None else line
            print(code.co_firstlineno, code.co_linetable.hex(), *lines)
    """#

  @Test(arguments: Interpreter.all)
  func agreesWithTheInterpreter(_ interpreter: Interpreter) throws {
    let child = try Child(interpreter.path, ["-c", Self.program])
    var objects = 0
    var units = 0
    var wrong = 0
    for row in try child.finish().split(separator: "\n") {
      let words = row.utf8.split(separator: 0x20)
      guard words.count > 2, let first = Int32(Substring(words[0])) else { continue }
      let digits = Array(words[1])
      let table = stride(from: 0, to: digits.count, by: 2).map {
        Self.nibble(digits[$0]) << 4 | Self.nibble(digits[$0 + 1])
      }
      objects += 1
      if LineTable.coveredBytes(table) != (words.count - 2) * 2 { wrong += 1 }
      for (unit, word) in words[2...].enumerated() {
        let answer = LineTable.line(at: unit * 2, in: table, firstLine: first)
        let truth = Int32(Substring(word)) ?? 0
        units += 1
        if answer != (truth < 0 ? .noLine : .line(truth)) { wrong += 1 }
      }
    }
    #expect(objects > 1000)
    #expect(wrong == 0, "of \(units) instructions in \(objects) code objects")
  }

  private static func nibble(_ digit: UInt8) -> UInt8 { digit < 0x3a ? digit & 0xf : digit - 0x61 + 10 }
}
