// Whether a function stands at its beginning or at its end: where it makes its frame and takes it away, and the few
// instructions beside that.

/// Answers for functions with unwind information.
extension NativeUnwinder {
  /// Bytes from a function's first one in which what it does at its entry is done. In the evaluation loops of 3.11 to
  /// 3.13, built with gcc 10 to 12, the last instruction at which a new loop was not linked yet was found at 0x83.
  static let entryBytes: UInt64 = 0x100
  /// Instructions without a branch or a call from which a function may still be in its last part.
  static let exitInstructions = 24

  /// Whether an instruction is one at which its function has its frame: all of it, as in most of the function's code.
  /// False in the instructions that make the frame and take it away, and where there is no row to tell.
  ///
  /// - Parameter lookup: `NativeFrame.lookupAddress`.
  public func isFullFrame(at lookup: UInt64) -> Bool {
    guard let located = code.function(covering: lookup) else { return false }
    return isFullFrame(lookup, located)
  }

  private func isFullFrame(_ lookup: UInt64, _ located: CodeMap.Located) -> Bool {
    let rows = rows(of: located)
    guard let row = rows.first(where: { lookup >= $0.start && lookup < $0.end })?.row, row.form == .frame,
      let body = Libunwind.body(of: rows)
    else { return false }
    // What is pushed for a call lies on top of the frame.
    return row.cfaRegister == body.cfaRegister && row.cfaOffset >= body.cfaOffset && row.hasSlots(of: body)
  }

  /// Whether a function is being entered or left at an instruction: its frame is not whole, or the function has just
  /// begun, or from there the instructions lead to the frame's end with no branch and no call. False where there is
  /// no unwind information. Not quick: for a few samples of many.
  ///
  /// - Parameter lookup: `NativeFrame.lookupAddress`.
  public func entersOrLeaves(at lookup: UInt64) -> Bool {
    guard let located = code.function(covering: lookup) else { return false }
    if lookup &- located.start < Self.entryBytes || !isFullFrame(lookup, located) { return true }
    var at = lookup
    for _ in 0..<Self.exitInstructions {
      guard at >= located.start, at < located.end,
        let bytes = code.code(at: at, count: Int(min(15, located.end - at))),
        let instruction = InstructionDecoder.decode(bytes, at: 0)
      else { return false }
      if !isFullFrame(at, located) { return true }
      let next = at &+ UInt64(instruction.length)
      switch instruction.flow {
      case .next: at = next
      case .jump(let distance): at = next &+ UInt64(bitPattern: Int64(distance))
      case .return: return true
      case .call, .directCall, .branch, .elsewhere: return false
      }
    }
    return false
  }
}
