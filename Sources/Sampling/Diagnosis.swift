// What a machine and a process allow, as findings: one line each, and what to do about it.

/// One thing that was looked at.
public struct Finding: Equatable, Sendable {
  /// What it means for sampling.
  public enum Mark: String, Sendable {
    /// Nothing to do.
    case ok
    /// Sampling works, but knows or shows less than it could; or something that is good to know.
    case note
    /// Sampling is not possible.
    case problem
  }

  /// What was looked at: `kernel`, `CAP_BPF`, `interpreter`, ...
  public var subject: String
  /// What it means.
  public var mark: Mark
  /// What was found, in one line.
  public var text: String
  /// Commands for a shell, any of which improves it.
  public var commands: [String]

  /// A finding from its parts.
  public init(_ mark: Mark, _ subject: String, _ text: String, commands: [String] = []) {
    self.subject = subject
    self.mark = mark
    self.text = text
    self.commands = commands
  }
}

/// What was found out about the machine and, if one was named, a process.
public struct Diagnosis: Equatable, Sendable {
  /// The machine and the rights of the process that asks.
  public var machine: MachineDiagnosis
  /// The process.
  public var target: TargetDiagnosis?

  /// A diagnosis of known facts.
  public init(machine: MachineDiagnosis, target: TargetDiagnosis? = nil) {
    self.machine = machine
    self.target = target
  }

  /// Asks and tries everything now; nothing that is made for it is left. `processID`: the process, nil for the
  /// machine alone.
  public init(processID: Int32?) {
    machine = MachineDiagnosis.gather()
    let trial = SamplingTrial()
    machine.clockEvent = trial.clockEvent
    machine.program = trial.program
    machine.rings = trial.rings
    machine.attaching = trial.attaching
    if let descriptors = trial.descriptors {
      machine.programNeeds.fixedDescriptors = descriptors + SamplingTrial.furtherDescriptors
    }
    if let bytes = trial.ringBytes, bytes < machine.programNeeds.ringBytes { machine.lockableRing = bytes }
    let unassisted = UnassistedTrial()
    machine.unassisted = unassisted.outcome
    machine.step = unassisted.step
    machine.unassistedNeeds = unassisted.needs
    let step = machine.step
    target = processID.map { TargetDiagnosis.gather($0, step: step) }
  }

  /// What the machine's facts mean.
  public var machineFindings: [Finding] { MachineFindings(machine).all }

  /// What the process's facts mean; empty where no process was named.
  public var targetFindings: [Finding] { target.map { TargetFindings($0, on: machine).all } ?? [] }

  /// How many findings stand in the way of sampling.
  public var problemCount: Int { (machineFindings + targetFindings).count { $0.mark == .problem } }

  /// Whether nothing stands in the way of sampling.
  public var canSample: Bool { problemCount == 0 }

  /// The way that would be taken; nil where sampling is not possible.
  public var path: CapturePath? { canSample ? machine.path : nil }
}
