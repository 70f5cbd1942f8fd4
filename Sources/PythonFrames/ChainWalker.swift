// Walks one thread's frame chain from outside, as the eBPF program does in the interrupt.

import ProcessImages
import PythonChain

/// A chain as it was read while the thread ran on: true only where the caller knows that the thread stood still.
struct WalkedChain {
  /// Innermost first, with a LOOP_END entry behind each evaluation loop.
  var entries: [python_chain_frame] = []
  var status = python_chain_status(PYTHON_CHAIN_WHOLE.rawValue)
  /// Innermost C frame; 0 in 3.13.
  var cFrame: UInt64 = 0
  /// The field a failure points at.
  var suspect = "thread.frame"
  /// It ends as a whole one does, but in a C frame that is not the thread state's own and has none before it: that of
  /// a stack which a coroutine library made (greenlet), 3.11 and 3.12.
  var isDetached = false

  var isWhole: Bool { status == PYTHON_CHAIN_WHOLE }
  /// How many Python frames were read.
  var frameCount: Int { entries.count { $0.entry == UInt8(PYTHON_CHAIN_FRAME.rawValue) } }
}

/// Reads frame chains with one layout. Used by validation and by tests; the profiler's chains come in records.
struct ChainWalker {
  /// Entries followed at most: far more than a record holds, because a whole chain proves the layout, however
  /// deep the program is; bounded, because a hostile one may be a ring.
  static let maximumEntries = 1 << 17

  /// The last value of `enum _frameowner` (Include/internal/pycore_frame.h), 3.12 and later.
  static let cStackOwner: UInt8 = 3
  /// Bytes of a frame that hold every field.
  static let frameBytes = 80

  let reader: ObjectReader
  /// Whether to compute each frame's fingerprint.
  var fingerprints = false

  private var layout: python_layout { reader.layout }

  init(reader: ObjectReader, fingerprints: Bool = false) {
    self.reader = reader
    self.fingerprints = fingerprints
  }

  func walk(thread: UInt64) -> WalkedChain {
    var chain = WalkedChain()
    let memory = reader.memory
    guard var link: UInt64 = memory.load(thread &+ UInt64(layout.thread_frame)) else {
      return ended(chain, PYTHON_CHAIN_READ_FAULT, "thread.frame")
    }
    let rootCFrame = thread &+ UInt64(layout.thread_root_cframe)
    var cFrame: UInt64 = 0
    if layout.minor < 13 {
      cFrame = link
      chain.cFrame = cFrame
      guard let frame: UInt64 = memory.load(cFrame &+ UInt64(layout.cframe_current_frame)) else {
        return ended(chain, PYTHON_CHAIN_READ_FAULT, "thread.frame")
      }
      link = frame
    }
    guard link != 0 else { return ended(chain, PYTHON_CHAIN_NO_FRAMES, "thread.frame") }

    var endsLoop = false
    while link != 0 {
      guard chain.entries.count < Self.maximumEntries else {
        return ended(chain, PYTHON_CHAIN_DEPTH_LIMIT, "frame.previous")
      }
      guard let bytes = memory.bytes(link, count: Self.frameBytes) else {
        return ended(chain, PYTHON_CHAIN_READ_FAULT, "frame.previous")
      }
      let words = Words(bytes: bytes)
      let owner: UInt8 = words.load(layout.frame_owner)
      let highestOwner: UInt8 = layout.minor == 11 ? 2 : 3
      guard owner <= highestOwner else { return ended(chain, PYTHON_CHAIN_BAD_CODE, "frame.owner") }
      endsLoop = owner == Self.cStackOwner
      if !endsLoop {
        var entry = python_chain_frame()
        entry.address = link
        entry.code = words.load(layout.frame_executable)
        entry.instruction = words.load(layout.frame_instruction)
        entry.owner = owner
        if layout.minor == 11 {
          entry.is_entry = words.load(layout.frame_is_entry)
          guard entry.is_entry <= 1 else { return ended(chain, PYTHON_CHAIN_BAD_CODE, "frame.is_entry") }
          endsLoop = entry.is_entry == 1
        }
        guard let type = reader.type(of: entry.code), layout.code_type == 0 || type == layout.code_type else {
          return ended(chain, PYTHON_CHAIN_BAD_CODE, "frame.executable")
        }
        if fingerprints { entry.fingerprint = CodeFingerprint.read(entry.code, with: reader) }
        chain.entries.append(entry)
      }
      if endsLoop {
        var entry = python_chain_frame()
        entry.entry = UInt8(PYTHON_CHAIN_LOOP_END.rawValue)
        entry.address = layout.minor == 11 ? cFrame : link
        entry.code = cFrame
        chain.entries.append(entry)
        if layout.minor < 13 {
          guard cFrame != rootCFrame, let next: UInt64 = memory.load(cFrame &+ UInt64(layout.cframe_previous))
          else { return ended(chain, PYTHON_CHAIN_BOUNDARY, "cframe.previous") }
          cFrame = next
        }
      }
      link = words.load(layout.frame_previous)
    }
    guard endsLoop else { return ended(chain, PYTHON_CHAIN_UNLINKED, "frame.previous") }
    guard layout.minor < 13, cFrame != rootCFrame else { return chain }
    // Its `current_frame` was the outermost frame's `previous`: both say that nothing comes before.
    chain.isDetached =
      memory.load(cFrame &+ UInt64(layout.cframe_previous), as: UInt64.self) == 0
      && memory.load(cFrame &+ UInt64(layout.cframe_current_frame), as: UInt64.self) == 0
    return ended(chain, PYTHON_CHAIN_BOUNDARY, "thread.root_cframe")
  }

  private func ended(_ chain: WalkedChain, _ status: python_chain_status, _ suspect: String) -> WalkedChain {
    var chain = chain
    chain.status = status
    chain.suspect = suspect
    return chain
  }
}
