// Time of the machine that is nobody's.

import Glibc

enum MachineTime {
  /// Nanoseconds that the host of a virtual machine ran something else on our CPUs, and that they served interrupts,
  /// since the machine was started: steal, irq and softirq of all CPUs (proc_stat(5)), in clock ticks. Some of it is in no
  /// thread's CPU time. 0 where it cannot be read.
  static var elsewhere: UInt64 {
    guard let file = unsafe fopen("/proc/stat", "re") else { return 0 }
    defer { unsafe fclose(file) }
    var buffer = [CChar](repeating: 0, count: 512)
    guard unsafe fgets(&buffer, 512, file) != nil else { return 0 }
    let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let fields = text.split { $0 == " " || $0 == "\n" }
    guard fields.count > 8 else { return 0 }
    let ticks = [6, 7, 8].reduce(UInt64(0)) { $0 &+ (UInt64(fields[$1]) ?? 0) }
    return ticks &* (1_000_000_000 / UInt64(sysconf(Int32(_SC_CLK_TCK))))
  }
}
