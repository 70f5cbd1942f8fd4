// What stack copies alone say about a running process, against what was read in the interrupt.

import CaptureReplay
import Glibc
import NativeUnwinding
import PerfEvents
import ProcessImages
import PythonFrames

/// Runs it on a running Python process, sampled by the eBPF program.
public func comparePins(_ processID: Int32, _ options: OracleOptions) throws -> PinsReport {
  let setup = try OracleSetup(processID)
  let program = try SamplingProgram(setup.configuration)
  let stream = try RecordStream(program: program, ringBytes: 32 << 20, target: processID)
  let events = ClockEvents(program: program, period: options.period, mainThreadOnly: false)
  let images = LiveImages(pid: processID)
  let addressSpace = AddressSpace(mappings: try ProcessMaps.read(processID), provider: images)
  guard program.use(layout: setup.layout.raw) != nil,
    let unwinder = NativeUnwinder(addressSpace: addressSpace, memory: setup.memory)
  else { throw OracleFailure(description: "no layout slot, or no libunwind") }
  for thread in setup.threads { _ = try events.open(thread: thread) }
  var keeper = PinsCheck(
    unwinder, setup.layout, memory: CodeMemory(layout: setup.layout, memory: setup.memory))
  events.enable()
  let end = RecordStream.clock() + UInt64(options.seconds * 1e9)
  while keeper.report.samples < options.samples, RecordStream.clock() < end, kill(processID, 0) == 0 {
    stream.wait(milliseconds: 10)
    stream.deliver(to: &keeper)
  }
  events.disable()
  stream.deliver(to: &keeper, draining: true)
  return keeper.report
}
