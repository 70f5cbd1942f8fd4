// The events that carry mappings, program names, forks and exits where no eBPF program's rings do.

import CPerfEvent
import Glibc

/// Owner of one such event per CPU, whose ring takes everything of that CPU.
struct SidebandEvents: ~Copyable {
  /// By position of the CPU.
  private(set) var descriptors: [Int32] = []
  /// True where the kernel shows only the target's own threads, so that each needs such events of its own.
  private(set) var areOfThreads = false

  /// Opens them: of everything where that is allowed, else of the target's main thread.
  init(_ cpus: [Int32], target: Int32) throws(PerfEventsError) {
    for cpu in cpus {
      var event: Int32 = areOfThreads ? -EACCES : caduceus_open_sideband_event(cpu)
      if event == -EACCES || event == -EPERM {
        areOfThreads = true
        event = caduceus_open_thread_sideband_event(target, cpu)
      }
      if event < 0 {
        throw event == -ESRCH
          ? .noSuchProcess : .open(what: "the side-band event of CPU \(cpu)", errno: -event)
      }
      descriptors.append(event)
    }
  }

  deinit { for descriptor in descriptors { close(descriptor) } }
}
