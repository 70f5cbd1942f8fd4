// Causes of the ledger that no program brings about: samples made by hand go through the recorder, and each moves the
// line of its own cause.

import Accounting
import CaptureReplay
import NativeUnwinding
import ProcessImages
import Profiles
import PythonChain
import Snapshots
import TestSupport
import Testing

@testable import PerfEvents
@testable import Sampling

@Suite struct LedgerCauseTests {
  private static let code: UInt64 = 0x7f00_0000_0000
  private static let top: UInt64 = 0x7ffc_0000_1000
  /// An address in the code that a call instruction (call *%rax) ends at.
  private static let returnAddress = code + 0x800

  /// A recorder of process 7, which has one page of code that no file describes.
  private func recorder(_ provider: any ImageProvider = NoImages(), path: String = "") throws -> StackRecorder
  {
    var contents = [UInt8](repeating: 0, count: 0x1000)
    contents.replaceSubrange(0x7fe..<0x800, with: [0xff, 0xd0])
    let mapping = Mapping(
      start: Self.code, end: Self.code + 0x1000, isExecutable: true, inode: path.isEmpty ? 0 : 1, path: path)
    let space = AddressSpace(mappings: [mapping], provider: provider)
    return try #require(
      StackRecorder(
        RecordedProcess(
          processID: 7, addressSpace: space, memory: BytesAt(Self.code, contents),
          kernel: LoadedKernelSymbols(text: []), threadName: { _ in nil }), method: .rows, shown: .all))
  }

  /// A sample in that code, of a thread without Python, with `words` as its stack.
  private func sample(
    _ words: [UInt64], raw: [UInt8] = RecordMaker.chain(entries: 0, status: PYTHON_CHAIN_NO_THREAD),
    abi: UInt64 = 2
  ) -> [UInt8] {
    var registers = [UInt64](repeating: 0, count: 17)
    (registers[7], registers[8]) = (Self.top, Self.code + 0x100)
    return RecordMaker.sample(
      kernel: [], raw: raw, abi: abi, registers: registers, stack: stackBytes(words))
  }

  /// The ledger after one record.
  private func ledger(_ record: [UInt8], _ recorder: StackRecorder) -> Ledger {
    var recorder = recorder
    unsafe RecordParser.dispatch(record.span.bytes, isNames: false, target: 7, to: &recorder)
    let ledger = recorder.profile.ledger
    #expect(ledger.recordsRead == 1 && ledger.kept + ledger.dropped == 1)
    #expect(recorder.profile.samples.reduce(0) { $0 + $1.count } == ledger.kept)
    return ledger
  }

  /// Nothing but the one line has moved.
  private func expect(_ ledger: Ledger, dropped cause: DropCause) {
    #expect(ledger[dropped: cause] == 1)
    #expect(ledger.dropped == 1 && ledger.whole == 0 && ledger.damaged == 0)
  }

  private func expect(_ ledger: Ledger, damaged cause: DamageCause) {
    #expect(ledger[damaged: cause] == 1)
    #expect(ledger.damaged == 1 && ledger.whole == 0 && ledger.dropped == 0)
  }

  /// The beginning of the other tests: what they change is what makes the difference.
  @Test func anOrdinarySampleIsDroppedForNothing() throws {
    let words = [Self.returnAddress] + [UInt64](repeating: 0, count: 100)
    try expect(ledger(sample(words), recorder()), damaged: .noUnwindInformation)
  }

  // MARK: Dropped

  @Test func noUserRegisters() throws {
    try expect(ledger(sample([Self.returnAddress], abi: 0), recorder()), dropped: .noUserRegisters)
  }

  /// Sizes that contradict each other, seen by the stream; a record of another kind and a count of frames that is not
  /// that of its size, seen by the decoder.
  @Test func malformedRecords() throws {
    var lying = sample([Self.returnAddress])
    lying[48] = 200  // The depth of the kernel's chain.
    try expect(ledger(lying, recorder()), dropped: .malformedRecord)
    var kind = RecordMaker.chain(entries: 1)
    kind[0] ^= 1
    try expect(ledger(sample([], raw: kind), recorder()), dropped: .malformedRecord)
    var count = RecordMaker.chain(entries: 1)
    count[20] = 2
    try expect(ledger(sample([], raw: count), recorder()), dropped: .malformedRecord)
  }

  // MARK: Damaged

  private final class OneImage: ImageProvider {
    let image: ElfImage
    init(_ image: ElfImage) { self.image = image }
    func image(for mapping: Mapping) -> ElfImage? { image }
  }

  /// More return addresses than are followed, each into the same function, which has no memory of its own.
  @Test func nativeDepthLimit() throws {
    let folder = try TemporaryFolder()
    let image = try madeLibrary(folder, "flat.so", frame: 0)
    let segment = try #require(image.segments.first { $0.isExecutable })
    let work = try #require(image.symbol(named: "work")).virtualAddress
    func ledger(_ count: Int) throws -> Ledger {
      let mapping = Mapping(
        start: Self.code, end: Self.code + 0x1000, fileOffset: segment.fileOffset & ~4095, isExecutable: true,
        inode: 1, path: "/flat.so")
      let space = AddressSpace(mappings: [mapping], provider: OneImage(image))
      let recorder = try #require(
        StackRecorder(
          RecordedProcess(
            processID: 7, addressSpace: space, memory: BytesAt(0, []), kernel: LoadedKernelSymbols(text: []),
            threadName: { _ in nil }), method: .rows, shown: .all))
      let address = Self.code + (work - segment.virtualAddress & ~4095) + 5
      var registers = [UInt64](repeating: 0, count: 17)
      (registers[7], registers[8]) = (Self.top, address)
      let record = RecordMaker.sample(
        kernel: [], raw: RecordMaker.chain(entries: 0, status: PYTHON_CHAIN_NO_THREAD), registers: registers,
        stack: stackBytes([UInt64](repeating: address, count: count)))
      return self.ledger(record, recorder)
    }
    try expect(ledger(NativeUnwinder.maximumDepth + 10), damaged: .nativeDepthLimit)
    // As many as are followed.
    #expect(try ledger(NativeUnwinder.maximumDepth - 2)[damaged: .nativeDepthLimit] == 0)
  }

  /// The file of the code could not be had, and for that reason there is nothing to unwind by.
  @Test(arguments: [(FileProblem.gone, DamageCause.fileGone), (.tooManyOpenFiles, .tooManyOpenFiles)])
  func filesThatCouldNotBeHad(_ problem: FileProblem, _ cause: DamageCause) throws {
    let words = [Self.returnAddress] + [UInt64](repeating: 0, count: 100)
    let images = MissingImages(problem)
    try expect(ledger(sample(words), recorder(images, path: "/tmp/gone.so")), damaged: cause)
    // Of memory without a file nothing is missing.
    try expect(ledger(sample(words), recorder(images)), damaged: .noUnwindInformation)
  }

  /// A file is opened when it is mapped, once, before any sample asks for it.
  @Test func filesAreHeldFromTheirMapping() throws {
    let images = MissingImages(.gone)
    var recorder = try recorder(images)
    for (start, path, protection) in [
      (0x1000, "/tmp/data", 1), (0x2000, "/tmp/one.so", 5), (0x9000, "/tmp/one.so", 5),
      (0x5000, "/lib/libpython3.so", 5), (0x7000, "/tmp/two.so", 5),
    ] as [(UInt64, String, UInt32)] {
      recorder.handle(
        sideband: .mapping(
          MappingRecord(
            start: start, length: 0x1000, fileOffset: 0, deviceMajor: 1, deviceMinor: 1, inode: 1,
            protection: protection, path: path)), stamp: RecordStamp(time: 1, pid: 7, tid: 7))
    }
    #expect(images.asked == ["/tmp/one.so", "/lib/libpython3.so", "/tmp/two.so"])
    #expect(recorder.lastMapped == "/lib/libpython3.so")
  }

  /// A real sample, whose leaf returns into memory that is no code.
  @Test(arguments: ["sandwich-3.11", "sandwich-3.12", "sandwich-3.13"])
  func unwindingFailed(_ name: String) throws {
    let capture = try Capture(named: name)
    let unwinder = try #require(
      NativeUnwinder(addressSpace: capture.addressSpace(), memory: capture.memory))
    var tried = 0
    for record in capture.records where !record.isNames && record.bytes[0] == UInt8(RecordType.sample) {
      var frames = AddressStack()
      var stackStart: UInt64 = 0
      var visitor = SampleVisitor(capture.addressSpace()) { sample in
        unwinder.unwind(sample.snapshot, into: &frames)
        stackStart = sample.registers[Registers.rsp]
      }
      unsafe RecordParser.dispatch(
        record.bytes.span.bytes, isNames: false, target: capture.processID, to: &visitor)
      let leaf = try #require(frames.frames.first)
      if leaf.isGuessed || frames.frames.count < 2 { continue }
      var broken = record.bytes
      // The stack copy ends the record, before its own size.
      let stack = try #require(stackRange(broken))
      let from = stack.lowerBound + Int(leaf.canonicalFrameAddress - 8 - stackStart)
      for at in from..<stack.upperBound { broken[at] = 0x41 }
      var recorder = try #require(capture.recorder())
      unsafe RecordParser.dispatch(
        broken.span.bytes, isNames: false, target: capture.processID, to: &recorder)
      expect(recorder.profile.ledger, damaged: .unwindingFailed)
      tried += 1
    }
    #expect(tried > 3)
  }

  /// Files that cannot be had.
  private final class MissingImages: ImageProvider {
    let lastProblem: FileProblem?
    private(set) var asked: [String] = []

    init(_ problem: FileProblem) { lastProblem = problem }

    func image(for mapping: Mapping) -> ElfImage? {
      asked.append(mapping.path)
      return nil
    }
  }

  /// Where the stack copy lies in a sample: behind its size, before the number of bytes that were copied.
  private func stackRange(_ record: [UInt8]) -> Range<Int>? {
    func word(_ at: Int, _ bytes: Int = 8) -> Int {
      (0..<bytes).reduce(0) { $0 | Int(record[at + $1]) << (8 * $1) }
    }
    var at = 48
    at += 8 + 8 * word(at)  // The kernel's chain,
    at += 4 + word(at, 4)  // the program's record,
    at += 8 + 17 * 8  // the registers with their ABI.
    return (at + 8)..<(at + 8 + word(record.count - 8))
  }
}
