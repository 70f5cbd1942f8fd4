// Threads that are born, and named, after sampling has begun: sampled, proven and called what they call themselves.

import Foundation
import Testing

extension Live {
  @Suite struct LateThreadsTests {
    private struct Late: Decodable {
      struct Thread: Decodable {
        let id: Int
        let name: String
        let cpu: Double
        enum CodingKeys: String, CodingKey {
          case id, name
          case cpu = "cpu_ns"
        }
      }
      let threads: [Thread]
    }

    /// `run` enables its events in another way than `attach`.
    @Test(arguments: ["attach", "run"], [[], ["--no-bpf"]])
    func areSampledAndProven(_ command: String, _ options: [String]) throws {
      let folder = try Folder()
      // On a busy machine whoever merges the records waits for a CPU: the rings have room for that.
      let out = [
        "-d", "100", "--ring-size", "32768", "--collapsed", "--threads", "--ledger", "-o", folder.file("out"),
      ]
      let report: Late
      let finished: Finished
      if command == "attach" {
        let program = try Program("late_threads.py", ["0.6"], with: .any)
        finished = try Caduceus.attach(program, options + out)
        report = try program.result(Late.self)
      } else {
        let program = try Program.command("late_threads.py", ["--no-gate", "0.6"], with: .any)
        finished = try Caduceus.run(["run"] + options + out + ["--"] + program)
        let line = finished.outputText.split(separator: "\n").last ?? ""
        report = try JSONDecoder().decode(Late.self, from: Data(line.utf8))
      }
      #expect(finished.status == 0, "\(finished.description)")
      let ledger = try LedgerReport(finished.errorText)
      #expect(ledger.addsUp, "\(ledger.text)")
      #expect(report.threads.map(\.name) == ["late_python", "late_native"])
      let lines = try folder.text("out").split(separator: "\n").map(String.init)
      var found = 0
      for thread in report.threads {
        // The thread's own words are the first frame: its number and the name that it has given itself.
        let own = lines.filter { $0.hasPrefix("tid:\(thread.id) ") }
        let named = own.filter { $0.hasPrefix("tid:\(thread.id) \(thread.name);") }
        #expect(!own.isEmpty && named.count == own.count, "\(thread.name): \(own.prefix(3))")
        let stacks = try CollapsedFile(own.map { $0.drop { $0 != ";" }.dropFirst() + "\n" }.joined())
        let proven = stacks.count { line in line.names.contains(thread.name) && !line.isMarked }
        #expect(
          Bounds.isAtLeast(0.9, proven, of: stacks.total), "\(proven) of \(stacks.total)\n\(ledger.text)")
        found += stacks.total
      }
      let periods = report.threads.reduce(0) { $0 + $1.cpu } / 1e6
      #expect(Double(found + ledger.ringFull) >= (1 - Pace.late) * periods - 4, "\(periods): \(ledger.text)")
      #expect(Double(found) >= periods / 2, "\(found) of \(periods)\n\(ledger.text)")
    }
  }
}
