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

    /// Samples and CPU time of each thread.
    private func counts(_ run: Profiled<Workers>) -> [(name: String, found: Double, cpu: Double)] {
      run.report.threads.map { worker in
        (worker.name, Double(run.stacks.count(with: worker.name)), Double(worker.cpu))
      }
    }

    @Test(arguments: Interpreter.perRelease)
    func everyThreadOnceAndOnlyOnce(_ interpreter: Interpreter) throws {
      let run = try Profiled("many_threads.py", ["24", "0.1"], with: interpreter, as: Workers.self)
      let counts = counts(run)
      #expect(counts.count == 24)
      for thread in counts {
        let expected = run.pace.samples(of: thread.cpu)
        #expect(expected.contains(thread.found), "\(interpreter): \(thread), not in \(expected)")
      }
      let (found, cpu) = counts.reduce((0, 0)) { ($0.0 + $1.found, $0.1 + $1.cpu) }
      let expected = run.pace.samples(of: cpu, stretches: 24)
      #expect(expected.contains(found), "\(interpreter): \(found), not in \(expected)\n\(run.ledger.text)")
      #expect(run.pace.contradictions(threads: 25) == [], "\(run.ledger.text)")
      #expect(run.ledger.addsUp)
    }

    /// The creator's short threads make caduceus change to events per CPU in the middle.
    @Test(arguments: Interpreter.perRelease)
    func oneThatKeepsCreatingThreads(_ interpreter: Interpreter) throws {
      let run = try Profiled(
        "many_threads.py", ["24", "0.1", "--churn"], with: interpreter, as: Workers.self)
      let counts = counts(run)
      let (found, cpu) = counts.reduce((0, 0)) { ($0.0 + $1.found, $0.1 + $1.cpu) }
      let expected = run.pace.byCPUs(of: cpu)
      #expect(
        expected.contains(found), "\(interpreter): \(found), not in \(expected)\n\(run.errorText)")
      for thread in counts {
        #expect(run.pace.byCPUs(of: thread.cpu).contains(thread.found), "\(interpreter): \(thread)")
      }
      #expect(run.ledger.addsUp, "\(run.ledger.text)")
    }

    private struct Short: Decodable {
      let processCPU: UInt64
      enum CodingKeys: String, CodingKey { case processCPU = "process_cpu_ns" }
    }

    /// Threads of less than one period: an event that each of them inherits would hardly ever fire.
    @Test(arguments: ["native", "python"], [[], ["--per-cpu"]])
    func threadsShorterThanThePeriod(_ kind: String, _ options: [String]) throws {
      let run = try Profiled("short_threads.py", [kind, "1500", "800"], with: .any, options, as: Short.self)
      #expect(run.ledger.addsUp, "\(run.ledger.text)")
      #expect(run.pace.own >= Double(run.report.processCPU))
      let expected = run.pace.byCPUs(of: run.pace.own)
      let found = Double(run.ledger.targetRuns)
      #expect(found <= expected.upperBound, "\(kind): \(found), not in \(expected)\n\(run.ledger.text)")
      // How long caduceus takes to see that it must change over depends on what else the machine does; if it did not,
      // a handful of samples would be left.
      let least = options.isEmpty ? 0.7 * expected.lowerBound : expected.lowerBound
      #expect(found >= least, "\(kind): \(found), not in \(expected)\n\(run.ledger.text)")
    }
  }
}
