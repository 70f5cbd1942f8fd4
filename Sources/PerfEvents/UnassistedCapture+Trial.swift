// Whether a process may be sampled without an eBPF program, found out without sampling it.

import CPerfEvent
import Glibc

extension UnassistedCapture {
  /// Tries to open a clock event as `open(thread:own:)` does, and closes it again: 0 or errno. The event is disabled, so
  /// that nothing is interrupted. A switch event could not be; the kernel asks for the same rights for it.
  public static func tryOpening(thread: Int32, period: UInt64, userOnly: Bool) -> Int32 {
    let flags = CADUCEUS_EVENT_INHERIT.rawValue | (userOnly ? CADUCEUS_EVENT_USER_ONLY.rawValue : 0)
    let cpu = RecordStream.onlineCPUs().first.map { Int32($0) } ?? 0
    let event = caduceus_open_sample_event(thread, cpu, period, 8, flags)
    if event < 0 { return -event }
    close(event)
    return 0
  }
}
