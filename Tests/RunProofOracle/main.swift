// RunProofOracle PID [SAMPLES [INTERVAL [normal|evidence|pins]]]: compares both ways of sampling in the very same interrupts
// of a running Python process. INTERVAL is in microseconds. No feature of caduceus; needs root.

import Foundation
import ProofOracle

let arguments = CommandLine.arguments
guard (2...5).contains(arguments.count), let processID = Int32(arguments[1]) else {
  print("usage: RunProofOracle PID [SAMPLES [INTERVAL [normal|evidence|pins]]]")
  exit(2)
}
var options = OracleOptions()
options.seconds = 600
if arguments.count > 2, let samples = Int(arguments[2]) { options.samples = samples }
if arguments.count > 3, let interval = UInt64(arguments[3]) { options.period = interval * 1000 }
if arguments.count > 4 {
  options.realtime = false
  options.evidence = arguments[4] == "evidence"
}
if arguments.count > 4, arguments[4] == "pins" {
  let report = try comparePins(processID, options)
  print(report)
  exit(report.wrong == 0 ? 0 : 1)
}
let report = try compareWithProgram(processID, options)
print(report)
exit(report.wrong == 0 || arguments.count > 4 ? 0 : 1)
