// Many threads, threads that come and go, and threads too short for an event of their own.

import Foundation
import Testing

extension Live {
  @Suite struct ThreadsTests {
    private struct Workers: Decodable {
      struct Worker: Decodable {
        let name: String
        let cpu: UInt64
        enum CodingKeys: String, CodingKey {
          case name
          case cpu = "cpu_ns"
        }
      }
      let threads: [Worker]
    }

    /// Samples and expected samples of each thread, at 1 kHz.
    private func counts(_ run: Profiled<Workers>) -> [(name: String, found: Double, expected: Double)] {
      run.report.threads.map { worker in
        (worker.name, Double(run.stacks.count(with: worker.name)), Double(worker.cpu) / 1e6)
      }
    }

    @Test(arguments: Interpreter.perRelease)
    func everyThreadOnceAndOnlyOnce(_ interpreter: Interpreter) throws {
      let run = try Profiled("many_threads.py", ["24", "0.1"], with: interpreter, as: Workers.self)
      let counts = counts(run)
      #expect(counts.count == 24)
      for thread in counts {
        #expect(
          thread.found <= Bounds.mostPerPeriod * thread.expected + 4
            && thread.found + run.ledger.unfired >= 0.98 * thread.expected - 4, "\(interpreter): \(thread)")
      }
      let (found, expected) = counts.reduce((0, 0)) { ($0.0 + $1.found, $0.1 + $1.expected) }
      #expect(
        found <= Bounds.mostPerPeriod * expected && found + run.ledger.unfired >= 0.98 * expected,
        "\(interpreter): \(found) of \(expected)")
      #expect(run.ledger.addsUp)
    }

    /// The creator's short threads make caduceus change to events per CPU in the middle.
    @Test(arguments: Interpreter.perRelease)
    func oneThatKeepsCreatingThreads(_ interpreter: Interpreter) throws {
      let run = try Profiled(
        "many_threads.py", ["24", "0.1", "--churn"], with: interpreter, as: Workers.self)
      let counts = counts(run)
      let (found, expected) = counts.reduce((0, 0)) { ($0.0 + $1.found, $0.1 + $1.expected) }
      // Sampled by the CPU's clock a thread's count is a matter of chance.
      let bound = 0.02 * expected + 4.5 * expected.squareRoot()
      #expect(
        found >= expected - bound && found <= Bounds.mostPerPeriod * expected + bound,
        "\(interpreter): \(found) of \(expected)\n\(run.errorText)")
      for thread in counts { #expect(thread.found > 0.5 * thread.expected, "\(interpreter): \(thread)") }
      #expect(run.ledger.addsUp, "\(run.ledger.text)")
    }

    private struct Short: Decodable {
      let processCPU: UInt64
      enum CodingKeys: String, CodingKey { case processCPU = "process_cpu_ns" }
    }

    /// Threads of less than one period: an event that each of them inherits would hardly ever fire.
    @Test(arguments: ["native", "python"]) func threadsShorterThanThePeriod(_ kind: String) throws {
      var samples = 0
      var seconds = 0.0
      for _ in 0..<3 {
        let run = try Profiled("short_threads.py", [kind, "1500", "800"], with: .any, as: Short.self)
        #expect(run.ledger.addsUp, "\(run.ledger.text)")
        samples += run.ledger.kept
        seconds += Double(run.report.processCPU) / 1e9
      }
      // The end of the program, outside of its own clock, is a few samples more.
      let rate = Double(samples) / seconds
      #expect(
        rate >= 950 && rate <= 1050 * Bounds.mostPerPeriod, "\(kind): \(rate) samples per CPU second")
    }
  }
}
