// What a process's facts mean for sampling it. Pure: the same facts give the same findings.

import Glibc
import PerfEvents

/// Judges a process on a machine.
struct TargetFindings {
  private let facts: TargetDiagnosis
  private let machine: MachineDiagnosis
  private let remedies: Remedies
  /// Modules named in one finding; all of them are in the JSON.
  private static let namedModules = 6

  init(_ facts: TargetDiagnosis, on machine: MachineDiagnosis) {
    self.facts = facts
    self.machine = machine
    remedies = Remedies(machine: machine)
  }

  var all: [Finding] {
    guard facts.owner != nil else {
      return [Finding(.problem, "process", facts.refusal ?? "not found", commands: ["pgrep -af python"])]
    }
    var findings = [process, access]
    if let refusal = facts.refusal {
      findings.append(Finding(.problem, "interpreter", refusal))
      if let interpreter = facts.interpreter { findings.append(layout(interpreter)) }
    } else if let waiting = facts.waiting {
      findings.append(
        Finding(.note, "interpreter", "\(waiting); its native code is sampled until it is ready"))
    } else if let interpreter = facts.interpreter {
      findings += [found(interpreter), layout(interpreter)]
    } else {
      findings.append(Finding(.note, "interpreter", "not looked for: the process's memory cannot be read"))
    }
    findings += [namespace, threads]
    if !facts.modules.isEmpty { findings += [symbols, unwinding, buildIDs, files] }
    return findings
  }

  // MARK: The process

  private var process: Finding {
    let owner = facts.ownerName ?? "user \(facts.owner.map(String.init) ?? "?")"
    return Finding(
      .ok, "process",
      "PID \(facts.processID) (\(facts.command ?? "?")) of \(owner)"
        + (facts.program.map { ", program \($0)" } ?? ""))
  }

  private var access: Finding {
    if case .failed(let code, _) = facts.reading {
      return Finding(
        .problem, "access", "its memory cannot be read: \(errorText(code))\(reasonWhyNotRead(code))",
        commands: remedies.grant())
    }
    // What else is missing for eBPF is missing for every process.
    let isUnassisted = machine.path == .unassisted
    let event = isUnassisted ? facts.unassistedEvent : facts.clockEvent
    if case .failed(let code, _) = event {
      return Finding(
        .problem, "access", "its memory can be read, but its threads cannot be sampled: \(errorText(code))",
        commands: machine.path != nil ? remedies.grant() : [])
    }
    guard facts.reading.hasWorked, event.hasWorked else {
      return Finding(.note, "access", "not tried")
    }
    return Finding(
      .ok, "access",
      "its memory can be read and its threads can be sampled" + (isUnassisted ? ", without eBPF" : ""))
  }

  private func reasonWhyNotRead(_ code: Int32) -> String {
    if !machine.capabilities.contains(.systemTrace) {
      // The kernel refuses /proc/PID/maps with EACCES, and Yama the memory alone with EPERM.
      if code == EPERM, let scope = machine.setting(SettingFindings.tracing), scope > 0 {
        return
          "; \(SettingFindings.tracing) is \(scope), and CAP_SYS_PTRACE is missing\(remedies.whyNotGranted)"
      }
      return "; CAP_SYS_PTRACE is missing\(remedies.whyNotGranted)"
    }
    if machine.setting(SettingFindings.tracing) == 3 { return "; \(SettingFindings.tracing) is 3" }
    return machine.isInitialUserNamespace ? "" : "; it is outside of this user namespace"
  }

  // MARK: The interpreter

  private func found(_ interpreter: TargetDiagnosis.Interpreter) -> Finding {
    let own = facts.modules.first { $0.kind == .interpreter }
    let names =
      switch own?.symbols {
      case .all, nil: ""
      case .exported: "; only what it exports has names"
      case .missing: "; its functions have no names"
      }
    return Finding(
      names.isEmpty ? .ok : .note, "interpreter",
      "CPython \(interpreter.version) in \(interpreter.module)\(names)")
  }

  private func layout(_ interpreter: TargetDiagnosis.Interpreter) -> Finding {
    let source =
      switch interpreter.layoutSource {
      case .debugOffsets: "the interpreter's own _Py_DebugOffsets"
      case .table:
        "the table for CPython \(interpreter.version.split(separator: ".").prefix(2).joined(separator: "."))"
      }
    return interpreter.isValidated
      ? Finding(.ok, "layout", "from \(source), checked on this process")
      : Finding(.note, "layout", "from \(source), not proven on this process")
  }

  // MARK: Namespace and threads

  private var namespace: Finding {
    guard let namespace = facts.pidNamespace, machine.pidNamespace != 0 else {
      return Finding(.note, "pid namespace", "may not be known")
    }
    if namespace == machine.pidNamespace { return Finding(.ok, "pid namespace", "the same as caduceus's") }
    let own = facts.ownProcessID.map { ", where it is PID \($0)" } ?? ""
    return Finding(.ok, "pid namespace", "another one than caduceus's\(own)")
  }

  private var threads: Finding {
    let count = facts.threads
    let text =
      machine.path == .unassisted
      ? "\(count) now; one event per thread and CPU"
      : "\(count) now; one event per thread, or per CPU where threads are too short-lived (decided while sampling)"
    let limit = machine.openFilesLimit
    let needed = UInt64(count * machine.needs.threadDescriptors + machine.needs.fixedDescriptors)
    // Files with code are opened when one of their functions is first seen in a stack, and stay open.
    let comfortable = needed + UInt64(facts.modules.count)
    let commands = remedies.raiseOpenFiles(max(65536, comfortable * 2))
    if needed > limit {
      return Finding(
        .problem, "threads", "\(count) now, which need \(needed) open files: the limit is \(limit)",
        commands: commands)
    }
    if comfortable > limit {
      return Finding(
        .note, "threads",
        "\(text); with its \(facts.modules.count) files it may need \(comfortable) open files: the limit is \(limit)",
        commands: commands)
    }
    return Finding(.ok, "threads", text)
  }

  // MARK: Modules

  /// Extensions and the libraries they use, as far as they can be read.
  private var code: [ModuleDiagnosis] { facts.modules.filter { $0.isExtensionCode && $0.isReadable } }

  private var symbols: Finding {
    let whole = code.count { $0.symbols == .all }
    let exported = code.filter { $0.symbols == .exported }
    let none = code.filter { $0.symbols == .missing }
    var text = "\(whole) of \(code.count) modules have symbols"
    if !exported.isEmpty { text += "; only names of exported functions for: \(names(exported))" }
    if !none.isEmpty { text += "; no function names for: \(names(none))" }
    return Finding(whole == code.count ? .ok : .note, "symbols", text)
  }

  private var unwinding: Finding {
    let without = code.filter { !$0.hasUnwindInformation }
    let text = "\(code.count - without.count) of \(code.count) modules have unwind information"
    return without.isEmpty
      ? Finding(.ok, "unwinding", text)
      : Finding(.note, "unwinding", "\(text); stacks may end in: \(names(without))")
  }

  private var buildIDs: Finding {
    let without = code.filter(\.buildID.isEmpty)
    let text = "\(code.count - without.count) of \(code.count) modules have one"
    return without.isEmpty
      ? Finding(.ok, "build-ids", text)
      : Finding(
        .note, "build-ids", "\(text), by which separate debug files are found; none for: \(names(without))")
  }

  private var files: Finding {
    var parts: [String] = []
    let deleted = facts.modules.filter { $0.file == .deleted }
    let replaced = facts.modules.filter { $0.file == .replaced }
    let unreadable = facts.modules.filter { !$0.isReadable }
    if !deleted.isEmpty { parts.append("deleted since the program was started: \(names(deleted))") }
    if !replaced.isEmpty { parts.append("replaced since the program was started: \(names(replaced))") }
    if parts.isEmpty && unreadable.isEmpty { return Finding(.ok, "files", "all are those that are mapped") }
    let canRead = unreadable.isEmpty
    parts.append(
      canRead ? "what is mapped can be read" : "what is mapped cannot be read of: \(names(unreadable))")
    let canBeGranted = !canRead && !machine.capabilities.grants(.checkpoint)
    return Finding(
      .note, "files", parts.joined(separator: "; "), commands: canBeGranted ? remedies.grant(.checkpoint) : []
    )
  }

  private func names(_ modules: [ModuleDiagnosis]) -> String {
    let shown = modules.prefix(Self.namedModules).map(\.shortPath).joined(separator: ", ")
    let more = modules.count - Self.namedModules
    return more > 0 ? "\(shown) and \(more) more" : shown
  }
}
