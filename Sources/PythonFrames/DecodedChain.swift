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
    header = python_chain_sample()
    let headerSize = MemoryLayout<python_chain_sample>.size
    let entrySize = MemoryLayout<python_chain_frame>.size
    guard record.byteCount >= headerSize else { throw .short }
    let header = unsafe record.unsafeLoadUnaligned(as: python_chain_sample.self)
    guard header.kind == PYTHON_CHAIN_SAMPLE.rawValue else { throw .kind(header.kind) }
    guard Int(header.size) <= record.byteCount else { throw .short }
    // Entries are frames and as many loop ends at most.
    guard header.frame_count <= UInt32(PYTHON_CHAIN_MAX_FRAMES) * 2,
      Int(header.size) == headerSize + Int(header.frame_count) * entrySize
    else { throw .sizes }
    self.header = header

    var groupStart = 0
    for index in 0..<Int(header.frame_count) {
      // Inside of the record by the check above.
      let entry = unsafe record.unsafeLoadUnaligned(
        fromUncheckedByteOffset: headerSize + index * entrySize, as: python_chain_frame.self)
      if UInt32(entry.entry) == PYTHON_CHAIN_LOOP_END.rawValue {
        groups.append(
          ChainGroup(
            frames: groupStart..<frames.count, boundary: entry.address, cFrame: entry.code,
            isBroken: entry.owner == Self.brokenLoop))
        groupStart = frames.count
      } else {
        let start = entry.code &+ UInt64(codeAdaptive)
        frames.append(
          ChainFrame(
            address: entry.address, code: entry.code, fingerprint: entry.fingerprint,
            offset: Int32(clamping: Int64(bitPattern: entry.instruction &- start)), owner: entry.owner))
      }
    }
    if groupStart < frames.count {
      groups.append(ChainGroup(frames: groupStart..<frames.count, boundary: 0, cFrame: 0))
    }
    classify(python_chain_status(header.status))
  }

  /// Drops everything that was decoded: it belongs to no interpreter that is there.
  public mutating func forget(_ cause: DamageCause) {
    frames.removeAll(keepingCapacity: true)
    groups.removeAll(keepingCapacity: true)
    damage = cause
    remark = nil
  }

  private mutating func classify(_ status: python_chain_status) {
    switch status {
    case PYTHON_CHAIN_WHOLE:
      // A whole chain ends in a closed loop.
      if let last = groups.last, !last.isClosed { damage = .joinMismatch }
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
