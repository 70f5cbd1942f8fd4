// gzip files that gzip itself can read.

import Foundation
import Testing

@testable import Collectors

@Suite("gzip")
struct GzipTests {
  @Test("gzip gives back what was packed", arguments: [0, 1, 1000, 3_000_000])
  func roundTrip(_ count: Int) throws {
    var state: UInt64 = 7
    let bytes = (0..<count).map { index in
      // Neither all equal nor without any pattern.
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return index % 3 == 0 ? UInt8(truncatingIfNeeded: state >> 33) : UInt8(index & 0x3F)
    }
    let folder = try TemporaryFolder()
    let packed = URL(fileURLWithPath: folder.path + "/packed.gz")
    try Data(gzipped(bytes)).write(to: packed)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["gzip", "-dk", packed.path]
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path + "/packed")) == Data(bytes))
  }
}
