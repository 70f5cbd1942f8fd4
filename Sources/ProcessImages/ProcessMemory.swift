// The memory of a running process, read from outside without stopping it (process_vm_readv(2)).

internal import CProcessMemory

/// A process's memory by virtual address. Reads are not atomic: the process runs on meanwhile.
public final class ProcessMemory: ByteSource {
  /// The process, as numbered in our own pid namespace.
  public let pid: Int32

  /// Needs no preparation and never fails; each read says whether it worked.
  public init(pid: Int32) { self.pid = pid }

  /// Fills `buffer` with the bytes at `address`; false where any is unmapped or the process may not be read.
  public func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    var done = 0
    while done < buffer.count {
      let (at, overflow) = address.addingReportingOverflow(UInt64(done))
      guard !overflow, let base = buffer.baseAddress else { return false }
      let count = unsafe caduceus_read_process_memory(pid, at, base + done, buffer.count - done)
      guard count > 0 else { return false }
      done += count
    }
    return true
  }
}

/// Bytes in our own memory, by offset: the vDSO, a file made in a test.
public final class BufferBytes: ByteSource {
  /// All of them.
  public let contents: [UInt8]

  /// Keeps the bytes.
  public init(_ contents: [UInt8]) { self.contents = contents }

  /// Fills `buffer` with the bytes at an offset; false where any lies past the end.
  public func read(_ address: UInt64, into buffer: UnsafeMutableRawBufferPointer) -> Bool {
    guard let offset = Int(exactly: address), offset <= contents.count,
      buffer.count <= contents.count - offset
    else { return false }
    guard buffer.count > 0 else { return true }
    unsafe contents.withUnsafeBytes { bytes in
      unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + buffer.count]))
    }
    return true
  }
}
