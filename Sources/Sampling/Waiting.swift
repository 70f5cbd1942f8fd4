// Signals and the target's end as descriptors, so that one wait covers everything.

internal import CHeldProcess
import Glibc

/// Owner of a signalfd(2) for the signals that end a run or are handed on. They are blocked for the process from
/// then on.
public struct Signals: ~Copyable {
  /// One received signal.
  public struct Received {
    /// Its number.
    public let number: Int32
    /// True for what the terminal driver sends to the whole foreground process group.
    public let isFromTerminal: Bool
  }

  /// Readable when a signal has arrived.
  public let descriptor: Int32

  /// Blocks every signal that asks for something, but not those that report a fault or control jobs.
  public init() { descriptor = caduceus_open_signals() }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// From now on an interrupt from the keyboard (SIGINT, SIGQUIT) ends this process at once.
  public func letInterruptEndUs() { caduceus_let_interrupts_end_us() }

  /// The next signal that has arrived, if any.
  public func next() -> Received? {
    var isFromTerminal: Int32 = 0
    let number = unsafe caduceus_next_signal(descriptor, &isFromTerminal)
    return number == 0 ? nil : Received(number: number, isFromTerminal: isFromTerminal != 0)
  }
}

/// Owner of a pidfd (pidfd_open(2)): tells when a process has ended, even if its number is used again.
struct ProcessEnd: ~Copyable {
  private let descriptor: Int32

  init(of process: Int32) { descriptor = caduceus_open_process(process) }

  /// Why it is not known whether the process lives, where no more files may be opened: EMFILE or ENFILE.
  var lackOfFiles: Int32? { descriptor == -EMFILE || descriptor == -ENFILE ? -descriptor : nil }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// True once the process has ended; a zombie has.
  var hasCome: Bool {
    if descriptor < 0 { return true }
    var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&polled, 1, 0) > 0
  }

  func wait(also other: Int32, milliseconds: Int32) {
    var polled = [descriptor, other].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
    _ = unsafe poll(&polled, 2, milliseconds)
  }
}
