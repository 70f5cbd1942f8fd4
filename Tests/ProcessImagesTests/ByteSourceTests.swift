// Byte sources: files, memory, and recordings that replay exactly what was read.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct ByteSourceTests {
  @Test func filesAcrossChunks() throws {
    let folder = try TemporaryFolder()
    var random = SeededGenerator(seed: 3)
    let bytes = (0..<300_001).map { _ in UInt8.random(in: 0...255, using: &random) }
    let path = try folder.write(bytes, as: "bytes")
    let file = try #require(FileBytes(path: path, cache: ChunkCache(capacity: 2)))
    #expect(file.size == 300_001)
    for _ in 0..<500 {
      let start = Int.random(in: 0..<bytes.count, using: &random)
      let count = Int.random(in: 0...min(150_000, bytes.count - start), using: &random)
      #expect(file.bytes(UInt64(start), count: count) == Array(bytes[start..<start + count]))
    }
    #expect(file.bytes(300_000, count: 2) == nil)
    #expect(file.bytes(300_001, count: 0) == [])
    #expect(file.bytes(.max, count: 2) == nil)
    #expect(file.bytes(1 << 62, count: 1) == nil)
    #expect(FileBytes(path: folder.path) == nil)
    #expect(FileBytes(path: "/dev/null") == nil)
    #expect(FileBytes(path: folder.path + "/none") == nil)
  }

  /// Two files in one cache, read in turns.
  @Test func filesInOneCacheStayApart() throws {
    let folder = try TemporaryFolder()
    let cache = ChunkCache(capacity: 4)
    let files = try (0..<2).map { number in
      let path = try folder.write([UInt8](repeating: UInt8(number + 1), count: 100_000), as: "\(number)")
      return try #require(FileBytes(path: path, cache: cache))
    }
    for _ in 0..<3 {
      for (number, file) in files.enumerated() {
        for at in [UInt64(0), 65_000, 99_998] {
          #expect(file.bytes(at, count: 2) == [UInt8(number + 1), UInt8(number + 1)])
        }
      }
    }
  }

  @Test func fileThatShrinks() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write([UInt8](repeating: 1, count: 200_000), as: "bytes")
    let file = try #require(FileBytes(path: path))
    #expect(file.bytes(0, count: 8) != nil)
    #expect(unsafe truncate(path, 100) == 0)
    #expect(file.bytes(150_000, count: 8) == nil)
    #expect(file.bytes(0, count: 190_000) == nil)
  }

  @Test func ownMemory() {
    let memory = ProcessMemory(pid: getpid())
    let bytes: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
    let address = unsafe bytes.withUnsafeBytes { UInt64(UInt(bitPattern: $0.baseAddress)) }
    #expect(memory.bytes(address, count: 8) == bytes)
    #expect(memory.load(address, as: UInt16.self) == 0x0201)
    #expect(memory.bytes(8, count: 8) == nil)
    #expect(memory.bytes(.max - 2, count: 8) == nil)
    #expect(ProcessMemory(pid: .max).bytes(address, count: 8) == nil)
    withExtendedLifetime(bytes) {}
  }

  @Test func recordingRepliesOnlyWhatWasRead() throws {
    var random = SeededGenerator(seed: 5)
    let bytes = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &random) }
    let recording = RecordingByteSource(BufferBytes(bytes))
    var known = [Bool](repeating: false, count: bytes.count)
    for _ in 0..<60 {
      let start = Int.random(in: 0..<4090, using: &random)
      let count = Int.random(in: 0...min(60, 4096 - start), using: &random)
      #expect(recording.bytes(UInt64(start), count: count) == Array(bytes[start..<start + count]))
      for at in start..<start + count { known[at] = true }
    }
    #expect(recording.bytes(4090, count: 7) == nil)
    let replay = try RecordedByteSource(serialized: recording.recorded.serialized())
    for at in bytes.indices {
      #expect(replay.bytes(UInt64(at), count: 1) == (known[at] ? [bytes[at]] : nil))
    }
    for _ in 0..<2000 {
      let start = Int.random(in: 0..<4096, using: &random)
      let count = Int.random(in: 1...min(40, 4096 - start), using: &random)
      let isKnown = known[start..<start + count].allSatisfy { $0 }
      #expect(
        replay.bytes(UInt64(start), count: count) == (isKnown ? Array(bytes[start..<start + count]) : nil))
    }
    // Coalesced: no two ranges touch.
    for (one, next) in zip(replay.pieces, replay.pieces.dropFirst()) {
      #expect(one.address + UInt64(one.count) < next.address)
    }
    #expect(replay.serialized() == recording.recorded.serialized())
  }

  @Test func damagedRecordings() {
    let recording = RecordingByteSource(BufferBytes([UInt8](repeating: 9, count: 600)))
    for start in stride(from: 0, to: 500, by: 50) { _ = recording.bytes(UInt64(start), count: 20) }
    let good = recording.recorded.serialized()
    for cut in good.indices {
      #expect(throws: RecordingError.self) { try RecordedByteSource(serialized: Array(good[..<cut])) }
    }
    for at in good.indices {
      for value: UInt8 in [0, 0x7F, 0x80, 0xFF] {
        var bytes = good
        bytes[at] = value
        _ = try? RecordedByteSource(serialized: bytes)
      }
    }
    #expect(throws: RecordingError.malformed) { try RecordedByteSource(serialized: good + [0]) }
  }

  @Test func imagesReplayWithoutTheFiles() throws {
    let recording = RecordingImages(LiveImages(pid: getpid()))
    let mappings = try ProcessMaps.read(getpid())
    let live = AddressSpace(mappings: mappings, provider: recording)
    let libc = try #require(mappings.first { $0.path == SystemFiles.libc && $0.isExecutable })
    let location = try #require(live.location(of: libc.start))
    let addresses = ["malloc", "qsort", "strtoul"].compactMap { name in
      location.module.symbol(named: name).map { location.bias &+ $0.virtualAddress + 1 }
    }
    #expect(addresses.count == 3)
    func names(_ space: AddressSpace) -> [String] {
      addresses.map { address in
        guard let location = space.location(of: address) else { return "nowhere" }
        let found = location.module.symbols.name(at: location.virtualAddress)
        return "\(location.module.displayName) \(location.bias) \(found?.name ?? "none")"
      }
    }
    let expected = names(live)
    let serialized = recording.recorded.serialized()
    let replay = AddressSpace(mappings: mappings, provider: try RecordedImages(serialized: serialized))
    #expect(names(replay) == expected)
    #expect(!expected.contains { $0.hasSuffix("none") })
    // A file that was not read is not there.
    let other = try #require(mappings.first { $0.isExecutable && $0.hasFile && !$0.path.contains("libc") })
    #expect(try RecordedImages(serialized: serialized).image(for: other) == nil)
  }
}
