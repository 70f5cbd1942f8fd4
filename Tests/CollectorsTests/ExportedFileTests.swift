// A file is written whole or not at all.

import Foundation
import Testing

@testable import Collectors

@Suite("Writing files")
struct ExportedFileTests {
  private func content(_ path: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  private func names(_ folder: TemporaryFolder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  @Test("The new content replaces the old, and nothing else stays in the folder")
  func replaces() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/out.txt"
    try ExportedFile.write(Array("first, and longer".utf8), to: path)
    let reader = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    try ExportedFile.write(Array("second".utf8), to: path)
    #expect(try content(path) == Array("second".utf8))
    #expect(try reader.readToEnd() == Data("first, and longer".utf8), "who had it open still reads the old")
    #expect(try names(folder) == ["out.txt"])
  }

  @Test("A large file arrives whole")
  func large() throws {
    let folder = try TemporaryFolder()
    let bytes = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
    try ExportedFile.write(bytes, to: folder.path + "/large")
    #expect(try content(folder.path + "/large") == bytes)
  }

  @Test("A name of the greatest length is no problem")
  func longName() throws {
    let folder = try TemporaryFolder()
    let name = String(repeating: "n", count: 255)
    try ExportedFile.write([1], to: folder.path + "/" + name)
    #expect(try names(folder) == [name])
  }

  @Test("A missing folder, a folder in place of the file: the error says which and why")
  func errors() throws {
    let folder = try TemporaryFolder()
    let missing = folder.path + "/no/out.txt"
    let error = #expect(throws: ExportError.self) { try ExportedFile.write([1], to: missing) }
    #expect(error?.code == ENOENT)
    #expect(error?.description == "cannot create \(missing): No such file or directory")
    let directory = #expect(throws: ExportError.self) { try ExportedFile.write([1], to: folder.path) }
    #expect(directory?.description == "cannot write \(folder.path): Is a directory")
    #expect(try names(folder).isEmpty)
  }

  @Test("When the finished file cannot get its name, nothing is left behind")
  func failedRename() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/" + String(repeating: "n", count: 256)
    let error = #expect(throws: ExportError.self) { try ExportedFile.write([1], to: path) }
    #expect(error?.code == ENAMETOOLONG)
    #expect(try names(folder).isEmpty)
  }

  @Test("When the owner cannot be set, the old file stays and nothing is left behind")
  func failedOwner() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/out.txt"
    try ExportedFile.write([1], to: path)
    // 0xFFFFFFFE is no id in this user namespace, or one that only root may give.
    let nobody = FileOwner(uid: 0xFFFF_FFFE, gid: 0xFFFF_FFFE)
    if getuid() != 0 {
      #expect(throws: ExportError.self) { try ExportedFile.write([2], to: path, owner: nobody) }
      #expect(try content(path) == [1])
    } else {
      try ExportedFile.write([2], to: path, owner: FileOwner(uid: 12_345, gid: 54_321))
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      #expect(attributes[.ownerAccountID] as? Int == 12_345)
      #expect(attributes[.groupOwnerAccountID] as? Int == 54_321)
    }
    #expect(try names(folder) == ["out.txt"])
  }

  @Test("A device is written to and stays a device")
  func device() throws {
    let before = try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type]
    try ExportedFile.write([1, 2, 3], to: "/dev/null")
    #expect(before as? FileAttributeType == .typeCharacterSpecial)
    let after = try FileManager.default.attributesOfItem(atPath: "/dev/null")[.type]
    #expect(after as? FileAttributeType == .typeCharacterSpecial)
  }

  @Test("A link stays a link; what it leads to is written")
  func link() throws {
    let folder = try TemporaryFolder()
    let (file, link) = (folder.path + "/file", folder.path + "/link")
    try ExportedFile.write([1, 1, 1], to: file)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
    try ExportedFile.write([2], to: link)
    #expect(try content(file) == [2])
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == file)
  }

  @Test("A name that was chosen for the user is not taken from anything: a file, a link, a folder, a pipe")
  func notReplacing() throws {
    let folder = try TemporaryFolder()
    let (file, link) = (folder.path + "/file", folder.path + "/link")
    let (inner, pipe) = (folder.path + "/inner", folder.path + "/pipe")
    try ExportedFile.write([1, 1, 1], to: file)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
    try FileManager.default.createDirectory(atPath: inner, withIntermediateDirectories: false)
    let isMade = unsafe mkfifo(pipe, 0o600)
    try #require(isMade == 0)
    for path in [file, link, inner, pipe] {
      let error = #expect(throws: ExportError.self) {
        try ExportedFile.write([2], to: path, replacing: false)
      }
      #expect(error?.code == EEXIST, "\(path)")
    }
    #expect(try content(file) == [1, 1, 1])
    try ExportedFile.write([3], to: folder.path + "/new", replacing: false)
    #expect(try content(folder.path + "/new") == [3])
    #expect(try names(folder).sorted() == ["file", "inner", "link", "new", "pipe"])
  }
}
