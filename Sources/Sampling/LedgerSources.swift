// What the program in the interrupt and the kernel counted, as lines of the ledger.

import Accounting
import PerfEvents

extension Ledger {
  /// Takes over the program's counters and the kernel's counts of what found no room.
  mutating func take(_ counts: ProgramCounts, lost: RecordStream.Lost) {
    runs = counts.runs
    filtered = counts.filtered
    duplicates = counts.duplicates
    emitted = counts.emitted
    ringFull = counts.ringFull
    ringFullAttempts = counts.ringFullAttempts
    outputErrors = counts.outputErrors
    nameAttemptsLost = counts.namesLost
    kernelLostSamples = lost.samples
    kernelLostNames = lost.names
    kernelLostSideband = lost.sideband
  }
}
