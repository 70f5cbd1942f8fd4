// /proc as text: maps with tricky lines, names that look like fields, kernel symbols.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct MapsTests {
  @Test func trickyLines() {
    let text = """
      00400000-00401000 r--p 00000000 fe:01 123                                /tmp/with space/a  b (deleted)
      7f0000000000-7f0000001000 rwxp 00000000 00:00 0
      7f0000001000-7f0000002000 r-xp 00000000 00:00 0                          [vdso]
      7f0000002000-7f0000003000 r-xs 0001f000 103:0a 18446744073709551615      /new\\012line
      this is not a line
      7f0000005000-7f0000004000 r-xp 00000000 00:00 0
      7f0000006000-7f0000007000 r-xp
      ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
      """
    let mappings = ProcessMaps.parse([UInt8](text.utf8))
    #expect(
      mappings.map(\.path) == ["/tmp/with space/a  b (deleted)", "", "[vdso]", "/new\nline", "[vsyscall]"])
    #expect(mappings[0].filePath == "/tmp/with space/a  b")
    #expect(mappings[0].hasFile && !mappings[1].hasFile && !mappings[2].hasFile)
    #expect(mappings[1].isExecutable && mappings[1].isWritable)
    #expect(mappings[3].deviceMajor == 0x103 && mappings[3].deviceMinor == 10)
    #expect(mappings[3].inode == .max && mappings[3].fileOffset == 0x1F000)
    #expect(!mappings[4].isReadable && mappings[4].start == 0xFFFF_FFFF_FF60_0000)
  }

  @Test func anyBytesAreSafe() {
    var random = SeededGenerator(seed: 1)
    let line = [UInt8]("7f0000002000-7f0000003000 r-xs 0001f000 103:0a 42   /lib/x.so\n".utf8)
    for cut in line.indices { _ = ProcessMaps.parse(Array(line[..<cut])) }
    for _ in 0..<2000 {
      var changed = line + line
      for _ in 0..<3 {
        changed[Int.random(in: changed.indices, using: &random)] = .random(in: 0...255, using: &random)
      }
      #expect(ProcessMaps.parse(changed).count <= 3)
    }
  }

  @Test func ownMaps() throws {
    let mappings = try ProcessMaps.read(getpid())
    #expect(mappings.contains { $0.path == "[stack]" && $0.isWritable })
    #expect(zip(mappings, mappings.dropFirst()).allSatisfy { $0.end <= $1.start })
    #expect(throws: ProcessReadError.noSuchProcess(path: "/proc/2147483647/maps")) {
      try ProcessMaps.read(.max)
    }
  }
}

@Suite struct ProcessFactsTests {
  @Test func statSurvivesAnyName() {
    let fields = (3...52).map { $0 == 3 ? "S" : String($0 * 10) }.joined(separator: " ")
    let line = [UInt8]("42 (a) S 1 (b) \n)) \(fields)\n".utf8)
    #expect(StatLine.field(28, of: line) == 280)
    #expect(StatLine.field(52, of: line) == 520)
    #expect(StatLine.field(53, of: line) == nil)
    #expect(StatLine.field(3, of: line) == nil)
    #expect(StatLine.field(28, of: []) == nil)
  }

  @Test func statusNumbers() {
    let text = [UInt8]("Name:\tNSpid:\\n 3\nNSpid:\t9001\t12\t7\nUid:\t1000\t0\t0\t0\n".utf8)
    #expect(StatusText.numbers("NSpid", in: text) == [9001, 12, 7])
    #expect(StatusText.numbers("Uid", in: text).first == 1000)
    #expect(StatusText.numbers("Gid", in: text).isEmpty)
  }

  /// Users read them: no debug text.
  @Test(arguments: [
    (ProcessReadError.noSuchProcess(path: "/proc/7/maps"), "/proc/7/maps does not exist"),
    (.notPermitted(path: "/proc/1/ns/pid"), "/proc/1/ns/pid: permission denied"),
    (.failed(path: "/proc/7/stat", errno: 24), "/proc/7/stat: Too many open files"),
    (.malformed(path: "/proc/7/stat"), "/proc/7/stat is not of the documented form"),
  ]) func words(of error: ProcessReadError, _ words: String) { #expect("\(error)" == words) }

  @Test func ownFacts() throws {
    let facts = ProcessFacts(pid: getpid())
    #expect(try facts.commandLine() == CommandLine.arguments)
    #expect(try facts.uid() == getuid())
    #expect(try facts.namespacePids().first == getpid())
    #expect(try facts.threads().contains(getpid()))
    var status = stat()
    #expect(unsafe stat("/proc/self/ns/pid", &status) == 0)
    #expect(try facts.pidNamespace().inode == UInt64(status.st_ino))
    let mapping = try ProcessMaps.read(getpid()).first { $0.path == "[stack]" }
    #expect(try mapping?.contains(facts.startStack()) == true)
    #expect(try facts.comm() == facts.comm(ofThread: getpid()))
    #expect(throws: ProcessReadError.noSuchProcess(path: "/proc/2147483647/task")) {
      try ProcessFacts(pid: .max).threads()
    }
  }
}

@Suite struct KernelSymbolsTests {
  @Test func functionsOnly() throws {
    let text = """
      ffffffff81000000 T _stext
      ffffffff81000000 t alias
      ffffffff81000100 d data
      ffffffff81000200 W weak
      ffffffffc0000000 t in_module\t[some_mod]
      ffffffffc0001000 t bpf_prog_1_x\t[bpf]
      broken
      """
    let symbols = KernelSymbols(text: [UInt8](text.utf8))
    #expect(symbols.count == 5 && !symbols.isRestricted)
    #expect(symbols.lookup(0xffff_ffff_8100_0150)?.name == "_stext")
    #expect(symbols.lookup(0xffff_ffff_8100_0150)?.module == nil)
    #expect(symbols.lookup(0xffff_ffff_8100_0200)?.name == "weak")
    #expect(try #require(symbols.lookup(0xffff_ffff_c000_0010)) == ("in_module", "some_mod"))
    #expect(symbols.lookup(0xffff_ffff_c000_1010)?.module == "bpf")
    #expect(symbols.lookup(0xffff_ffff_80ff_ffff) == nil)
    #expect(symbols.lookup(.max) == nil)
  }

  @Test func restricted() {
    let symbols = KernelSymbols(text: [UInt8]("0000000000000000 T _stext\n0000000000000000 t x\t[y]\n".utf8))
    #expect(symbols.isRestricted && symbols.count == 0 && symbols.lookup(0) == nil)
    #expect(!KernelSymbols(text: []).isRestricted)
  }

  @Test func thisKernel() throws {
    let symbols = try KernelSymbols()
    #expect(symbols.isRestricted != (symbols.count > 1000))
  }
}
