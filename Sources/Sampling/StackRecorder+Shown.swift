// What a reader is to see of a merged stack.

import MixedStacks
import NativeUnwinding
import PerfEvents
import Profiles
import PythonFrames
import Snapshots

extension StackRecorder {
  /// Fills `stack` with what the reader is to see of the merged stack, leaf first.
  mutating func compose(_ sample: borrowing SampleRecord, slot: Int) {
    stack.removeAll(keepingCapacity: true)
    var hasCode = false
    if shown != .none {
      for at in stride(from: 0, to: sample.kernelChain.byteCount, by: 8) {
        let address = sample.kernelChain.word(at: at)
        // PERF_CONTEXT_MAX: markers between the parts of the chain, no addresses.
        if address >= UInt64(bitPattern: -4095) { continue }
        stack.append(names.kernelFrame(address, &profile))
        hasCode = true
      }
    }
    let loop = shown == .extensions ? mixed.outermostLoop : nil
    let mark = loop.map { placeMark(outside: $0, sample.stamp) }
    var isMarked = loop == nil
    for frame in mixed.frames {
      switch frame {
      case .python(let id):
        stack.append(python(id, slot))
        hasCode = true
      case .marker(let marker):
        stack.append(markers[Int(marker.rawValue)])
      case .evaluationLoop(let index):
        guard shown == .all else { continue }
        stack.append(names.frame(addresses.frames[index], &profile))
        hasCode = true
      case .native(let index):
        guard shown != .none else { continue }
        if let mark, let loop, !isMarked, index > loop {
          stack.append(mark)
          isMarked = true
        }
        stack.append(names.frame(addresses.frames[index], &profile))
        hasCode = true
      }
    }
    if let mark, !isMarked, hasCode { stack.append(mark) }
    if !hasCode {
      if stack.isEmpty { stack.append(noPython) }
      if shown != .none || mixed.damage != nil { profile.ledger.empty += 1 }
    }
  }

  /// The mark for what will be hidden of this stack once names are known. Of the main thread that is also what led from
  /// the process's entry to the outermost evaluation loop.
  private mutating func placeMark(outside loop: Int, _ stamp: RecordStamp) -> FrameID {
    guard stamp.tid == processID else { return hidden.plumbing }
    // Frames are numbered in the order in which they are looked at.
    for index in (loop + 1)..<max(loop + 1, addresses.frames.count) {
      _ = names.frame(addresses.frames[index], &profile)
    }
    return hidden.startUp
  }

  private mutating func python(_ id: PythonFrameID, _ slot: Int) -> FrameID {
    let index = Int(id.value)
    if index < pythonFrameIDs[slot].count, let known = pythonFrameIDs[slot][index] { return known }
    guard let context = contexts[slot] else { return noPython }
    let frame = context.frames[id]
    let result = profile.intern(
      frame: Frame(
        kind: .python, name: profile.intern(string: frame.functionName),
        file: profile.intern(string: frame.file),
        line: frame.line, firstLine: frame.firstLine))
    // A frame that has no name yet may get one: its names may come with a later record.
    if context.frames.remark(id) == nil {
      while pythonFrameIDs[slot].count <= index { pythonFrameIDs[slot].append(nil) }
      pythonFrameIDs[slot][index] = result
    }
    return result
  }
}
