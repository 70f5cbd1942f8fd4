// From what is counted in the interrupt, by the kernel and by the sampler to the line that a person reads.

import Accounting
import Collectors
import Profiles
import PythonChain
import Testing

@testable import PerfEvents
@testable import Sampling

@Suite struct LedgerSourcesTests {
  /// The lines of a ledger that are not zero, without the estimates that are made of them.
  private func lines(_ ledger: Ledger) -> Set<String> {
    var profile = Profile()
    profile.ledger = ledger
    let text = SamplingSummary(profile).fullLedgerText.split(separator: "\n").prefix {
      $0 != "  Estimates:" && !$0.hasPrefix("ACCOUNTING")
    }
    return Set(
      text.filter { $0.hasPrefix("    ") }.map { String($0.drop { $0 == " " }) })
  }

  private static let runs = ["4,711  runs of the sampling program", "4,711  interrupts of the target"]

  /// A counter of the program's own structure, and the lines it moves. What is only part of another line leaves that at
  /// zero here.
  static let counters:
    [(name: String, set: @Sendable (inout python_chain_counters) -> Void, lines: [String])] = [
      ("runs", { $0.runs = 4711 }, runs),
      ("emitted", { $0.emitted = 4711 }, ["4,711  records written"]),
      (
        "duplicates", { $0.duplicates = 4711 },
        ["4,711  of these a second event of one thread"]
      ),
      ("ring_full", { $0.ring_full = 4711 }, ["4,711  samples lost: no room in the ring"]),
      (
        "ring_full_attempts", { $0.ring_full_attempts = 4711 },
        ["4,711  attempts to write a sample that found no room"]
      ),
      ("output_errors", { $0.output_errors = 4711 }, ["4,711  samples lost: output failed otherwise"]),
      ("names_lost", { $0.names_lost = 4711 }, ["4,711  attempts to hand over names that found no room"]),
      // These have no line.
      ("reduced", { $0.reduced = 4711 }, []), ("last_output_error", { $0.last_output_error = 4711 }, []),
      ("names_emitted", { $0.names_emitted = 4711 }, []), ("thread_walks", { $0.thread_walks = 4711 }, []),
      ("duplicate_tid", { $0.duplicate_tid = 4711 }, []),
    ]

  private func counts(_ set: (inout python_chain_counters) -> Void) -> ProgramCounts {
    var raw = python_chain_counters()
    set(&raw)
    var counts = ProgramCounts()
    unsafe withUnsafeBytes(of: raw) { bytes in
      let words = unsafe bytes.bindMemory(to: UInt64.self)
      for index in 0..<ProgramCounts.words { counts.add(index, unsafe words[index]) }
    }
    return counts
  }

  @Test(arguments: counters) func eachCounterMovesItsOwnLine(
    _ counter: (name: String, set: @Sendable (inout python_chain_counters) -> Void, lines: [String])
  ) {
    var ledger = Ledger()
    ledger.take(counts(counter.set), lost: RecordStream.Lost())
    #expect(lines(ledger) == Set(counter.lines), "\(counter.name)")
  }

  /// Filtered interrupts are no interrupts of the target.
  @Test func filtered() {
    var ledger = Ledger()
    ledger.take(
      counts {
        $0.runs = 10
        $0.filtered = 3
      }, lost: RecordStream.Lost())
    #expect(
      lines(ledger) == [
        "10  runs of the sampling program", "3  of these in other processes, or a second event of one thread",
        "7  interrupts of the target",
      ])
  }

  @Test func whatTheKernelLost() {
    var lost = RecordStream.Lost()
    (lost.samples, lost.names, lost.sideband) = (5, 6, 7)
    var ledger = Ledger()
    ledger.take(ProgramCounts(), lost: lost)
    #expect(
      lines(ledger) == [
        "5  sample records without room", "6  records of names without room",
        "7  notices of mappings, forks or exits without room",
      ])
  }

  @Test func whatTheSamplerCounts() {
    var ledger = Ledger()
    ledger.lateRecords = 8
    ledger.unopenedThreads = 9
    #expect(
      lines(ledger) == ["8  records that came after younger ones", "9  threads that could not be opened"])
  }
}

@Suite struct ThreadAuditTests {
  /// Threads 1 to 4: sampled, idle, busy, ended.
  private func round(
    _ audit: inout ThreadAudit, busy cpu: UInt64, opened: inout [Int32], failing: Set<Int32> = []
  ) {
    var opening: [Int32] = []
    audit.round(
      [1, 2, 3, 4], isSampled: { $0 == 1 }, cpuTime: { $0 == 4 ? nil : $0 == 2 ? 50 : cpu },
      open: { thread throws(PerfEventsError) in
        opening.append(thread)
        if failing.contains(thread) { throw .open(what: "the event", errno: 24) }
      })
    opened += opening
  }

  @Test func onlyThreadsThatUseCPUUnsampledAreOpened() {
    var audit = ThreadAudit(leastCPU: 100)
    var opened: [Int32] = []
    round(&audit, busy: 1_000_000, opened: &opened)
    #expect(opened == [], "what a thread used before it was seen says nothing")
    round(&audit, busy: 1_000_100, opened: &opened)
    #expect(opened == [], "not certain yet")
    round(&audit, busy: 1_000_201, opened: &opened)
    #expect(opened == [3])
    #expect(audit.unopened == 0)
    // A clock that goes back: another thread of the same id.
    round(&audit, busy: 5, opened: &opened)
    #expect(opened == [3])
  }

  @Test func whatCannotBeOpenedIsCounted() {
    var audit = ThreadAudit(leastCPU: 100)
    var opened: [Int32] = []
    for cpu: UInt64 in [0, 1000, 2000] { round(&audit, busy: cpu, opened: &opened, failing: [3]) }
    #expect(opened == [3, 3])
    #expect(audit.unopened == 2)
  }
}
