// Names and lines of code objects that live for microseconds, and of what lies in between.

import Foundation
import Testing

extension Live {
  @Suite struct NamesTests {
    private struct Churned: Decodable {
      let generations: Int
      let nanoseconds: Double
      enum CodingKeys: String, CodingKey {
        case generations
        case nanoseconds = "cpu_ns"
      }
    }

    /// A frame of churn_code.py that belongs to a generation.
    private struct Generated {
      let kind: String
      let number: Int
      let fileNumber: Int
      let line: Int

      /// By hand: a regular expression for each of 100,000 frames takes longer than the sampling.
      init?(_ frame: CollapsedFile.Frame) {
        guard case .python(let file, let function, let line) = frame, file.hasPrefix("<gen_"),
          file.hasSuffix(">"),
          let inFile = Int(file.dropFirst(5).dropLast()), file.utf8.count == 14
        else { return nil }
        let parts = function.split(separator: ".").last.map { $0.split(separator: "_") } ?? []
        guard parts.count == 2, let number = Int(parts[1]) else { return nil }
        kind = String(parts[0])
        self.number = number
        fileNumber = inFile
        self.line = line
      }

      var isAtItsLine: Bool {
        line == (["inner": 2, "middle": 3, "outer": 4][kind] ?? 0) + number % 97
      }
    }

    /// What is wrong with a stack, by the rules of churn_code.py; nil for nothing.
    private func fault(_ line: CollapsedFile.Line) -> String? {
      let generated = line.frames.compactMap(Generated.init)
      guard let first = generated.first else { return nil }
      let isNameless = line.names.contains { $0.contains("unknown Python function") }
      if generated.contains(where: { $0.number != first.number || $0.fileNumber != first.number }) {
        return "two generations"
      }
      let kinds = generated.map(\.kind)
      if !isNameless, !["outer", "middle", "inner"].starts(with: kinds) { return "order \(kinds)" }
      let lane = line.names.first { $0.hasPrefix("sit_lane_") }.flatMap { Int($0.dropFirst(9).prefix(1)) }
      if let lane, lane != first.number % 8 { return "lane \(lane) of generation \(first.number)" }
      return generated.allSatisfy(\.isAtItsLine) ? nil : "a wrong line"
    }

    @Test(arguments: Interpreter.supported, ["exec", "marshal", "replace", "closure"])
    func noNameOfAnotherCodeObject(_ interpreter: Interpreter, _ mode: String) throws {
      let run = try Profiled(
        "churn_code.py", [mode, "0.6"], with: interpreter, ["-i", "100"], as: Churned.self)
      let below = run.stacks.lines.filter { $0.names.contains("churn") }
      let samples = below.reduce(0) { $0 + $1.count }
      let wrong = below.compactMap { line in fault(line).map { "\(line.count) × \($0): \(line.text)" } }
      let expected = run.pace.samples(of: run.report.nanoseconds)
      #expect(expected.contains(Double(samples)), "\(samples), not in \(expected)\n\(run.ledger.text)")
      #expect(run.report.generations > 100)
      #expect(wrong == [], "\(interpreter), \(mode)")
      // On 3.11 nothing is promised but that they are counted.
      let nameless = below.filter { $0.names.contains { $0.contains("unknown Python") } }.reduce(0) {
        $0 + $1.count
      }
      #expect(nameless <= run.ledger.nameless)
      if interpreter.minor > 11 {
        #expect(
          Bounds.isAtMost(0.01, nameless, of: samples), "\(interpreter), \(mode): \(nameless) of \(samples)")
      }
    }

    private struct Constructed: Decodable {
      let nanoseconds: UInt64
      enum CodingKeys: String, CodingKey { case nanoseconds = "cpu_ns" }
    }

    /// CPython's own code objects (_Py_InitCleanup) stand on the stack without being functions; the program is in
    /// such a call already when caduceus attaches.
    @Test(arguments: Interpreter.supported) func noFrameOfTheInterpretersOwn(_ interpreter: Interpreter)
      throws
    {
      let run = try Profiled("constructors.py", ["0.5"], with: interpreter, as: Constructed.self)
      let spinning = run.stacks.lines.filter { $0.names.contains("sit_spin") }
      let wrong = spinning.filter { line in
        line.frames.filter(\.isPython).map(\.name) != ["<module>", "main", "Item.__init__"]
      }
      let samples = spinning.reduce(0) { $0 + $1.count }
      #expect(run.pace.samples(of: Double(run.report.nanoseconds)).contains(Double(samples)))
      #expect(wrong.map(\.text) == [], "\(interpreter)")
      #expect(run.ledger.nameless == 0)
    }
  }
}
