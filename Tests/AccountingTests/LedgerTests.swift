// The law of the ledger: holds for a consistent run, and names each equation that is broken.

import Accounting
import Testing

/// A run in which everything that can happen has happened, consistent in itself.
private func consistentLedger() -> Ledger {
  var ledger = Ledger()
  ledger.runs = 1000
  ledger.filtered = 100
  ledger.duplicates = 40
  ledger.emitted = 850
  ledger.ringFull = 45
  ledger.ringFullAttempts = 97
  ledger.outputErrors = 5
  ledger.kernelLostSamples = 97
  ledger.kernelLostNames = 3
  ledger.nameAttemptsLost = 3
  ledger.recordsRead = 850
  ledger.whole = 800
  ledger[damaged: .pythonTransient] = 30
  ledger[damaged: .nativeStackTruncated] = 10
  ledger[dropped: .noUserRegisters] = 10
  return ledger
}

@Test func consistentRunHasNoDiscrepancy() {
  let ledger = consistentLedger()
  #expect(ledger.discrepancies.isEmpty)
  #expect(ledger.kept == 840)
  #expect(ledger.damaged == 40)
  #expect(ledger.dropped == 10)
  #expect(ledger.targetRuns == 900)
}

/// One change that loses or invents something, and the equation that must say so.
private struct Breakage: Sendable, CustomStringConvertible {
  let description: String
  let equation: String
  let apply: @Sendable (inout Ledger) -> Void
}

private let breakages: [Breakage] = [
  Breakage(description: "a run without an outcome", equation: "runs =") { $0.runs += 1 },
  Breakage(description: "a filtered run that never ran", equation: "runs =") { $0.filtered += 1 },
  Breakage(description: "an unread record", equation: "emitted =") {
    $0.recordsRead -= 1
    $0.whole -= 1
  },
  Breakage(description: "a sample that vanished", equation: "records read =") { $0.whole -= 1 },
  Breakage(description: "a sample counted twice", equation: "records read =") {
    $0[damaged: .joinMismatch] += 1
  },
  Breakage(description: "a drop counted twice", equation: "records read =") {
    $0[dropped: .malformedRecord] += 1
  },
  Breakage(description: "a loss the kernel did not see", equation: "attempts without room =") {
    $0.ringFullAttempts += 1
  },
  Breakage(description: "a loss only the kernel saw", equation: "attempts without room =") {
    $0.kernelLostSamples += 1
  },
  Breakage(description: "lost names that nobody counted", equation: "name attempts") {
    $0.kernelLostNames += 1
  },
]

@Test(arguments: breakages.indices) func brokenEquationIsNamed(index: Int) {
  var ledger = consistentLedger()
  breakages[index].apply(&ledger)
  let broken = ledger.discrepancies
  #expect(broken.count == 1, "\(breakages[index])")
  #expect(broken.first?.equation.hasPrefix(breakages[index].equation) == true, "\(breakages[index])")
  #expect(broken.first.map { $0.left != $0.right } == true)
}

@Test func estimatesComeFromTheKernelsClock() {
  var ledger = Ledger()
  ledger.period = 1_000_000
  ledger.targetCPU = 2_500_000_000
  ledger.eventCount = 2_499_000_000
  ledger.eventTimeRunning = 2_510_000_000
  ledger.runs = 2600
  ledger.filtered = 110
  ledger.duplicates = 10
  #expect(ledger.expected == 2500)
  #expect(ledger.throttled == 11)
  // 2,499 periods were counted; 2,600 - 110 + 10 interrupts used them.
  #expect(ledger.unfired == -1)
}

@Test func nothingIsExpectedOfAnIdleTarget() {
  var ledger = Ledger()
  #expect(ledger.expected == 0)
  #expect(ledger.unfired == 0)
  ledger.period = 1_000_000
  #expect(ledger.expected == 0)
  #expect(ledger.throttled == 0)
  #expect(ledger.discrepancies.isEmpty)
}

@Test func eachCauseHasItsOwnLine() {
  for cause in DamageCause.allCases {
    var ledger = Ledger()
    ledger[damaged: cause] = 7
    for other in DamageCause.allCases { #expect(ledger[damaged: other] == (other == cause ? 7 : 0)) }
    #expect(ledger.damaged == 7)
    #expect(ledger.kept == 7)
  }
  for cause in DropCause.allCases {
    var ledger = Ledger()
    ledger[dropped: cause] = 3
    for other in DropCause.allCases { #expect(ledger[dropped: other] == (other == cause ? 3 : 0)) }
    #expect(ledger.kept == 0)
  }
  for remark in Remark.allCases {
    var ledger = Ledger()
    ledger[remark] = 5
    for other in Remark.allCases { #expect(ledger[other] == (other == remark ? 5 : 0)) }
    // A remark is no loss: it changes no sum.
    #expect(ledger.damaged == 0)
  }
}
