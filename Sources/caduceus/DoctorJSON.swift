// The JSON of `caduceus doctor --json`, one object. Its keys are stable; what is not known is null.
//
// can_sample   whether nothing stands in the way of sampling
// path         how samples would be taken: bpf (by an eBPF program), without_bpf (from perf samples alone), or none where
//              sampling is not possible
// findings     the lines of the text: about (machine or target), subject, mark (ok, note, problem), text, commands
// machine      kernel, type_information, lockdown, settings (by sysctl name), kernel_names, user_id, capabilities
//              (by name: effective, obtainable), no_new_privileges, seccomp_filter, user_namespace_nested,
//              pid_namespace (inode), pid_namespace_nested, own_proc, container (kind, evidence), open_files (soft,
//              hard, fixed, per_thread), cpus, ring_bytes (of one CPU), period_ns, available_bytes, and of what was tried
//              perf_event_open, bpf_load, rings, bpf_attach, without_bpf: outcome (worked, failed, not_tried), errno,
//              detail; without_bpf has step, too: scheduling (realtime, short_slice, normal) of the readers, frames
//              (proven, evidence): what is known of Python frames. Descriptors and ring_bytes are those of the path
// target       pid, own_pid, refusal, program, command, owner (user_id, name), reading, perf_event_open and without_bpf
//              (an event of its main thread, with and without eBPF) as above, interpreter (version, module, layout: debug_offsets or table, validated), pid_namespace, threads,
//              modules: path, kind (interpreter, program, extension, library, c_library), readable, symbols (all, exported,
//              none), unwind_information, build_id, file (present, deleted, replaced)

import FoundationEssentials
import Sampling

/// A JSON value.
enum JSONValue: Encodable {
  case null
  case bool(Bool)
  case number(Int64)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  init(_ text: String?) { self = text.map { .string($0) } ?? .null }
  init(_ number: (some BinaryInteger)?) { self = number.map { .number(Int64(clamping: $0)) } ?? .null }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let values): try container.encode(values)
    case .object(let values): try container.encode(values)
    }
  }
}

struct DoctorJSON {
  private let diagnosis: Diagnosis

  init(_ diagnosis: Diagnosis) { self.diagnosis = diagnosis }

  var text: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    // No value of these is one that cannot be encoded.
    guard let data = try? encoder.encode(value) else { return "null\n" }
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  private var value: JSONValue {
    .object([
      "can_sample": .bool(diagnosis.canSample),
      "path": .string(path),
      "findings": .array(
        diagnosis.machineFindings.map { finding($0, about: "machine") }
          + diagnosis.targetFindings.map { finding($0, about: "target") }),
      "machine": machine(diagnosis.machine),
      "target": diagnosis.target.map(target) ?? .null,
    ])
  }

  private var path: String {
    switch diagnosis.path {
    case .program: "bpf"
    case .unassisted: "without_bpf"
    case nil: "none"
    }
  }

  private func finding(_ finding: Finding, about: String) -> JSONValue {
    .object([
      "about": .string(about), "subject": .string(finding.subject), "mark": .string(finding.mark.rawValue),
      "text": .string(finding.text), "commands": .array(finding.commands.map { .string($0) }),
    ])
  }

  private func trial(_ trial: Trial) -> JSONValue { .object(outcome(trial)) }

  private func outcome(_ trial: Trial) -> [String: JSONValue] {
    switch trial {
    case .worked: ["outcome": .string("worked"), "errno": .null, "detail": .null]
    case .failed(let code, let detail):
      ["outcome": .string("failed"), "errno": JSONValue(code), "detail": .string(detail)]
    case .notTried(let reason):
      ["outcome": .string("not_tried"), "errno": .null, "detail": .string(reason)]
    }
  }

  private func withoutBPF(_ facts: MachineDiagnosis) -> JSONValue {
    var values = outcome(facts.unassisted)
    values["step"] = facts.step.map(step) ?? .null
    return .object(values)
  }

  private func step(_ step: UnassistedStep) -> JSONValue {
    let scheduling =
      switch step.scheduling {
      case .realtime: "realtime"
      case .shortSlice: "short_slice"
      case .starting, .normal: "normal"
      }
    return .object([
      "scheduling": .string(scheduling), "frames": .string(step.proves ? "proven" : "evidence"),
    ])
  }

  // MARK: The machine

  private func machine(_ facts: MachineDiagnosis) -> JSONValue {
    .object([
      "kernel": .string(facts.kernelRelease),
      "type_information": .bool(facts.hasTypeInformation),
      "lockdown": JSONValue(facts.lockdown),
      "settings": settings(facts),
      "kernel_names": .bool(facts.showsKernelNames),
      "user_id": JSONValue(facts.user),
      "capabilities": capabilities(facts),
      "no_new_privileges": .bool(facts.hasNoNewPrivileges),
      "seccomp_filter": .bool(facts.isFiltered),
      "user_namespace_nested": .bool(!facts.isInitialUserNamespace),
      "pid_namespace": JSONValue(facts.pidNamespace),
      "pid_namespace_nested": .bool(!facts.isInitialPidNamespace),
      "own_proc": .bool(facts.hasOwnProc),
      "container": facts.container.map {
        .object(["kind": .string($0.kind), "evidence": .string($0.evidence)])
      } ?? .null,
      "open_files": .object([
        "soft": JSONValue(facts.openFiles), "hard": JSONValue(facts.openFilesLimit),
        "fixed": JSONValue(facts.needs.fixedDescriptors),
        "per_thread": JSONValue(facts.needs.threadDescriptors),
      ]),
      "cpus": JSONValue(facts.cpus),
      "ring_bytes": JSONValue(facts.needs.ringBytes),
      "period_ns": JSONValue(facts.period),
      "available_bytes": JSONValue(facts.availableMemory),
      "perf_event_open": trial(facts.clockEvent),
      "bpf_load": trial(facts.program),
      "rings": trial(facts.rings),
      "bpf_attach": trial(facts.attaching),
      "without_bpf": withoutBPF(facts),
    ])
  }

  /// Numbers where they are numbers; null where the sysctl is not to be seen.
  private func settings(_ facts: MachineDiagnosis) -> JSONValue {
    var values: [String: JSONValue] = [:]
    for name in MachineDiagnosis.settingNames {
      values[name] = facts.setting(name).map { JSONValue($0) } ?? JSONValue(facts.settings[name])
    }
    return .object(values)
  }

  private func capabilities(_ facts: MachineDiagnosis) -> JSONValue {
    var values: [String: JSONValue] = [:]
    for capability in Capability.allCases {
      values[capability.name] = .object([
        "effective": .bool(facts.capabilities.contains(capability)),
        "obtainable": .bool(facts.bounding.contains(capability)),
      ])
    }
    return .object(values)
  }

  // MARK: The process

  private func target(_ facts: TargetDiagnosis) -> JSONValue {
    .object([
      "pid": JSONValue(facts.processID),
      "own_pid": JSONValue(facts.ownProcessID),
      "refusal": JSONValue(facts.refusal),
      "program": JSONValue(facts.program),
      "command": JSONValue(facts.command),
      "owner": facts.owner.map {
        .object(["user_id": JSONValue($0), "name": JSONValue(facts.ownerName)])
      } ?? .null,
      "reading": trial(facts.reading),
      "perf_event_open": trial(facts.clockEvent),
      "without_bpf": trial(facts.unassistedEvent),
      "interpreter": facts.interpreter.map(interpreter) ?? .null,
      "pid_namespace": JSONValue(facts.pidNamespace),
      "threads": JSONValue(facts.threads),
      "modules": .array(facts.modules.map(module)),
    ])
  }

  private func interpreter(_ facts: TargetDiagnosis.Interpreter) -> JSONValue {
    let layout =
      switch facts.layoutSource {
      case .debugOffsets: "debug_offsets"
      case .table: "table"
      }
    return .object([
      "version": .string(facts.version), "module": .string(facts.module), "layout": .string(layout),
      "validated": .bool(facts.isValidated),
    ])
  }

  private func module(_ facts: ModuleDiagnosis) -> JSONValue {
    let kind =
      switch facts.kind {
      case .interpreter: "interpreter"
      case .program: "program"
      case .extension: "extension"
      case .library: "library"
      case .cLibrary: "c_library"
      }
    let symbols =
      switch facts.symbols {
      case .all: "all"
      case .exported: "exported"
      case .missing: "none"
      }
    let file =
      switch facts.file {
      case .present: "present"
      case .deleted: "deleted"
      case .replaced: "replaced"
      }
    return .object([
      "path": .string(facts.path), "kind": .string(kind), "readable": .bool(facts.isReadable),
      "symbols": .string(symbols), "unwind_information": .bool(facts.hasUnwindInformation),
      "build_id": facts.buildID.isEmpty ? .null : .string(facts.buildID), "file": .string(file),
    ])
  }
}
