// A thread id that is used again is another thread: made records of creations, ends, names and samples.

import NativeUnwinding
import PerfEvents
import ProcessImages
import Profiles
import PythonChain
import Snapshots
import TestSupport
import Testing

@testable import Sampling

@Suite struct ThreadLivesTests {
  /// A recorder of process 7, whose threads are called `proc-ID` by /proc.
  private func recorder() throws -> StackRecorder {
    let space = AddressSpace(mappings: [], provider: NoImages())
    return try #require(
      StackRecorder(
        RecordedProcess(
          processID: 7, addressSpace: space, memory: BytesAt(0x1000, []),
          kernel: LoadedKernelSymbols(text: []), threadName: { "proc-\($0)" }), method: .rows, shown: .all))
  }

  private func give(_ records: [[UInt8]], to recorder: inout StackRecorder) {
    for record in records {
      unsafe RecordParser.dispatch(record.span.bytes, isNames: false, target: 7, to: &recorder)
    }
  }

  private func task(_ type: UInt32, _ pid: Int32, _ parent: Int32, _ tid: Int32, _ by: Int32) -> [UInt8] {
    RecordMaker.sideband(type: type) { maker in
      maker.add(pid, parent, tid, by)
      maker.add(UInt64(99))
    }
  }
  private func fork(_ tid: Int32, by: Int32 = 7) -> [UInt8] { task(RecordType.fork, 7, 7, tid, by) }
  private func exit(_ tid: Int32) -> [UInt8] { task(RecordType.exit, 7, 7, tid, 7) }
  private func name(_ tid: Int32, _ name: String) -> [UInt8] {
    RecordMaker.sideband(type: RecordType.command) { maker in
      maker.add(Int32(7), tid)
      maker.add(text: name)
    }
  }
  /// A sample of thread 8.
  private let sample = RecordMaker.sample(raw: RecordMaker.chain(entries: 0, status: PYTHON_CHAIN_NO_THREAD))

  /// Names of the threads and how many samples each has.
  private func threads(_ recorder: StackRecorder) -> [String] {
    recorder.profile.threads.enumerated().map { index, thread in
      let count = recorder.profile.samples.filter { $0.thread == index }.reduce(0) { $0 + $1.count }
      return "\(thread.tid) \(thread.name) \(count)"
    }
  }

  @Test func anIDThatIsUsedAgain() throws {
    var recorder = try recorder()
    give(
      [
        fork(8), name(8, "first"), sample, sample, exit(8), fork(8), name(8, "second"), sample,
        name(8, "third"),
      ],
      to: &recorder)
    #expect(threads(recorder) == ["8 first 2", "8 third 1"])
    #expect(recorder.threadsBorn == 2)
  }

  @Test func aThreadHasItsCreatorsNameAndItsOwnNameWhenItTakesOne() throws {
    var recorder = try recorder()
    // Nobody has told the creator's name.
    give([fork(8), sample], to: &recorder)
    #expect(threads(recorder) == ["8 proc-7 1"])
    give([exit(8), name(7, "main"), fork(8), sample], to: &recorder)
    #expect(threads(recorder) == ["8 proc-7 1", "8 main 1"])
    // One that was there before sampling began, and one that creates a thread.
    give([name(9, "pool"), exit(8), fork(8, by: 9), sample], to: &recorder)
    #expect(threads(recorder).last == "8 pool 1")
  }

  @Test func aThreadThatIsEndingIsStillItself() throws {
    var recorder = try recorder()
    give([fork(8), name(8, "worker"), sample, exit(8), sample], to: &recorder)
    #expect(threads(recorder) == ["8 worker 2"])
  }

  /// Where notices were lost, an id whose thread had ended is not believed any more.
  @Test func lostNotices() throws {
    var recorder = try recorder()
    give([name(8, "first"), sample, exit(8), RecordMaker.lost, sample], to: &recorder)
    #expect(threads(recorder) == ["8 first 1", "8 proc-8 1"])
    // One that lives is still the same.
    give([RecordMaker.lost, sample], to: &recorder)
    #expect(threads(recorder) == ["8 first 1", "8 proc-8 2"])
  }

  /// The look for threads without events must not take an earlier life's samples for this one's.
  @Test func aNewLifeHasNotBeenSampled() throws {
    var recorder = try recorder()
    give([sample], to: &recorder)
    #expect(recorder.hasSampled(8) && !recorder.hasSampled(9))
    give([exit(8), fork(8)], to: &recorder)
    #expect(!recorder.hasSampled(8))
    give([sample], to: &recorder)
    #expect(recorder.hasSampled(8))
  }

  @Test func manyThatEnd() {
    var lives = ThreadLives()
    for thread in Int32(1)...10_000 {
      lives.begin(thread, by: 0, parentName: { _ in "main" })
      lives.end(thread)
    }
    #expect(lives.born == 10_000)
    #expect(lives.known <= 2049, "ended threads are forgotten")
  }

  @Test func childProcessesAreNoThreads() throws {
    var recorder = try recorder()
    give([task(RecordType.fork, 20, 7, 20, 8), task(RecordType.fork, 21, 20, 21, 20)], to: &recorder)
    #expect(recorder.newChildren == [20], "grandchildren are others' children")
    #expect(recorder.threadsBorn == 0)
  }
}
