// The ledger as names and numbers, for the formats that carry it.

import Accounting

extension Ledger {
  /// One number of the ledger.
  struct Field: Equatable {
    /// Lower case, words joined by `_`; `dropped.`, `damaged.` or `remark.` before the name of a cause; `_ns` at the
    /// end of what is in nanoseconds and is no count.
    let name: String
    let value: Int64
  }

  /// Every number that was counted, zeros included, then the estimates.
  var fields: [Field] {
    let counts: [(String, UInt64)] = [
      ("runs", runs), ("filtered", filtered), ("duplicates", duplicates), ("emitted", emitted),
      ("ring_full", ringFull), ("ring_full_attempts", ringFullAttempts), ("output_errors", outputErrors),
      ("kernel_lost_samples", kernelLostSamples), ("kernel_lost_sideband", kernelLostSideband),
      ("kernel_lost_names", kernelLostNames), ("name_attempts_lost", nameAttemptsLost),
      ("event_count_ns", eventCount), ("event_time_running_ns", eventTimeRunning), ("period_ns", period),
      ("target_cpu_ns", targetCPU), ("unsampled_cpu_ns", unsampledCPU),
      ("kernel_cpu_ns", kernelCPU), ("events_per_thread", eventsPerThread),
      ("records_read", recordsRead), ("kept", kept), ("whole", whole), ("damaged", damaged), ("empty", empty),
      ("dropped", dropped), ("late_records", lateRecords), ("unopened_threads", unopenedThreads),
      ("own_clock_ns", ownClock), ("clock_ahead_ns", clockAhead), ("blind_cpu_ns", blindCPU),
      ("threads_lived", threadsLived), ("interrupts_by_cpus", interruptsByCPUs), ("children", children),
      ("python_children", pythonChildren), ("child_cpu_ns", childCPU), ("missing_bound", missingBound),
    ]
    var fields = counts.map { Field(name: $0.0, value: Int64(clamping: $0.1)) }
    func add(_ group: String, _ cause: Any, _ count: UInt64) {
      fields.append(Field(name: "\(group).\(Self.words("\(cause)"))", value: Int64(clamping: count)))
    }
    for cause in DropCause.allCases { add("dropped", cause, self[dropped: cause]) }
    for cause in DamageCause.allCases { add("damaged", cause, self[damaged: cause]) }
    for remark in Remark.allCases { add("remark", remark, self[remark]) }
    for cause in UnverifiedCause.allCases { add("unverified", cause, unverified[cause.rawValue]) }
    fields.append(Field(name: "expected", value: Int64(clamping: expected)))
    fields.append(Field(name: "unfired", value: unfired))
    fields.append(Field(name: "missing", value: missing))
    fields.append(Field(name: "throttled", value: Int64(clamping: throttled)))
    return fields
  }

  /// `aFewWords` as `a_few_words`.
  private static func words(_ name: String) -> String {
    var words = ""
    for character in name {
      if character.isUppercase {
        words += "_" + character.lowercased()
      } else {
        words.append(character)
      }
    }
    return words
  }
}
