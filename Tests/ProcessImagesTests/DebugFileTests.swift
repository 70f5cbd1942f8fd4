// Debug information in a file of its own: only that of the very same build is used.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct DebugFileTests {
  /// A library with a function of a name, and a build-id of twenty equal bytes.
  private func library(_ folder: TemporaryFolder, _ function: String, _ byte: String) throws -> String {
    let file = try folder.write([UInt8]("void \(function)(void) {}\n".utf8), as: function + ".c")
    let path = folder.path + "/" + function + ".so"
    let identifier = "-Wl,--build-id=0x" + String(repeating: byte, count: 20)
    try #require(output(["gcc", "-shared", "-fPIC", identifier, "-o", path, file]) != nil, "gcc failed")
    return path
  }

  @Test func theBuildIDMustBeEqual() throws {
    let folder = try TemporaryFolder()
    let (own, other) = (try library(folder, "own", "ab"), try library(folder, "other", "cd"))
    let image = try #require(SystemFiles.image(own))
    #expect(image.buildIDText == String(repeating: "ab", count: 20))
    let place = folder.path + "/debug/.build-id/ab"
    let name = place + "/" + String(repeating: "ab", count: 19) + ".debug"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    func debugImage() -> ElfImage? {
      LiveImages(pid: getpid(), debugFolder: folder.path + "/debug").debugImage(for: image)
    }
    #expect(debugImage() == nil)
    // What lies under the right name was built from something else.
    try FileManager.default.copyItem(atPath: other, toPath: name)
    #expect(debugImage() == nil)
    try FileManager.default.removeItem(atPath: name)
    try FileManager.default.copyItem(atPath: own, toPath: name)
    #expect(debugImage()?.symbol(named: "own") != nil)
  }
}
