// Remarks: a sample may have several, each of them counts once, and none is a loss.

import Accounting
import Testing

@Test func aSampleKeepsAllItsRemarks() {
  var remarks = Remarks()
  #expect(remarks.isEmpty)
  remarks.insert(.guessedNativeFrame)
  remarks.insert(.firstLineOnly)
  remarks.insert(.firstLineOnly)
  remarks.insert(.pinnedFunctions)
  #expect(!remarks.isEmpty)
  #expect(
    Remark.allCases.filter(remarks.contains) == [.guessedNativeFrame, .firstLineOnly, .pinnedFunctions])
  var ledger = Ledger()
  ledger.count(remarks)
  ledger.count(remarks)
  ledger.count(Remarks())
  #expect(ledger[.guessedNativeFrame] == 2 && ledger[.firstLineOnly] == 2 && ledger[.pinnedFunctions] == 2)
  #expect(ledger[.namelessPythonFrame] == 0 && ledger[.nonPythonThread] == 0)
  #expect(ledger.kept == 0 && ledger.damaged == 0 && ledger.dropped == 0)
}

/// Whole samples and damaged ones are what is in the profile; dropped ones are not.
@Test func whatIsKept() {
  var ledger = Ledger()
  ledger.whole = 5
  ledger[damaged: .unwindingFailed] = 3
  ledger[damaged: .pythonUnverified] = 4
  ledger[dropped: .notPermitted] = 2
  #expect(ledger.kept == 12 && ledger.damaged == 7 && ledger.dropped == 2)
}
