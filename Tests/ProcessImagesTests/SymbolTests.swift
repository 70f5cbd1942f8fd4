// Functions by address against readelf, objdump and dladdr.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct SymbolTests {
  private struct Listed {
    var start: UInt64
    var size: UInt64
    var kind: String
    var name: String
  }

  private func listed(_ path: String) throws -> [Listed] {
    let text = try #require(output(["readelf", "-sW", path]))
    return text.split(separator: "\n").compactMap { line in
      //  Num:    Value          Size Type    Bind   Vis      Ndx Name
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count >= 8, let start = UInt64(fields[1], radix: 16), fields[6] != "UND",
        fields[6] != "ABS"
      else { return nil }
      let size = fields[2].hasPrefix("0x") ? UInt64(fields[2].dropFirst(2), radix: 16) : UInt64(fields[2])
      let name = fields[7].split(separator: "@", omittingEmptySubsequences: true).first ?? ""
      return Listed(start: start, size: size ?? 0, kind: String(fields[3]), name: String(name))
    }
  }

  @Test(arguments: SystemFiles.all) func everyFunctionAsReadelfSays(_ path: String) throws {
    let image = try #require(SystemFiles.image(path))
    let table = SymbolTable(image: image)
    let functions = try listed(path).filter { $0.kind == "FUNC" || $0.kind == "IFUNC" }
    let labels = try listed(path).filter { $0.kind == "NOTYPE" }
    #expect(functions.count > 1000)
    var wrong: [String] = []
    let sorted = functions.sorted { $0.start < $1.start }
    let longest = sorted.map(\.size).max() ?? 0
    func holders(_ address: UInt64) -> [Listed] {
      var low = 0
      var high = sorted.count
      while low < high {
        let middle = (low + high) / 2
        if sorted[middle].start <= address { low = middle + 1 } else { high = middle }
      }
      return sorted[..<low].reversed().prefix { $0.start + longest > address }.filter {
        address - $0.start < $0.size
      }
    }
    var asked = 0
    for function in sorted where function.size > 0 {
      for address in [function.start, function.start + function.size / 2, function.start + function.size - 1]
      {
        let found = table.name(at: address)
        if !holders(address).contains(where: { $0.name == found?.name && address - $0.start == found?.offset }
        ) {
          wrong.append("\(String(address, radix: 16)): \(found?.name ?? "none"), not \(function.name)")
        }
        asked += 1
      }
      // The byte after it: another function's, or a label's, or nobody's.
      let after = function.start + function.size
      if let found = table.name(at: after), !found.name.hasSuffix("@plt") {
        let isRight = (holders(after) + labels).contains {
          $0.name == found.name && after - $0.start == found.offset
        }
        let isLabel = labels.contains { $0.name == found.name }
        if !isRight, !isLabel, functions.first(where: { $0.name == found.name })?.size != 0 {
          wrong.append("\(String(after, radix: 16)): \(found.name) after \(function.name)")
        }
      }
    }
    #expect(wrong.isEmpty, "\(wrong.count) of \(asked): \(wrong.prefix(5))")
    #expect(asked > 3000)
  }

  @Test(arguments: SystemFiles.all) func stubsAsObjdumpSays(_ path: String) throws {
    let image = try #require(SystemFiles.image(path))
    let table = SymbolTable(image: image)
    let sections = [".plt", ".plt.sec", ".plt.got"].filter { image.section(named: $0) != nil }
    guard !sections.isEmpty else { return }
    let text = try #require(output(["objdump", "-d"] + sections.flatMap { ["-j", $0] } + [path]))
    for line in text.split(separator: "\n") where line.hasSuffix("@plt>:") && !line.contains("*ABS*") {
      let fields = line.split(separator: " ")
      let address = try #require(UInt64(fields[0], radix: 16))
      // Without the brackets, and without a version.
      let name = fields[1].dropFirst().dropLast(6).split(separator: "@").first.map { String($0) + "@plt" }
      let found = table.name(at: address + 3)
      #expect(found?.name == name && found?.offset == 3)
    }
  }

  @Test func interpreterObjects() throws {
    let path = try #require(SystemFiles.libpython)
    let image = try #require(SystemFiles.image(path))
    let wanted = ["_PyRuntime", "PyCode_Type", "Py_Version", "_PyEval_EvalFrameDefault", "PyList_New"]
    let all = try listed(path)
    let found = image.symbols(named: wanted)
    for name in wanted {
      let expected = all.first { $0.name == name && $0.kind != "TLS" }
      #expect(found[name]?.virtualAddress == expected?.start, "\(name)")
      #expect(found[name]?.size == expected?.size)
      #expect(image.symbol(named: name) == found[name])
    }
    #expect(found["_PyRuntime"] != nil)
    #expect(image.symbol(named: "_PyRunt") == nil && image.symbol(named: "") == nil)
    #expect(image.symbol(named: "malloc") == nil)
  }

  @Test func withoutSectionHeaders() throws {
    let path = try #require(SystemFiles.libc)
    var bytes = SystemFiles.bytes(path)
    for at in 0x28..<0x30 { bytes[at] = 0 }
    let image = try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
    let whole = try #require(SystemFiles.image(path))
    #expect(image.sections.isEmpty)
    for name in ["malloc", "puts", "memcpy", "environ"] {
      #expect(image.symbol(named: name)?.virtualAddress == whole.symbol(named: name)?.virtualAddress)
    }
    let table = SymbolTable(image: image)
    #expect(table.count > 1000)
    let puts = try #require(image.symbol(named: "puts"))
    #expect(table.lookup(puts.virtualAddress + 1)?.virtualAddress == puts.virtualAddress)
  }

  private final class OneFile: ImageProvider {
    let file: ElfImage?
    let debug: ElfImage?

    init(_ file: String, _ debug: String?) {
      self.file = SystemFiles.image(file)
      self.debug = debug.flatMap(SystemFiles.image)
    }

    func image(for mapping: Mapping) -> ElfImage? { file }
    func debugImage(for image: ElfImage) -> ElfImage? { debug }
  }

  /// A table for some addresses says of them what the whole one says, and knows little else.
  @Test(arguments: SystemFiles.all) func tablesForSomeAddressesAgree(_ path: String) throws {
    let image = try #require(SystemFiles.image(path))
    let whole = SymbolTable(image: image)
    let executable = image.segments.filter(\.isExecutable)
    for step: UInt64 in [61, 9973, 1_000_003] {
      let addresses = executable.flatMap { Array(stride(from: $0.virtualAddress, to: $0.end, by: Int(step))) }
      let some = SymbolTable(image: image, at: addresses)
      for address in addresses {
        let (one, other) = (whole.name(at: address), some.name(at: address))
        #expect(one?.name == other?.name && one?.offset == other?.offset, "\(String(address, radix: 16))")
      }
      #expect(step < 1000 || some.count < addresses.count * 8)
    }
    #expect(SymbolTable(image: image, at: []).count == 0)
  }

  @Test func separateDebugFile() throws {
    let folder = try TemporaryFolder()
    let path = try #require(SystemFiles.libpython)
    let (stripped, debug) = (folder.path + "/stripped", folder.path + "/debug")
    guard SystemFiles.image(path)?.hasFullSymbols == true,
      output(["objcopy", "--only-keep-debug", path, debug]) != nil,
      output(["strip", "-o", stripped, path]) != nil
    else { return }
    let mapping = Mapping(start: 0, end: 4096, isExecutable: true, inode: 1, path: stripped)
    let whole = Module(mapping, provider: OneFile(path, nil))
    let joined = Module(mapping, provider: OneFile(stripped, debug))
    let alone = Module(mapping, provider: OneFile(stripped, nil))
    #expect(alone.symbols.count < whole.symbols.count)
    #expect(joined.symbols.count == whole.symbols.count)
    for entry in whole.symbols.entries {
      #expect(joined.symbols.name(at: entry.start)?.name == whole.symbols.name(at: entry.start)?.name)
    }
    let hidden = try listed(path).first { entry in
      entry.kind == "OBJECT" && entry.size > 0 && alone.symbol(named: entry.name) == nil
    }
    let name = try #require(hidden?.name)
    #expect(whole.symbol(named: name) != nil && joined.symbol(named: name) == whole.symbol(named: name))
  }

  @Test func functionsInsideFunctions() {
    func entry(_ start: UInt64, _ size: UInt32, _ name: UInt32) -> SymbolTable.Entry {
      SymbolTable.Entry(start: start, size: size, name: name)
    }
    let table = SymbolTable(
      entries: [entry(0, 100, 0), entry(20, 60, 2), entry(30, 10, 4), entry(50, 5, 6), entry(200, 8, 8)],
      names: [UInt8]("a\0b\0c\0d\0e\0".utf8))
    let names = [0, 19, 20, 29, 30, 39, 40, 52, 55, 79, 80, 99].map { table.name(at: $0)?.name ?? "-" }
    #expect(names.joined() == "aabbccbdbbaa")
    #expect(table.lookup(100) == nil && table.lookup(199) == nil && table.lookup(208) == nil)
    #expect(table.name(at: 80)?.offset == 80)
    #expect(SymbolTable().lookup(0) == nil)
  }
}

@Suite struct AddressSpaceTests {
  /// Prints address, image base, symbol start and file of functions as dladdr(3) says; lives until its input ends.
  private static let dladdrScript = """
    import ctypes, sys
    class Info(ctypes.Structure):
        _fields_ = [('file', ctypes.c_char_p), ('base', ctypes.c_void_p),
                    ('name', ctypes.c_char_p), ('start', ctypes.c_void_p)]
    all = ctypes.CDLL(None)
    for name in ['malloc', 'qsort', 'strtoul', 'PyList_New', 'PyObject_Call', 'PyEval_EvalCode', 'sem_post']:
        info = Info()
        address = ctypes.cast(getattr(all, name), ctypes.c_void_p).value + 1
        if all.dladdr(ctypes.c_void_p(address), ctypes.byref(info)) and info.start:
            print(address, info.base, info.start, info.file.decode())
    print('.', flush=True)
    sys.stdin.read()
    """

  @Test func anotherProcessAsDladdrSays() throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "-c", AddressSpaceTests.dladdrScript]
    let (input, printed) = (Pipe(), Pipe())
    process.standardInput = input
    process.standardOutput = printed
    try process.run()
    defer {
      try? input.fileHandleForWriting.close()
      process.waitUntilExit()
    }
    var text = ""
    while !text.hasSuffix(".\n") {
      let data = printed.fileHandleForReading.availableData
      guard !data.isEmpty else { break }
      text += String(decoding: data, as: UTF8.self)
    }
    let space = try AddressSpace(pid: process.processIdentifier)
    let lines = text.split(separator: "\n").map { $0.split(separator: " ", maxSplits: 3) }.filter {
      $0.count == 4
    }
    #expect(lines.count >= 3)
    for fields in lines {
      let numbers = fields.prefix(3).compactMap { UInt64($0) }
      let location = try #require(space.location(of: numbers[0]))
      let image = try #require(location.image)
      let symbol = try #require(location.module.symbols.lookup(location.virtualAddress))
      #expect(location.bias &+ symbol.virtualAddress == numbers[2])
      // dladdr's base is where the image's first page is.
      #expect(location.bias &+ (image.segments.first?.virtualAddress ?? 0) & ~4095 == numbers[1])
      let file = try #require(FileBytes(path: String(fields[3])))
      #expect(location.module.key.inode == file.inode)
    }
  }

  @Test func vdso() throws {
    let space = try AddressSpace(pid: getpid())
    let mapping = try #require(space.mappings.first { $0.path == "[vdso]" })
    let location = try #require(space.location(of: mapping.start + 0x10))
    #expect(location.module.displayName == "[vdso]")
    let image = try #require(location.image)
    #expect(location.bias == mapping.start &- (image.segments.first?.virtualAddress ?? 0))
    #expect(image.ehFrameHeader != nil && !image.buildID.isEmpty)
    let time = try #require(image.symbol(named: "__vdso_clock_gettime"))
    #expect(location.module.symbols.lookup(time.virtualAddress)?.virtualAddress == time.virtualAddress)
  }

  private final class NoImages: ImageProvider {
    func image(for mapping: Mapping) -> ElfImage? { nil }
  }

  private func code(_ start: UInt64, _ end: UInt64, _ path: String, offset: UInt64 = 0) -> Mapping {
    Mapping(
      start: start, end: end, fileOffset: offset, isExecutable: true, inode: path.hasPrefix("/") ? 7 : 0,
      path: path)
  }

  @Test func updatesReplaceWhatTheyCover() {
    let space = AddressSpace(
      mappings: [code(0x1000, 0x5000, "/a"), code(0x6000, 0x8000, "/b"), code(0x9000, 0xA000, "[heap]")],
      provider: NoImages())
    let first = space.module(containing: 0x1000)
    space.apply(code(0x3000, 0x7000, "/c"))
    #expect(space.mappings.map(\.start) == [0x1000, 0x3000, 0x7000, 0x9000])
    #expect(space.mappings.map(\.end) == [0x3000, 0x7000, 0x8000, 0xA000])
    #expect(space.location(of: 0x7800)?.virtualAddress == 0x1800)
    #expect(space.location(of: 0x9010)?.virtualAddress == 0x9010)
    #expect(space.module(containing: 0x9010)?.displayName == "[heap]")
    #expect(space.module(containing: 0x8000) == nil)
    // In the middle: both ends stay.
    space.apply(code(0x4000, 0x5000, ""))
    #expect(space.mappings.map(\.path) == ["/a", "/c", "", "/c", "/b", "[heap]"])
    #expect(space.module(containing: 0x4000)?.displayName == "[anonymous]")
    #expect(space.module(containing: 0x3000) === space.module(containing: 0x6000))
    // The same file again, elsewhere and deleted: the same module.
    space.apply(code(0x2_0000, 0x2_1000, "/a (deleted)", offset: 0x1000))
    #expect(space.module(containing: 0x2_0000) === first)
    #expect(space.location(of: 0x2_0000)?.virtualAddress == 0x1000)
    // Data over everything.
    space.apply(Mapping(start: 0, end: .max))
    #expect(space.mappings.isEmpty && space.location(of: 0x1000) == nil)
  }

  /// What was looked up before holds as long as the generation is the same.
  @Test func everyChangeHasAGenerationOfItsOwn() {
    let space = AddressSpace(mappings: [code(0x1000, 0x3000, "/a")], provider: NoImages())
    var last = space.generation
    for change in [
      code(0x1000, 0x2000, "/b"), code(0x5000, 0x6000, "/b"), Mapping(start: 0x1000, end: 0x1800),
    ] {
      space.apply(change)
      #expect(space.generation > last)
      last = space.generation
    }
    space.replaceAll([])
    #expect(space.generation > last)
    last = space.generation
    // Nothing has changed.
    space.apply(Mapping(start: 0x2000, end: 0x2000, isExecutable: true))
    #expect(space.generation == last)
  }

  @Test func updatesAsASimpleModelSays() {
    var random = SeededGenerator(seed: 7)
    let space = AddressSpace(provider: NoImages())
    var model = [String](repeating: "", count: 64)
    for step in 0..<500 {
      let start = UInt64.random(in: 0..<63, using: &random)
      let end = UInt64.random(in: start + 1...min(64, start + 12), using: &random)
      var mapping = code(start, end, "/\(step % 9)")
      mapping.isExecutable = step % 4 != 0
      space.apply(mapping)
      for page in start..<end { model[Int(page)] = mapping.isExecutable ? mapping.path : "" }
      #expect((0..<64).map { space.module(containing: $0)?.path ?? "" } == model)
    }
  }

  @Test func deletedFile() throws {
    let folder = try TemporaryFolder()
    let libc = try #require(SystemFiles.libc)
    let path = try folder.write(SystemFiles.bytes(libc), as: "with space.so")
    let handle = unsafe open(path, O_RDONLY)
    let memory = unsafe mmap(nil, 4096, PROT_READ, MAP_PRIVATE, handle, 0)
    defer { _ = unsafe munmap(memory, 4096) }
    close(handle)
    let before = try #require(try ProcessMaps.read(getpid()).first { $0.path == path })
    #expect(TargetFile.open(before, of: getpid(), cache: ChunkCache())?.inode == before.inode)
    _ = unsafe unlink(path)
    let after = try #require(try ProcessMaps.read(getpid()).first { $0.filePath == path })
    #expect(after.path == path + " (deleted)" && Module.Key(after) == Module.Key(before))
    // Another file of that name must not be taken for it; the deleted one is found only where we may.
    _ = try folder.write([1, 2, 3], as: "with space.so")
    let found = TargetFile.open(after, of: getpid(), cache: ChunkCache())
    #expect(
      found == nil || found?.inode == after.inode && found?.size == UInt64(SystemFiles.bytes(libc).count))
  }
}
