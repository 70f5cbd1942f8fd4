// Frames that get their names after sampling: until then each place in the code is a frame of its own, at the end those
// that turn out to be one function become one.

extension Profile {
  /// A frame whose final form is told later, by `resolve`. Until then it is never one with another, equal as they may
  /// be.
  public mutating func addProvisional(frame: Frame) -> FrameID {
    frames.append(frame)
    return FrameID(index: UInt32(frames.count - 1))
  }

  /// Gives every frame its final form. Frames that are equal then become one, and so do stacks and samples, each where
  /// the first of them stood: the order of first sight stays, counts add up, the time line keeps every sample.
  ///
  /// - Parameters:
  ///   - final: The frames by position in `frames`; nil takes one out of the table and out of every stack.
  ///   - edit: May change a stack (leaf first, frames as they were) before that; it is called once for each, with the
  ///     number of its samples.
  /// - Returns: What became of each frame, by its old position.
  @discardableResult
  public mutating func resolve(
    _ final: [Frame?], editing edit: (_ stack: inout [FrameID], _ count: UInt64) -> Void = { _, _ in }
  ) -> [FrameID?] {
    frames.removeAll()
    frameIndex.removeAll()
    let ids = final.map { frame in frame.map { intern(frame: $0) } }
    let samples = counts.samples
    var totals = [UInt64](repeating: 0, count: stacks.count)
    for sample in samples { totals[Int(sample.stack.index)] += sample.count }
    var table = StackTable()
    var stack: [FrameID] = []
    let stackIDs = totals.indices.map { position in
      stack.replaceSubrange(0..., with: stacks[StackID(index: UInt32(position))])
      edit(&stack, totals[position])
      let frames = stack.compactMap { ids[Int($0.index)] }
      return table.intern(frames.span)
    }
    var merged = SampleCounts()
    for sample in samples {
      merged.add(
        stack: stackIDs[Int(sample.stack.index)], thread: UInt32(sample.thread), count: sample.count)
    }
    (stacks, counts) = (table, merged)
    timeline?.renameStacks(stackIDs)
    return ids
  }
}
