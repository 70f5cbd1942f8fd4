// Proves a candidate layout on a live process, or names the field that is wrong.

import ProcessImages
import PythonChain

/// The checks, in the order in which one field leads to the next.
///
/// A field that is wrong usually shows at another one, so a failed check blames the first field that differs from
/// the release's known number. Where all are as known, only what does not change while a program runs can show that
/// its structures are others: contents of code objects, not lists, chains and locks, which are read while they change
/// and may be in a state of their own for long (after a fork in C, on a coroutine's stack, before a thread state is
/// used). Such a check says that the interpreter is not ready, and the caller goes on looking.
struct LayoutValidation {
  static let interpreterLimit = 1024
  static let threadLimit = 65_536
  /// `PID_MAX_LIMIT` of Linux (include/linux/threads.h): a thread id is below it; 0 in a thread state without thread.
  static let threadIDLimit: UInt64 = 1 << 22

  let known: LayoutCandidate
  let memory: any ByteSource
  /// The process's thread ids in its own pid namespace.
  let threads: Set<Int32>
  let rounds: Int

  struct Thread {
    var state: UInt64
    var nativeID: UInt64
  }

  func prove(_ candidate: LayoutCandidate) throws(LayoutError) -> LayoutCandidate {
    try checkBounds(candidate)
    try checkRuntime(candidate)
    var last = LayoutError.idle
    for number in 1...rounds {
      do {
        var proven = try round(candidate, isLast: number == rounds)
        try checkKnownValues(proven)
        proven.sizes = candidate.sizes
        return proven
      } catch {
        last = error
      }
      if last == .idle { break }
    }
    // What looks unready in an interpreter that is ready looks so through a wrong field, and the other way round.
    guard isInitialized(candidate) else {
      throw last.isTemporary ? last : .notYet("it is being initialised")
    }
    if case .notYet(let what) = last, let odd = oddField(candidate) { throw .wrong(field: odd, detail: what) }
    throw last
  }

  // MARK: Bounds

  private func checkBounds(_ candidate: LayoutCandidate) throws(LayoutError) {
    let minor = candidate.raw.minor
    guard minor == known.raw.minor else { throw .wrong(field: "minor", detail: "\(minor)") }
    for field in LayoutField.all {
      let offset = candidate.raw[keyPath: field.path]
      guard field.minors.contains(minor) else {
        guard offset == 0 else {
          throw .wrong(field: field.name, detail: "\(offset), but 3.\(minor) has no such field")
        }
        continue
      }
      let limit = min(field.space.limit, candidate.sizes[field.space] ?? field.space.limit)
      guard UInt64(offset) + UInt64(field.width) <= UInt64(limit) else {
        throw .wrong(field: field.name, detail: "offset \(offset) is outside of \(limit) bytes")
      }
      guard offset % field.width == 0 else {
        throw .wrong(field: field.name, detail: "offset \(offset) is not aligned to \(field.width) bytes")
      }
    }
    let code = candidate.raw.code_firsttraceable
    guard candidate.codeAdaptive <= LayoutField.Space.code.limit, candidate.codeAdaptive == code + 16 else {
      if code != known.raw.code_firsttraceable {
        throw .wrong(field: "code.firsttraceable", detail: "\(code) does not precede the instructions")
      }
      throw .wrong(field: "code.co_code_adaptive", detail: "\(candidate.codeAdaptive)")
    }
    guard candidate.raw.thread_holds_gil_mask == known.raw.thread_holds_gil_mask else {
      throw .wrong(field: "thread.holds_gil_mask", detail: "\(candidate.raw.thread_holds_gil_mask)")
    }
  }

  /// Offsets whose place reads the same as its neighbours in a healthy process must be the release's own.
  private func checkKnownValues(_ candidate: LayoutCandidate) throws(LayoutError) {
    for field in LayoutField.all where field.needsKnownValue {
      let (offset, right) = (candidate.raw[keyPath: field.path], known.raw[keyPath: field.path])
      guard offset == right else {
        throw .wrong(field: field.name, detail: "offset \(offset) instead of \(right)")
      }
    }
  }

  /// The error of a failed check.
  func wrong(_ candidate: LayoutCandidate, _ field: String, _ detail: String) -> LayoutError {
    guard let odd = oddField(candidate), odd != field else { return .wrong(field: field, detail: detail) }
    return .wrong(field: odd, detail: "\(detail) (seen at \(field))")
  }

  /// The error of a failed check of what may be so for a while.
  func doubt(_ candidate: LayoutCandidate, _ field: String, _ detail: String) -> LayoutError {
    oddField(candidate) == nil ? .notYet("\(detail) (seen at \(field))") : wrong(candidate, field, detail)
  }

  /// The first field that differs from the release's known number.
  func oddField(_ candidate: LayoutCandidate) -> String? {
    LayoutField.all.first { candidate.raw[keyPath: $0.path] != known.raw[keyPath: $0.path] }?.name
  }

  // MARK: Runtime, interpreters, threads

  private func isInitialized(_ candidate: LayoutCandidate) -> Bool {
    let flags = candidate.raw.runtime &+ LayoutTable.runtimeFlags(minor: candidate.raw.minor)
    return memory.load(flags &+ 16, as: UInt32.self) == 1
  }

  private func checkRuntime(_ candidate: LayoutCandidate) throws(LayoutError) {
    let runtime = candidate.raw.runtime
    let flags = runtime &+ LayoutTable.runtimeFlags(minor: candidate.raw.minor)
    guard runtime % 8 == 0, let bytes = memory.bytes(flags, count: 20) else {
      throw .wrong(field: "runtime", detail: "no memory at \(hex(runtime))")
    }
    let words = (0..<5).map { Words(bytes: bytes).load(UInt32($0 * 4), as: UInt32.self) }
    // `preinitializing` is reset when `preinitialized` is set (Python/pylifecycle.c).
    guard words.allSatisfy({ $0 <= 1 }), words[1] + words[2] < 2, words[3] >= words[4] else {
      throw .wrong(field: "runtime", detail: "no runtime at \(hex(runtime))")
    }
    guard words[0] == 1, words[2] == 1, words[3] == 1 else {
      throw .notYet("it is being initialised")
    }
  }

  private func round(_ candidate: LayoutCandidate, isLast: Bool) throws(LayoutError) -> LayoutCandidate {
    let interpreters = try interpreters(candidate)
    var all: [Thread] = []
    var failure: LayoutError?
    // One that is being made or taken down says nothing against the others.
    for interpreter in interpreters {
      do {
        let own = try threadStates(of: interpreter, candidate)
        try checkInterpreter(interpreter, candidate)
        all += own
      } catch {
        failure = failure ?? error
      }
    }
    guard !all.isEmpty else { throw failure ?? .notYet("it has no threads") }
    let ours = all.filter(isOurs)
    // After a fork in C they are the parent's; a state that no thread has used yet has none. Then nothing proves
    // where the ids are.
    guard !ours.isEmpty || candidate.raw.thread_native_id == known.raw.thread_native_id,
      all.allSatisfy({ $0.nativeID < Self.threadIDLimit })
    else {
      throw doubt(
        candidate, "thread.native_thread_id", "none of \(all.count) threads is one of the process's")
    }
    try checkStatus(all, candidate)
    let inOrder = ours + all.filter { !isOurs($0) }
    return try FrameValidation(layout: self, candidate: candidate, acceptsCutChains: isLast).prove(
      threads: inOrder.map(\.state), interpreters: interpreters)
  }

  private func isOurs(_ thread: Thread) -> Bool {
    Int32(exactly: thread.nativeID).map { threads.contains($0) } ?? false
  }

  private func interpreters(_ candidate: LayoutCandidate) throws(LayoutError) -> [UInt64] {
    let raw = candidate.raw
    let head = raw.runtime &+ UInt64(raw.runtime_interpreters_head)
    // `struct pyinterpreters`: head, then main (pycore_runtime.h).
    guard let first: UInt64 = memory.load(head), let main: UInt64 = memory.load(head &+ 8) else {
      throw doubt(candidate, "runtime.interpreters_head", "not readable")
    }
    guard first != 0 else {
      throw doubt(candidate, "runtime.interpreters_head", "it has no interpreter state")
    }
    var found: [UInt64] = []
    var next = first
    while next != 0 {
      guard found.count < Self.interpreterLimit, !found.contains(next) else {
        throw doubt(candidate, "interpreter.next", "the list does not end")
      }
      found.append(next)
      guard let link: UInt64 = memory.load(next &+ UInt64(raw.interpreter_next)) else {
        throw doubt(candidate, "interpreter.next", "not readable")
      }
      next = link
    }
    guard found.contains(main) else {
      throw doubt(candidate, "runtime.interpreters_head", "the main interpreter is not in its list")
    }
    if raw.minor == 11 {
      // `struct _gilstate_runtime_state`: tstate_current, then autoInterpreterState, the main one (pycore_runtime.h).
      let current = raw.runtime &+ UInt64(raw.runtime_tstate_current)
      guard memory.load(current &+ 8, as: UInt64.self) == main else {
        throw doubt(candidate, "runtime.tstate_current", "not followed by the main interpreter")
      }
    }
    return found
  }

  private func threadStates(of interpreter: UInt64, _ candidate: LayoutCandidate) throws(LayoutError)
    -> [Thread]
  {
    let raw = candidate.raw
    guard var next: UInt64 = memory.load(interpreter &+ UInt64(raw.interpreter_threads_head)) else {
      throw doubt(candidate, "interpreter.threads_head", "not readable")
    }
    var found: [Thread] = []
    while next != 0 {
      guard found.count < Self.threadLimit else {
        throw doubt(candidate, "thread.next", "the list does not end")
      }
      guard let owner: UInt64 = memory.load(next &+ UInt64(raw.thread_interp)),
        let native: UInt64 = memory.load(next &+ UInt64(raw.thread_native_id)),
        let link: UInt64 = memory.load(next &+ UInt64(raw.thread_next))
      else {
        throw doubt(candidate, found.isEmpty ? "interpreter.threads_head" : "thread.next", "not readable")
      }
      guard owner == interpreter else {
        throw doubt(candidate, "thread.interp", "a thread does not belong to its interpreter")
      }
      found.append(Thread(state: next, nativeID: native))
      next = link
    }
    return found
  }

  private func checkInterpreter(_ interpreter: UInt64, _ candidate: LayoutCandidate) throws(LayoutError) {
    let raw = candidate.raw
    guard let collecting: UInt32 = memory.load(interpreter &+ UInt64(raw.interpreter_gc_collecting)),
      collecting <= 1
    else { throw doubt(candidate, "interpreter.gc_collecting", "neither 0 nor 1") }
    guard raw.minor >= 12 else { return }
    // `struct _gil_runtime_state` starts with the switch interval in microseconds (pycore_gil.h).
    guard let gil: UInt64 = memory.load(interpreter &+ UInt64(raw.interpreter_ceval_gil)), gil != 0,
      let interval: UInt64 = memory.load(gil), interval > 0, interval < 1 << 40
    else { throw doubt(candidate, "interpreter.ceval_gil", "no lock there") }
    guard let locked: UInt32 = memory.load(gil &+ UInt64(raw.gil_locked)), locked <= 1 || locked == .max
    else {
      throw doubt(candidate, "gil.locked", "neither -1, 0 nor 1")
    }
    guard let holder: UInt64 = memory.load(gil &+ UInt64(raw.gil_last_holder)), holder % 8 == 0 else {
      throw doubt(candidate, "gil.last_holder", "no thread state")
    }
  }

  /// 3.13: nine status bits, of which the lowest, `initialized`, is set once a thread state is complete (pystate.h).
  private func checkStatus(_ all: [Thread], _ candidate: LayoutCandidate) throws(LayoutError) {
    guard candidate.raw.minor == 13 else { return }
    let states = all.map {
      memory.load($0.state &+ UInt64(candidate.raw.thread_status), as: UInt32.self) ?? 0
    }
    guard states.contains(where: { $0 & 1 == 1 }), let highest = states.max(), highest < 1 << 10 else {
      throw doubt(candidate, "thread.status", "no thread status in \(states.count) threads")
    }
  }
}
