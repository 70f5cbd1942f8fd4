// What can go wrong while sampling is being set up.

import Glibc

/// A set-up failure; sampling has not started.
public enum PerfEventsError: Error, Sendable, Equatable {
  /// perf_event_open(2) failed: what was to be opened, and errno.
  case open(what: String, errno: Int32)
  /// A ring could not be mapped: bytes asked for, and errno.
  case mapRing(bytes: Int, errno: Int32)
  /// The eBPF object could not be opened or its maps not be made.
  case program(step: String, errno: Int32)
  /// The kernel's verifier refused the program; its last lines.
  case refused(errno: Int32, lastLines: String)
  /// Attaching the program to an event failed.
  case attach(errno: Int32)
  /// A reader thread could not be set up.
  case reader(step: String, errno: Int32)
  /// The process or thread is gone.
  case noSuchProcess
}

/// errno as text.
public func errorText(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
