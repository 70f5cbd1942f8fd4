// A process that changes while it is sampled: mappings, programs, names of threads, and what the kernel could not say.
// Side-band records and samples made by hand go through the recorder in turns.

import Accounting
import CaptureReplay
import NativeUnwinding
import PerfEvents
import ProcessImages
import Profiles
import PythonChain
import PythonFrames
import TestSupport
import Testing

@testable import Sampling

@Suite struct ChangingProcessTests {
  private static let code: UInt64 = 0x7f00_0000_0000
  private static let other: UInt64 = 0x7f00_1000_0000
  private static let top: UInt64 = 0x7ffc_0000_1000

  /// Files that the test has made.
  private final class MadeFiles: ImageProvider {
    let files: [String: ElfImage]

    init(_ files: [String: ElfImage]) { self.files = files }

    func image(for mapping: Mapping) -> ElfImage? { files[mapping.path] }
  }

  private func mapping(_ path: String, at start: UInt64 = code, offset: UInt64 = 0) -> Mapping {
    Mapping(
      start: start, end: start + 0x1000, fileOffset: offset, isExecutable: true,
      inode: path.utf8.reduce(1) { $0 &* 31 &+ UInt64($1) }, path: path)
  }

  /// The record of a mapping that was made.
  private func record(_ mapping: Mapping) -> [UInt8] {
    RecordMaker.sideband(type: RecordType.mapping) { maker in
      maker.add(Int32(7), 8)
      maker.add(mapping.start, mapping.end - mapping.start, mapping.fileOffset)
      maker.add(UInt32(0), 0)
      maker.add(mapping.inode, 0)
      maker.add(UInt32(5), 2)
      maker.add(text: mapping.path)
    }
  }

  /// A sample at an address, of thread 8, which runs no Python.
  private func sample(
    at address: UInt64 = code + 0x100, _ words: [UInt64] = [], flags: UInt8 = 0
  ) -> [UInt8] {
    var registers = [UInt64](repeating: 0, count: 17)
    (registers[7], registers[8]) = (Self.top, address)
    var chain = RecordMaker.chain(entries: 0, status: PYTHON_CHAIN_NO_THREAD)
    // The fifth word of python_chain_sample.
    chain[16] = flags
    return RecordMaker.sample(kernel: [], raw: chain, registers: registers, stack: stackBytes(words))
  }

  private func recorder(
    _ mappings: [Mapping], files: [String: ElfImage] = [:], threadName: String? = nil,
    isPermitted: @escaping () -> Bool = { true }
  ) throws -> StackRecorder {
    let space = AddressSpace(mappings: mappings, provider: MadeFiles(files))
    var process = RecordedProcess(
      processID: 7, addressSpace: space, memory: BytesAt(0, []), kernel: LoadedKernelSymbols(text: []),
      threadName: { _ in threadName })
    process.isPermitted = isPermitted
    return try #require(StackRecorder(process, method: .rows, shown: .all))
  }

  private func hand(_ records: [[UInt8]], to recorder: inout StackRecorder) {
    for record in records {
      unsafe RecordParser.dispatch(record.span.bytes, isNames: false, target: 7, to: &recorder)
    }
  }

  /// The stacks of a profile, leaf first, in the order in which they were first seen.
  private func stacks(_ recorder: StackRecorder) -> [[String]] {
    let profile = recorder.finished()
    return profile.samples.map { sample in
      profile.frames(of: sample.stack).map { profile[profile[$0].name] }
    }
  }

  // MARK: Mappings

  @Test func namesAreThoseOfTheNewMapping() throws {
    var recorder = try recorder([])
    hand(
      [record(mapping("/opt/a.so")), sample(), record(mapping("/opt/b.so", offset: 0x2000)), sample()],
      to: &recorder)
    #expect(stacks(recorder).map(\.first) == ["a.so+0x100", "b.so+0x2100"])
  }

  /// Another library at the same addresses, whose function has a larger frame: its caller lies elsewhere on the stack.
  @Test func rowsAreThoseOfTheNewMapping() throws {
    let folder = try TemporaryFolder()
    let images = [
      "/opt/small.so": try madeLibrary(folder, "small.so", frame: 16),
      "/opt/large.so": try madeLibrary(folder, "large.so", frame: 48),
    ]
    let small = try #require(images["/opt/small.so"])
    let segment = try #require(small.segments.first { $0.isExecutable })
    let offset = segment.fileOffset & ~4095
    let work = try #require(small.symbol(named: "work")).virtualAddress
    // Behind the first instruction, where the frame is there.
    let address = Self.code + (work - segment.virtualAddress & ~4095) + 4
    let callers = [Self.other + 0x10, Self.other + 0x1010]
    var words = [UInt64](repeating: 0, count: 16)
    (words[2], words[6]) = (callers[0], callers[1])
    var recorder = try recorder(
      [mapping("/opt/x.so", at: Self.other), mapping("/opt/y.so", at: Self.other + 0x1000)], files: images)
    hand(
      [
        record(mapping("/opt/small.so", offset: offset)), sample(at: address, words),
        record(mapping("/opt/large.so", offset: offset)), sample(at: address, words),
      ], to: &recorder)
    let found = stacks(recorder)
    #expect(found.map(\.first) == ["work", "work"])
    #expect(found.map { $0.dropFirst().first } == ["x.so+0xf", "y.so+0xf"])
  }

  // MARK: Losses

  /// After a loss the mappings are read anew, and what was learned of the old ones is not used.
  @Test func aLossAsksForTheMappings() throws {
    var recorder = try recorder([mapping("/opt/a.so")])
    hand([sample()], to: &recorder)
    #expect(!recorder.sawLoss)
    hand([RecordMaker.lost], to: &recorder)
    #expect(recorder.sawLoss)
    recorder.reload([mapping("/opt/c.so")])
    hand([sample()], to: &recorder)
    #expect(stacks(recorder).map(\.first) == ["a.so+0x100", "c.so+0x100"])
  }

  /// An exec of a program with more rights may be what was lost: the permission is asked for again.
  @Test func aLossAsksForThePermission() throws {
    var permits = true
    var recorder = try recorder([mapping("/opt/a.so")], isPermitted: { permits })
    hand([sample(), RecordMaker.lost, sample()], to: &recorder)
    #expect(recorder.profile.ledger[dropped: .notPermitted] == 0 && !recorder.isForbidden)
    permits = false
    hand([sample(), RecordMaker.lost, sample(), sample()], to: &recorder)
    #expect(recorder.isForbidden)
    #expect(recorder.profile.ledger[dropped: .notPermitted] == 2)
    #expect(recorder.profile.ledger.kept == 3)
  }

  /// Events of CPUs go on in a program with more rights, and find a process by its number.
  @Test func samplesWhosePermissionIsNotProven() throws {
    var permits = true
    var recorder = try recorder([mapping("/opt/a.so")])
    recorder.provenTime = ProvenTime { permits }
    hand([sample(), sample()], to: &recorder)
    #expect(recorder.profile.ledger.kept == 2)
    permits = false
    // The loss begins anew: what was proven before says nothing about what follows.
    hand([RecordMaker.lost, sample(), sample(), sample()], to: &recorder)
    #expect(recorder.profile.ledger.kept == 2)
    #expect(recorder.profile.ledger[dropped: .notPermitted] == 3)
  }

  /// A copy that ends too early, and one that was made small because the ring was nearly full.
  @Test func aReducedStackIsNoTruncatedOne() throws {
    for (flags, cause) in [
      (0, DamageCause.nativeStackTruncated), (4, .nativeStackReduced), (3, .nativeStackTruncated),
    ] {
      var recorder = try recorder([mapping("/opt/a.so")])
      hand([sample(flags: UInt8(flags))], to: &recorder)
      let ledger = recorder.profile.ledger
      #expect(ledger[damaged: cause] == 1 && ledger.damaged == 1, "\(flags)")
    }
    // What is damaged for another reason keeps that one.
    var recorder = try recorder([mapping("/opt/a.so")])
    hand([sample([UInt64](repeating: 0, count: 100), flags: 4)], to: &recorder)
    #expect(recorder.profile.ledger[damaged: .noUnwindInformation] == 1)
  }

  // MARK: Programs and threads

  @Test func aThreadIsRenamed() throws {
    var recorder = try recorder([mapping("/opt/a.so")], threadName: "python3")
    func command(_ name: String, tid: Int32) -> [UInt8] {
      RecordMaker.sideband(type: RecordType.command, tid: tid) { maker in
        maker.add(Int32(7), tid)
        maker.add(text: name)
      }
    }
    hand([sample()], to: &recorder)
    #expect(recorder.profile.threads.map(\.name) == ["python3"])
    hand([command("stranger", tid: 9)], to: &recorder)
    #expect(recorder.profile.threads.map(\.name) == ["python3"])
    hand([command("worker", tid: 8), sample()], to: &recorder)
    #expect(recorder.profile.threads.map(\.name) == ["worker"])
  }

  /// An exec: samples that are stamped with the old interpreter's layout have no Python frames, and say so.
  @Test(arguments: ["sandwich-3.11", "sandwich-3.12", "sandwich-3.13"])
  func samplesOfTheOldProgram(_ name: String) throws {
    let capture = try Capture(named: name)
    let interpreter = try #require(capture.interpreter)
    var recorder = try #require(capture.recorder())
    recorder.add(
      InterpreterContext(
        layout: interpreter.layout, frames: PythonFrameTable(codes: CodeTable()),
        memory: CodeMemory(layout: interpreter.layout, memory: capture.memory), hole: interpreter.hole,
        foundAt: 1000), slot: interpreter.slot)
    let exec = RecordMaker.sideband(
      type: RecordType.command, misc: 0x2000, pid: capture.processID, tid: capture.processID, time: 1001
    ) { maker in
      maker.add(capture.processID, capture.processID)
      maker.add(text: "next")
    }
    unsafe RecordParser.dispatch(
      exec.span.bytes, isNames: false, target: capture.processID, to: &recorder)
    #expect(recorder.sawExec)
    var stamped = 0
    var visitor = SampleVisitor(capture.addressSpace()) { sample in
      if sample.hasRegisters, sample.chain.word32(at: 8) == interpreter.slot { stamped += 1 }
    }
    capture.replay(to: &visitor)
    capture.replay(to: &recorder)
    #expect(stamped > 20)
    #expect(recorder.profile.ledger[damaged: .staleLayout] == UInt64(stamped))
    #expect(!recorder.profile.frames.contains { $0.kind == .python })
  }
}
