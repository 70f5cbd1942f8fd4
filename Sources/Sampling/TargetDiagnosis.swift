// What would happen for one process: facts only, nothing is judged here, and the process is neither stopped nor
// changed.

import Glibc
import PerfEvents
import ProcessImages
import PythonFrames

/// Facts about one process as a target.
public struct TargetDiagnosis: Equatable, Sendable {
  /// The interpreter of a process.
  public struct Interpreter: Equatable, Sendable {
    /// As in `3.12.1`.
    public var version: String
    /// Path of the file that holds it.
    public var module: String
    /// Where its offsets come from.
    public var layoutSource: LayoutSource
    /// Whether the offsets were checked on this process and are right.
    public var isValidated: Bool

    /// An interpreter from its parts.
    public init(version: String, module: String, layoutSource: LayoutSource, isValidated: Bool) {
      self.version = version
      self.module = module
      self.layoutSource = layoutSource
      self.isValidated = isValidated
    }
  }

  /// The process, in our own pid namespace.
  public var processID: Int32
  /// Why it would be refused, in the words of attaching; nil where it would not.
  public var refusal: String?
  /// Why only its native code could be sampled now, until its interpreter is found ready; nil where it is.
  public var waiting: String?
  /// The program's path; nil where it may not be known.
  public var program: String?
  /// A short form of its command line.
  public var command: String?
  /// Real user id of its owner; nil where the process does not exist.
  public var owner: UInt32?
  /// Its owner's login name.
  public var ownerName: String?
  /// Reading its memory.
  public var reading = Trial.notTried("")
  /// Opening a clock event of its main thread.
  public var clockEvent = Trial.notTried("")
  /// Opening such an event as it is without eBPF, with the kernel's part only where that is allowed.
  public var unassistedEvent = Trial.notTried("")
  /// The interpreter, if one is found.
  public var interpreter: Interpreter?
  /// Inode of its pid namespace; nil where it may not be known.
  public var pidNamespace: UInt64?
  /// The process's own number of itself.
  public var ownProcessID: Int32?
  /// How many threads it has now.
  public var threads = 0
  /// Its files with code, by address.
  public var modules: [ModuleDiagnosis] = []

  /// A process of which nothing is known yet.
  public init(processID: Int32) { self.processID = processID }
}

extension TargetDiagnosis {
  /// Asks about a process everything that attaching asks. `step`: of sampling without eBPF, where that is possible.
  static func gather(_ pid: Int32, step: UnassistedStep?, options: SamplingOptions = SamplingOptions())
    -> TargetDiagnosis
  {
    var result = TargetDiagnosis(processID: pid)
    let facts = ProcessFacts(pid: pid)
    guard let owner = try? facts.uid() else {
      result.refusal = SamplingError.noSuchProcess(pid).description
      return result
    }
    result.owner = owner
    result.ownerName = loginName(of: owner)
    result.program = MachineDiagnosis.link("/proc/\(pid)/exe")
    result.threads = (try? facts.threads())?.count ?? 0
    result.ownProcessID = try? facts.ownPid()
    result.pidNamespace = (try? facts.pidNamespace())?.inode
    result.command = try? facts.comm()
    if Rights.isHidden(pid) {
      result.reading = .failed(errno: EACCES, detail: "")
      return result
    }
    do throws(SamplingError) {
      let target = try TargetProcess(processID: pid)
      result.command = target.shortCommand
      let mappings = (try? ProcessMaps.read(pid)) ?? []
      result.reading = tryReading(target, mappings)
      let code = ClockEvents.tryOpening(thread: pid, period: options.period)
      result.clockEvent = code == 0 ? .worked : .failed(errno: code, detail: "")
      let other = UnassistedCapture.tryOpening(
        thread: pid, period: options.period, userOnly: step?.proves == false)
      result.unassistedEvent = other == 0 ? .worked : .failed(errno: other, detail: "")
      guard result.reading.hasWorked else { return result }
      try result.findInterpreter(target)
    } catch {
      result.refusal = error.description
    }
    if let interpreter = result.interpreter, let mappings = try? ProcessMaps.read(pid) {
      result.modules = ModuleDiagnosis.gather(
        pid, mappings: mappings, interpreter: interpreter.module, program: result.program)
    }
    return result
  }

  private mutating func findInterpreter(_ target: TargetProcess) throws(SamplingError) {
    let watch = InterpreterWatch(target: target)
    defer {
      if let layout = watch.layout {
        interpreter = Interpreter(layout.interpreter, isValidated: true)
      } else if let mappings = try? ProcessMaps.read(processID),
        let found = try? InterpreterFinder(images: LiveImages(pid: processID), memory: target.memory)
          .find(in: mappings)
      {
        interpreter = Interpreter(found, isValidated: false)
      }
    }
    waiting = try Sampler.find(watch, target)?.description
  }

  /// Reads one byte of what is mapped first.
  private static func tryReading(_ target: TargetProcess, _ mappings: [Mapping]) -> Trial {
    guard let first = mappings.first(where: \.isReadable) else { return .notTried("it has no memory") }
    return target.memory.bytes(first.start, count: 1) != nil ? .worked : .failed(errno: EPERM, detail: "")
  }

  private static func loginName(of user: UInt32) -> String? {
    var entry = unsafe passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16 << 10)
    guard unsafe getpwuid_r(user, &entry, &buffer, buffer.count, &found) == 0, unsafe found != nil,
      let name = unsafe entry.pw_name
    else { return nil }
    return unsafe String(cString: name)
  }
}

extension TargetDiagnosis.Interpreter {
  fileprivate init(_ found: FoundInterpreter, isValidated: Bool) {
    self.init(
      version: found.version.description, module: found.module, layoutSource: found.layoutSource,
      isValidated: isValidated)
  }
}
