// Takes a chain record apart: checks it once, then groups its frames by evaluation loop. Pure.

import Accounting
import PythonChain

/// One Python frame of a chain.
public struct ChainFrame: Equatable, Sendable {
  /// `enum _frameowner` of a frame that belongs to a generator or coroutine (Include/internal/pycore_frame.h).
  public static let generatorOwner: UInt8 = 1

  /// Address of the frame.
  public var address: UInt64
  /// Address of the code object.
  public var code: UInt64
  /// Tells apart the code objects that lived at that address; 0 where none could be read.
  public var fingerprint: UInt64
  /// Bytes from the code's first instruction to the current one; negative: not started. Clamped to 32 bits.
  public var offset: Int32
  /// `enum _frameowner`: 0 thread, 1 generator, 2 frame object.
  public var owner: UInt8
}

/// The frames that one evaluation loop runs.
public struct ChainGroup: Equatable, Sendable {
  /// Positions in `DecodedChain.frames`, innermost first.
  public var frames: Range<Int>
  /// Address inside the native frame of the loop; 0 where the chain ended before it.
  public var boundary: UInt64
  /// The loop's C frame (3.11, 3.12), also inside that native frame; else 0.
  public var cFrame: UInt64
  /// True where the outermost of the frames has callers in this loop that were not linked at that instant.
  public var isBroken = false
  /// Address of the interpreter state that the frames belong to.
  public var interpreter: UInt64 = 0
  /// Number of the thread state whose chain the group is part of, from 0: a thread may have several.
  public var chain = 0
  /// True where the thread state names another thread as its own: only the boundary's address says whose frames these
  /// are.
  public var isLent = false
  /// Position in `DecodedChain.frames` before which frames are missing because the record had no room; nil: none are.
  public var gap: Int?
  /// True where whole loops are missing before `gap`, so that these are other frames than those of the open group
  /// before.
  public var gapHidesLoops = false

  /// Whether the loop's end was reached.
  public var isClosed: Bool { boundary != 0 }
}

/// A chain record in parts. One value is used for sample after sample and keeps its storage.
public struct DecodedChain: Sendable {
  /// The record's fixed part.
  public private(set) var header = python_chain_sample()
  /// All Python frames, innermost first.
  public private(set) var frames: [ChainFrame] = []
  /// The evaluation loops, innermost first. Only the last can be open.
  public private(set) var groups: [ChainGroup] = []
  /// Why the chain is not whole; nil where it is, or where there is none to be had (`remark`).
  public private(set) var damage: DamageCause?
  /// `.nonPythonThread` where the thread has no Python frames.
  public private(set) var remark: Remark?
  /// Whether each chain was followed to its own end, so that further out there is no Python frame of its thread state.
  public private(set) var reachesRoot = false
  /// Whether outermost frames were left out, and are not among the groups either (`gap` says where some are).
  public private(set) var isCut = false

  /// Where the thread's stack ends; 0 where the program could not tell.
  public var stackEnd: UInt64 {
    header.flags & PYTHON_CHAIN_STACK_END.rawValue != 0 ? header.stack_end : 0
  }

  /// Whether the thread ran on a stack that is not its own: a fiber's, or one for signals.
  public var isOnOtherStack: Bool { header.flags & PYTHON_CHAIN_OTHER_STACK.rawValue != 0 }

  /// `owner` of a loop end that stands in for one that could not be reached (python_chain.bpf.c).
  static let brokenLoop: UInt8 = 0xff

  /// An empty chain.
  public init() {
    frames.reserveCapacity(Int(PYTHON_CHAIN_MAX_FRAMES))
    groups.reserveCapacity(64)
  }

  /// Decodes one record: header and frames. The fault leaves the value empty.
  ///
  /// - Parameter codeAdaptive: Offset of a code object's first instruction in bytes
  ///   (`InterpreterLayout.codeAdaptive` of the layout `header.layout` names); 0 where none is known.
  public mutating func decode(_ record: RawSpan, codeAdaptive: UInt32) throws(RecordFault) {
    frames.removeAll(keepingCapacity: true)
    groups.removeAll(keepingCapacity: true)
    damage = nil
    remark = nil
    reachesRoot = false
    isCut = false
    header = python_chain_sample()
    let headerSize = MemoryLayout<python_chain_sample>.size
    let entrySize = MemoryLayout<python_chain_frame>.size
    guard record.byteCount >= headerSize else { throw .short }
    let header = unsafe record.unsafeLoadUnaligned(as: python_chain_sample.self)
    guard header.kind == PYTHON_CHAIN_SAMPLE.rawValue else { throw .kind(header.kind) }
    guard Int(header.size) <= record.byteCount else { throw .short }
    // Entries are frames and as many loop ends at most.
    guard header.frame_count <= UInt32(PYTHON_CHAIN_MAX_FRAMES) * 2 else { throw .sizes }
    let rest = Int(header.size) - headerSize - Int(header.frame_count) * entrySize
    let pages = MemoryLayout<python_chain_pages>.size
    let hasPages = header.flags & PYTHON_CHAIN_HAS_PAGES.rawValue != 0
    guard hasPages ? rest >= pages && (rest - pages) % Int(PYTHON_CHAIN_PAGE_BYTES) == 0 : rest == 0 else {
      throw .sizes
    }
    self.header = header
    decodeEntries(record, codeAdaptive)
    classify(python_chain_status(header.status))
  }

  private mutating func decodeEntries(_ record: RawSpan, _ codeAdaptive: UInt32) {
    let headerSize = MemoryLayout<python_chain_sample>.size
    let entrySize = MemoryLayout<python_chain_frame>.size
    var group = ChainGroup(frames: 0..<0, boundary: 0, cFrame: 0)
    group.interpreter = header.interpreter
    group.isLent = header.flags & PYTHON_CHAIN_LENT_STATE.rawValue != 0
    var hasGap = false
    for index in 0..<Int(header.frame_count) {
      // Inside of the record by the check above.
      let entry = unsafe record.unsafeLoadUnaligned(
        fromUncheckedByteOffset: headerSize + index * entrySize, as: python_chain_frame.self)
      switch UInt32(entry.entry) {
      case PYTHON_CHAIN_LOOP_END.rawValue:
        close(&group, entry)
      case PYTHON_CHAIN_STATE.rawValue:
        end(&group)
        group.interpreter = entry.code
        group.isLent = entry.instruction != 0
        group.chain += 1
      case PYTHON_CHAIN_GAP.rawValue:
        hasGap = true
        if entry.instruction != 0 { end(&group) }
        group.gap = frames.count
        group.gapHidesLoops = entry.instruction != 0
      default:
        let start = entry.code &+ UInt64(codeAdaptive)
        frames.append(
          ChainFrame(
            address: entry.address, code: entry.code, fingerprint: entry.fingerprint,
            offset: Int32(clamping: Int64(bitPattern: entry.instruction &- start)), owner: entry.owner))
      }
    }
    end(&group)
    if group.chain > 0 { sortGroups() }
    let status = python_chain_status(header.status)
    isCut = status == PYTHON_CHAIN_DEPTH_LIMIT && !hasGap
    reachesRoot = status == PYTHON_CHAIN_WHOLE || (status == PYTHON_CHAIN_DEPTH_LIMIT && hasGap)
  }

  /// The loop of the frames since the last one ends.
  private mutating func close(_ group: inout ChainGroup, _ entry: python_chain_frame) {
    group.frames = group.frames.lowerBound..<frames.count
    group.boundary = entry.address
    group.cFrame = entry.code
    group.isBroken = entry.owner == Self.brokenLoop
    groups.append(group)
    reset(&group)
  }

  /// The chain, or what is known of it in one piece, ends inside of a loop, or behind one.
  private mutating func end(_ group: inout ChainGroup) {
    group.frames = group.frames.lowerBound..<frames.count
    if !group.frames.isEmpty { groups.append(group) }
    reset(&group)
  }

  private func reset(_ group: inout ChainGroup) {
    group.frames = frames.count..<frames.count
    group.boundary = 0
    group.cFrame = 0
    group.isBroken = false
    group.gap = nil
    group.gapHidesLoops = false
  }

  /// Brings the groups of several chains into the order of their boundaries: from the leaf outwards. A group without a
  /// boundary stays behind the one that it follows in its own chain.
  private mutating func sortGroups() {
    var keys: [UInt64] = []
    keys.reserveCapacity(groups.count)
    var last: UInt64 = 0
    var chain = 0
    for group in groups {
      if group.chain != chain { last = 0 }
      chain = group.chain
      if group.isClosed { last = group.boundary }
      keys.append(last)
    }
    for index in groups.indices.dropFirst() {
      var at = index
      while at > 0, keys[at - 1] > keys[at] {
        keys.swapAt(at - 1, at)
        groups.swapAt(at - 1, at)
        at -= 1
      }
    }
  }

  /// Drops everything that was decoded: it belongs to no interpreter that is there.
  public mutating func forget(_ cause: DamageCause) {
    frames.removeAll(keepingCapacity: true)
    groups.removeAll(keepingCapacity: true)
    damage = cause
    remark = nil
    reachesRoot = false
    isCut = false
  }

  private mutating func classify(_ status: python_chain_status) {
    switch status {
    case PYTHON_CHAIN_WHOLE:
      // A whole chain ends in a closed loop.
      if groups.contains(where: { !$0.isClosed }) {
        damage = .joinMismatch
        reachesRoot = false
      }
    case PYTHON_CHAIN_NO_LAYOUT: damage = .interpreterNotYetKnown
    case PYTHON_CHAIN_NO_THREAD, PYTHON_CHAIN_NO_FRAMES: remark = .nonPythonThread
    case PYTHON_CHAIN_READ_FAULT: damage = .pythonReadFault
    case PYTHON_CHAIN_BAD_CODE: damage = .pythonBadCode
    case PYTHON_CHAIN_DEPTH_LIMIT: damage = .pythonDepthLimit
    case PYTHON_CHAIN_UNLINKED: damage = .pythonTransient
    case PYTHON_CHAIN_BOUNDARY: damage = .joinMismatch
    case PYTHON_CHAIN_THREAD_LIMIT: damage = .threadListLimit
    case PYTHON_CHAIN_UNVERIFIED: damage = .pythonUnverified
    default: damage = .pythonBadCode
    }
  }
}
