// Tries, one step after the other, everything that sampling sets up, and takes it down again.

import Glibc
import PerfEvents

/// What was set up for a trial; it goes with this value.
struct SamplingTrial {
  /// How the calling thread's clock event could be opened.
  let clockEvent: Trial
  /// How the eBPF program could be loaded.
  let program: Trial
  /// How the rings could be made.
  let rings: Trial
  /// Bytes of one CPU's ring: as asked for, or what may be locked; nil where they could not be made.
  let ringBytes: Int?
  /// How the program could be attached to an event of the calling thread.
  let attaching: Trial
  /// Descriptors that were open when the rings were; nil where they could not be made.
  let descriptors: Int?

  /// Loads the program, makes every ring and attaches to a disabled event of the calling thread, which therefore
  /// interrupts nothing. When this returns nothing of it is left.
  init(_ options: SamplingOptions = SamplingOptions()) {
    Rights.raiseFileLimit()
    let period = options.period
    let code = ClockEvents.tryOpening(thread: 0, period: period)
    clockEvent = code == 0 ? .worked : .failed(errno: code, detail: "")
    var configuration = ProgramConfiguration(processID: getpid(), namespaceDevice: 0, namespaceInode: 0)
    configuration.stackBytes = ProgramConfiguration.stackClasses(largest: options.stackBytes)
    let loaded: SamplingProgram
    do throws(PerfEventsError) {
      loaded = try SamplingProgram(configuration)
      program = .worked
    } catch {
      program = Self.failure(error)
      rings = .notTried("they need the eBPF program")
      ringBytes = nil
      attaching = .notTried("it needs the eBPF program")
      descriptors = nil
      return
    }
    do throws(PerfEventsError) {
      let stream = try RecordStream.largest(
        program: loaded, ringBytes: options.chosenRingBytes, target: getpid())
      descriptors = withExtendedLifetime(stream) { Self.openDescriptors() }
      ringBytes = stream.ringBytes
      rings = .worked
    } catch {
      rings = Self.failure(error)
      ringBytes = nil
      descriptors = nil
    }
    guard clockEvent == .worked else {
      attaching = .notTried("it needs an event")
      return
    }
    do throws(PerfEventsError) {
      _ = try ClockEvents(program: loaded, period: period, mainThreadOnly: false).open(thread: 0)
      attaching = .worked
    } catch {
      attaching = Self.failure(error)
    }
  }

  /// What a run has open beyond that before it opens the first thread's event: its signals, the target's
  /// end, and the kernel's symbols while they are being read.
  static let furtherDescriptors = 3

  /// Descriptors that are open now.
  fileprivate static func openDescriptors() -> Int? {
    guard let directory = unsafe opendir("/proc/self/fd") else { return nil }
    defer { unsafe closedir(directory) }
    var count = 0
    while unsafe readdir(directory) != nil { count += 1 }
    // Without `.`, `..` and the directory's own.
    return count - 3
  }

  /// errno, and the step where it is not plain from what was tried.
  fileprivate static func failure(_ error: PerfEventsError) -> Trial {
    switch error {
    case .open(_, let code), .attach(let code): .failed(errno: code, detail: "")
    case .mapRing(let bytes, let code): .failed(errno: code, detail: "mapping \(bytes >> 10) KiB")
    case .program(let step, let code), .reader(let step, let code): .failed(errno: code, detail: step)
    case .refused(let code, let lines): .failed(errno: code, detail: lines)
    case .noSuchProcess: .failed(errno: ESRCH, detail: "")
    }
  }
}

/// What was set up for a trial of sampling without eBPF; it goes with this value.
struct UnassistedTrial {
  /// How it ended.
  let outcome: Trial
  /// The step that was reached; nil where it failed.
  let step: UnassistedStep?
  /// What it needs.
  let needs: CaptureNeeds

  /// Makes rings and readers, and opens disabled clock events of the calling process's main thread, which interrupt
  /// nothing. When this returns nothing of it is left.
  init(_ options: SamplingOptions = SamplingOptions()) {
    Rights.raiseFileLimit()
    let own = getpid()
    var configuration = UnassistedConfiguration(
      target: own, period: options.period, ringBytes: options.chosenRingBytes)
    configuration.stackBytes = options.stackBytes
    do throws(PerfEventsError) {
      let capture = try UnassistedCapture(configuration)
      let descriptors = SamplingTrial.openDescriptors() ?? 0
      _ = try capture.open(thread: own, own: own)
      outcome = .worked
      step = UnassistedStep(capture)
      needs = CaptureNeeds(
        fixedDescriptors: descriptors + SamplingTrial.furtherDescriptors,
        threadDescriptors: capture.descriptorsPerThread,
        ringBytes: capture.ringBytes + capture.kernelRingBytes)
    } catch {
      outcome = SamplingTrial.failure(error)
      step = nil
      needs = CaptureNeeds()
    }
  }
}
