// Builds an interpreter's structures in the fake machine's memory, by the offsets of a release.

import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

/// A code object as the tests made it.
struct MadeCode {
  var address: UInt64
  var fingerprint: UInt64
  var qualifiedName: UInt64
  var fileName: UInt64
  var lineTable: UInt64
}

/// A frame to be made.
struct MadeFrame {
  var code: MadeCode
  var owner: UInt8 = 0
  /// Code units from the first instruction.
  var position: UInt64 = 7
  /// Where it lies; nil: anywhere.
  var address: UInt64?
}

/// A chain as it was made: what must be read.
struct MadeChain {
  var entries: [Entry] = []
  /// Addresses of the frames, loops innermost first.
  var frames: [[UInt64]] = []
  /// Addresses of the boundary frames (3.12, 3.13).
  var boundaries: [UInt64] = []
  /// Addresses of the C frames (3.11, 3.12).
  var cFrames: [UInt64] = []
}

/// One process's interpreters.
final class FakeInterpreter {
  static let runtime: UInt64 = 0x5555_5000_0000
  static let codeType: UInt64 = 0x5555_5100_0000
  static let counter312: UInt64 = 0x5555_5200_0008
  static let boundaryOwner: UInt8 = 3

  let machine: Machine
  let minor: UInt32
  let layout: python_layout
  let codeAdaptive: UInt32
  private(set) var interpreters: [UInt64] = []
  private var heap: UInt64 = 0x7f00_0000_0000
  private var stack: UInt64 = Machine.stackEnd - 0x40000
  private var nextVersion: UInt32 = 100

  init(_ machine: Machine, minor: UInt32) throws {
    self.machine = machine
    self.minor = minor
    let known = try #require(LayoutTable.known(minor: minor))
    var raw = known.raw
    raw.runtime = Self.runtime
    raw.code_type = Self.codeType
    if minor == 12 { raw.next_version_address = Self.counter312 }
    layout = raw
    codeAdaptive = known.codeAdaptive
    machine.codeAdaptive = codeAdaptive
    machine.use(raw)
    machine.write(Self.runtime, [UInt8](repeating: 0, count: 4096))
    addInterpreter()
    setCounter(1000)
  }

  func allocate(_ size: UInt64, alignment: UInt64 = 16) -> UInt64 {
    heap = (heap + alignment - 1) / alignment * alignment
    defer { heap += size }
    machine.write(heap, [UInt8](repeating: 0, count: Int(size)))
    return heap
  }

  private func onStack(_ size: UInt64) -> UInt64 {
    defer { stack += size }
    machine.write(stack, [UInt8](repeating: 0, count: Int(size)))
    return stack
  }

  // Interpreters and threads: the newest stands first in its list.

  @discardableResult
  func addInterpreter() -> UInt64 {
    let interpreter = allocate(17200)
    let head = Self.runtime + UInt64(layout.runtime_interpreters_head)
    machine.write(interpreter + UInt64(layout.interpreter_next), machine.load(head, as: UInt64.self) ?? 0)
    machine.write(head, interpreter)
    interpreters.append(interpreter)
    if minor >= 12 {
      let gil = allocate(64)
      machine.write(gil + UInt64(layout.gil_locked), UInt32(0))
      machine.write(interpreter + UInt64(layout.interpreter_ceval_gil), gil)
    }
    return interpreter
  }

  /// The code version counter; 3.11 has none.
  func setCounter(_ value: UInt32, interpreter: Int = 0) {
    if minor == 12 { machine.write(Self.counter312, value) }
    if minor == 13 {
      machine.write(interpreters[interpreter] + UInt64(layout.interpreter_next_version), value)
    }
  }

  func addThread(_ tid: UInt32, interpreter: Int = 0) -> UInt64 {
    let thread = allocate(512)
    let head = interpreters[interpreter] + UInt64(layout.interpreter_threads_head)
    machine.write(thread + UInt64(layout.thread_next), machine.load(head, as: UInt64.self) ?? 0)
    machine.write(head, thread)
    machine.write(thread + UInt64(layout.thread_interp), interpreters[interpreter])
    machine.write(thread + UInt64(layout.thread_native_id), UInt64(tid))
    if minor < 13 {
      machine.write(thread + UInt64(layout.thread_frame), thread + UInt64(layout.thread_root_cframe))
    }
    return thread
  }

  func takeGIL(_ thread: UInt64, interpreter: Int = 0) {
    switch minor {
    case 11: machine.write(Self.runtime + UInt64(layout.runtime_tstate_current), thread)
    case 12:
      let gil: UInt64 = machine.load(interpreters[interpreter] + UInt64(layout.interpreter_ceval_gil)) ?? 0
      machine.write(gil + UInt64(layout.gil_last_holder), thread)
      machine.write(gil + UInt64(layout.gil_locked), UInt32(1))
    default:
      let gil: UInt64 = machine.load(interpreters[interpreter] + UInt64(layout.interpreter_ceval_gil)) ?? 0
      machine.write(gil + UInt64(layout.gil_last_holder), thread)
      machine.write(thread + UInt64(layout.thread_status), layout.thread_holds_gil_mask)
    }
  }

  // Objects.

  /// A `str` whose state says what `bytes` are.
  func string(_ bytes: [UInt8], kind: UInt32 = 1, isASCII: Bool = true, characters: UInt64? = nil) -> UInt64 {
    let string = allocate(96 + UInt64(bytes.count))
    let count = characters ?? UInt64(bytes.count) / UInt64(kind)
    machine.write(string + UInt64(layout.unicode_length), count)
    machine.write(
      string + UInt64(layout.unicode_hash), bytes.reduce(0x1234_5678 as UInt64) { $0 &* 31 &+ UInt64($1) })
    machine.write(
      string + UInt64(layout.unicode_state), UInt32(1 | kind << 2 | 1 << 5 | (isASCII ? 1 << 6 : 0)))
    machine.write(string + UInt64(isASCII ? layout.unicode_ascii_data : layout.unicode_compact_data), bytes)
    return string
  }

  func string(_ text: String) -> UInt64 { string(Array(text.utf8)) }

  func bytesObject(_ bytes: [UInt8]) -> UInt64 {
    let object = allocate(64 + UInt64(bytes.count))
    machine.write(object + UInt64(layout.bytes_size), UInt64(bytes.count))
    machine.write(object + UInt64(layout.bytes_value), bytes)
    return object
  }

  /// A code object; at `address` in the place of another.
  func code(
    _ name: String = "f", file: String = "/srv/app/module.py", line: UInt32 = 10,
    table: [UInt8] = [0x80, 1, 0x81, 2], version: UInt32? = nil, at address: UInt64? = nil
  ) -> MadeCode {
    code(named: string(name), file: string(file), line: line, table: table, version: version, at: address)
  }

  func code(
    named name: UInt64, file: UInt64, line: UInt32 = 10, table: [UInt8] = [0x80, 1, 0x81, 2],
    version: UInt32? = nil, at address: UInt64? = nil
  ) -> MadeCode {
    let code = address ?? allocate(UInt64(codeAdaptive) + 64)
    let lines = bytesObject(table)
    machine.write(code + UInt64(layout.object_type), Self.codeType)
    machine.write(code + UInt64(layout.code_size), 32 as UInt64)
    machine.write(code + UInt64(layout.code_firstlineno), line)
    machine.write(code + UInt64(layout.code_filename), file)
    machine.write(code + UInt64(layout.code_qualname), name)
    machine.write(code + UInt64(layout.code_linetable), lines)
    machine.write(code + UInt64(layout.code_firsttraceable), 3 as UInt32)
    var fingerprint: UInt64
    if minor == 11 {
      fingerprint = CodeFingerprint.read(
        code, with: ObjectReader(layout: layout, codeAdaptive: codeAdaptive, memory: machine))
    } else {
      nextVersion += 1
      fingerprint = UInt64(version ?? nextVersion)
      machine.write(code + UInt64(layout.code_version), UInt32(fingerprint))
    }
    return MadeCode(
      address: code, fingerprint: fingerprint, qualifiedName: name, fileName: file, lineTable: lines)
  }

  // Frames.

  func frame(_ frame: MadeFrame, at address: UInt64, previous: UInt64, isEntry: Bool) -> Entry {
    let instruction = frame.code.address + UInt64(codeAdaptive) + 2 * frame.position
    machine.write(address, [UInt8](repeating: 0xcc, count: 72))
    machine.write(address + UInt64(layout.frame_executable), frame.code.address)
    machine.write(address + UInt64(layout.frame_previous), previous)
    machine.write(address + UInt64(layout.frame_instruction), instruction)
    machine.write(address + UInt64(layout.frame_owner), frame.owner)
    if minor == 11 { machine.write(address + UInt64(layout.frame_is_entry), UInt8(isEntry ? 1 : 0)) }
    return Entry(
      address: address, code: frame.code.address, instruction: instruction,
      fingerprint: frame.code.fingerprint,
      owner: frame.owner, isEntry: minor == 11 && isEntry)
  }

  /// Makes the thread's whole chain: loops innermost first, each with its frames innermost first.
  @discardableResult
  func setChain(_ thread: UInt64, _ loops: [[MadeFrame]]) -> MadeChain {
    var chain = MadeChain()
    // Outermost first, as the interpreter pushes them.
    var cFrame = thread + UInt64(layout.thread_root_cframe)
    var current: UInt64 = 0
    for loop in loops.reversed() {
      var entries: [Entry] = []
      var frames: [UInt64] = []
      var end = Entry(address: 0, code: 0, isLoopEnd: true)
      let outer = current
      if minor < 13 {
        let inner = onStack(24)
        machine.write(inner + UInt64(layout.cframe_previous), cFrame)
        cFrame = inner
        chain.cFrames.insert(inner, at: 0)
        end.code = inner
      }
      if minor >= 12 {
        let boundary = onStack(80)
        chain.boundaries.insert(boundary, at: 0)
        machine.write(boundary + UInt64(layout.frame_previous), outer)
        machine.write(boundary + UInt64(layout.frame_owner), Self.boundaryOwner)
        current = boundary
        end.address = boundary
        end.owner = Self.boundaryOwner
      } else {
        end.address = cFrame
        end.owner = loop.last?.owner ?? 0
      }
      for (index, made) in loop.enumerated().reversed() {
        let address = made.address ?? allocate(96, alignment: 8)
        let isOutermost = index == loop.count - 1
        entries.insert(
          frame(made, at: address, previous: current, isEntry: isOutermost), at: 0)
        frames.insert(address, at: 0)
        current = address
      }
      if minor < 13 { machine.write(cFrame + UInt64(layout.cframe_current_frame), current) }
      chain.entries = entries + [end] + chain.entries
      chain.frames.insert(frames, at: 0)
    }
    setInnermost(thread, frame: current, cFrame: cFrame)
    return chain
  }

  func setInnermost(_ thread: UInt64, frame: UInt64, cFrame: UInt64) {
    machine.write(thread + UInt64(layout.thread_frame), minor < 13 ? cFrame : frame)
  }
}
