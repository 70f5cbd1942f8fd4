// Byte sources for golden captures: one remembers what was read through it, the other serves what was remembered.

/// Remembered bytes by address: disjoint ranges that do not touch, in rising order.
struct ByteRanges {
  struct Piece: Equatable {
    var start: UInt64
    var bytes: [UInt8]

    /// First address after the piece; may wrap to 0 at the end of the address space.
    var end: UInt64 { start &+ UInt64(bytes.count) }
  }

  private(set) var pieces: [Piece] = []

  /// Adds bytes; where some were known already the new ones count. `start + bytes.count` must not overflow.
  mutating func add(_ start: UInt64, _ bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    let end = start + UInt64(bytes.count)
    let first = index { $0.end >= start }
    var last = first
    while last < pieces.count, pieces[last].start <= end { last += 1 }
    guard first < last else {
      pieces.insert(Piece(start: start, bytes: bytes), at: first)
      return
    }
    if last == first + 1, pieces[first].start <= start {
      // The usual case, one piece that is read again or goes on: nothing is copied but the new bytes.
      let at = Int(start - pieces[first].start)
      let overlap = min(bytes.count, pieces[first].bytes.count - at)
      pieces[first].bytes.replaceSubrange(at..<at + overlap, with: bytes)
      return
    }
    var merged: [UInt8] = []
    if pieces[first].start < start { merged += pieces[first].bytes[..<Int(start - pieces[first].start)] }
    let begin = min(pieces[first].start, start)
    merged += bytes
    if pieces[last - 1].end > end {
      merged += pieces[last - 1].bytes[Int(end - pieces[last - 1].start)...]
    }
    pieces.replaceSubrange(first..<last, with: [Piece(start: begin, bytes: merged)])
  }

  /// Copies remembered bytes; false where any is not.
  func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard buffer.count > 0 else { return true }
    guard !address.addingReportingOverflow(UInt64(buffer.count)).overflow else { return false }
    let at = index { $0.end > address }
    guard at < pieces.count, pieces[at].start <= address,
      pieces[at].end - address >= UInt64(buffer.count)
    else { return false }
    let offset = Int(address - pieces[at].start)
    unsafe pieces[at].bytes.withUnsafeBytes { bytes in
      unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + buffer.count]))
    }
    return true
  }

  /// The first piece for which `condition` holds; it must hold for all after that too.
  private func index(_ condition: (Piece) -> Bool) -> Int {
    var low = 0
    var high = pieces.count
    while low < high {
      let middle = (low &+ high) >> 1
      if condition(pieces[middle]) { high = middle } else { low = middle &+ 1 }
    }
    return low
  }
}

/// Passes reads on and remembers what they gave. A read that fails is not remembered: it fails in the replay too.
public final class RecordingByteSource: ByteSource {
  private let source: any ByteSource
  private var ranges = ByteRanges()

  /// Records reads of `source`.
  public init(_ source: any ByteSource) { self.source = source }

  /// Reads from the source; what was read later counts where memory changed in between.
  public func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard unsafe source.read(address, into: buffer) else { return false }
    if !address.addingReportingOverflow(UInt64(buffer.count)).overflow {
      ranges.add(address, unsafe [UInt8](buffer))
    }
    return true
  }

  /// What has been read so far.
  public var recorded: RecordedByteSource { RecordedByteSource(ranges) }
}

/// Serves remembered bytes and refuses all others.
public final class RecordedByteSource: ByteSource {
  private let ranges: ByteRanges

  init(_ ranges: ByteRanges) { self.ranges = ranges }

  /// Fills `buffer` with remembered bytes; false where any was not read when the recording was made.
  public func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    unsafe ranges.read(address, into: buffer)
  }

  /// The ranges that are remembered, in rising order.
  public var pieces: [(address: UInt64, count: Int)] { ranges.pieces.map { ($0.start, $0.bytes.count) } }

  /// The compact form: how many ranges; for each, the distance from the end of the one before, the number of its
  /// bytes (all three as LEB128), the bytes.
  public func serialized() -> [UInt8] {
    var writer = CompactWriter()
    write(to: &writer)
    return writer.bytes
  }

  /// Reads the compact form.
  public convenience init(serialized bytes: [UInt8]) throws(RecordingError) {
    var reader = CompactReader(bytes)
    try self.init(from: &reader)
    guard reader.isAtEnd else { throw .malformed }
  }

  func write(to writer: inout CompactWriter) {
    writer.number(UInt64(ranges.pieces.count))
    var end: UInt64 = 0
    for piece in ranges.pieces {
      writer.number(piece.start - end)
      writer.block(piece.bytes)
      end = piece.end
    }
  }

  init(from reader: inout CompactReader) throws(RecordingError) {
    var ranges = ByteRanges()
    var end: UInt64 = 0
    for _ in 0..<(try reader.number()) {
      let (start, overflow) = end.addingReportingOverflow(try reader.number())
      let bytes = try reader.block()
      let (next, wraps) = start.addingReportingOverflow(UInt64(bytes.count))
      guard !overflow, !wraps, !bytes.isEmpty else { throw .malformed }
      ranges.add(start, bytes)
      end = next
    }
    self.ranges = ranges
  }
}
