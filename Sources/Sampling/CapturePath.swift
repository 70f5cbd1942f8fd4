// Which of the two ways of sampling a machine allows, and why it is not the better one. Pure: the same facts give the
// same answers as CaptureChoice finds out by doing it.

import PerfEvents

/// A way of taking samples.
public enum CapturePath: Equatable, Sendable {
  /// The eBPF program reads the Python frames in the interrupt.
  case program
  /// Perf samples alone; the Python frames are read a moment later.
  case unassisted
}

/// What a way of sampling takes of a machine.
public struct CaptureNeeds: Equatable, Sendable {
  /// Descriptors before the first thread's: counted, or estimated where it could not be set up.
  public var fixedDescriptors: Int
  /// Descriptors of each thread.
  public var threadDescriptors: Int
  /// Bytes of one CPU's rings at the default rate.
  public var ringBytes: Int

  /// Needs from their parts.
  public init(fixedDescriptors: Int = 0, threadDescriptors: Int = 1, ringBytes: Int = 0) {
    self.fixedDescriptors = fixedDescriptors
    self.threadDescriptors = threadDescriptors
    self.ringBytes = ringBytes
  }
}

extension MachineDiagnosis {
  /// The way that would be taken; nil where there is none.
  public var path: CapturePath? {
    if !obstacles.isEmpty { return nil }
    if programObstacle == nil { return .program }
    return unassisted.hasWorked ? .unassisted : nil
  }

  /// What the way that would be taken needs.
  public var needs: CaptureNeeds {
    if path == .unassisted { return unassistedNeeds }
    var needs = programNeeds
    if let lockableRing { needs.ringBytes = lockableRing }
    return needs
  }

  /// Whether what only eBPF needs may be missing.
  var hasAnotherWay: Bool { unassisted.hasWorked }

  /// What stands in every way, in a few words each.
  var obstacles: [String] {
    var found: [String] = []
    if let version = KernelVersion(release: kernelRelease), version < KernelVersion.oldestSupported {
      found.append("the kernel is too old")
    }
    if lockdown == "confidentiality" { found.append("lockdown is confidentiality") }
    if !hasOwnProc { found.append("/proc is of another pid namespace") }
    if forbidsTracing { found.append("no process's memory may be read") }
    return found
  }

  /// Whether Yama lets nobody read another process's memory, or nobody like us (Documentation/admin-guide/LSM/Yama.rst).
  var forbidsTracing: Bool {
    switch setting(SettingFindings.tracing) {
    case 3: true
    case 2: !capabilities.contains(.systemTrace)
    default: false
    }
  }

  /// Why it would not be with eBPF, in a few words; nil where it would.
  var programObstacle: String? {
    let missing = capabilities.missing
    if !missing.isEmpty {
      return "not permitted: \(list(missing.map(\.name))) missing"
    }
    if !hasTypeInformation { return "the kernel has no type information" }
    for (trial, what) in [
      (clockEvent, "perf_event_open"), (program, "eBPF program"), (rings, "rings"), (attaching, "attaching"),
    ] {
      switch trial {
      case .worked: continue
      case .notTried(let reason): return "\(what) not tried: \(reason)"
      case .failed(let code, _): return "\(what): \(errorText(code))"
      }
    }
    return nil
  }
}
