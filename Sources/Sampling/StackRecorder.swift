// What happens to each record: the stages from snapshot to profile, and the ledger beside them.

import Accounting
import MixedStacks
import NativeUnwinding
import PerfEvents
import ProcessImages
import Profiles
import PythonFrames
import Snapshots

/// Takes records in the order of time and fills a profile. Touches nothing but its records and its `RecordedProcess`.
package struct StackRecorder: RecordHandler {
  /// The result.
  package var profile = Profile()
  /// Threads that were created.
  var threadsBorn: UInt64 { lives.born }
  /// Child processes that were created since it was last emptied.
  var newChildren: [Int32] = []
  /// True after an exec that ended the newest interpreter, until the sampler has begun to look for another one.
  var sawExec = false
  /// Whether samples whose Python frames are not proven are dropped.
  var isStrict = false
  /// Functions that a stack copy itself proves; nil where all Python frames are read in the interrupt.
  package var pins: LoopPins? { didSet { addresses.keepsRegisters = pins != nil } }
  /// When the last samples were taken.
  var recentTimes = RecentTimes()
  /// Path of the last file that was mapped executable, one with an interpreter's name before all others, until the
  /// sampler has taken note of it.
  var lastMapped: String?
  /// True after side-band records were lost: maps and tasks must be read again.
  var sawLoss = false
  /// True after an exec that gave the program more rights than the user has: from then on nothing of it is kept.
  private(set) var isForbidden = false

  private let addressSpace: AddressSpace
  private let unwinder: NativeUnwinder
  private let joiner: StackJoiner
  let names: NativeNames
  let shown: NativeFrames
  private let threadName: (Int32) -> String?
  private let isPermitted: () -> Bool
  /// Nil where the kernel itself sees to it: root, or events of threads.
  package var provenTime: ProvenTime?
  let processID: Int32

  /// By layout slot; slot 0 is no layout.
  var contexts: [InterpreterContext?] = [nil]
  private var firstValidSlot: UInt32 = 1
  private let noFrames = PythonFrameTable(codes: CodeTable())

  var addresses = AddressStack()
  private var boundaries: [UInt64] = []
  /// Where evaluation loops keep the boundary in their native frames; nil while that is not known.
  private var loop: KnownLoop?
  private var chain = DecodedChain()
  var mixed = MixedStack()
  var stack: [FrameID] = []
  private var lives = ThreadLives()
  private var lastNoted: Int32 = -1
  private var lastThread: (tid: Int32, index: Int) = (-1, 0)
  var pythonFrameIDs: [[FrameID?]] = [[]]
  var markers: [FrameID] = []
  let hidden: HiddenFrames
  var noPython: FrameID

  /// A recorder of a live process.
  init?(target: TargetProcess, addressSpace: AddressSpace, method: NativeUnwinder.Method, shown: NativeFrames)
  {
    let facts = target.facts
    var process = RecordedProcess(
      processID: target.processID, addressSpace: addressSpace, memory: target.memory,
      kernel: LoadedKernelSymbols(), threadName: { try? facts.comm(ofThread: $0) })
    process.isPermitted = { target.isOurs }
    self.init(process, method: method, shown: shown)
  }

  /// A recorder of any process. Nil where libunwind cannot be set up.
  package init?(_ process: RecordedProcess, method: NativeUnwinder.Method, shown: NativeFrames) {
    addressSpace = process.addressSpace
    guard
      let unwinder = NativeUnwinder(addressSpace: addressSpace, memory: process.memory, method: method)
    else { return nil }
    self.unwinder = unwinder
    self.shown = shown
    threadName = process.threadName
    isPermitted = process.isPermitted
    processID = process.processID
    joiner = StackJoiner { unwinder.functionStart(covering: $0) }
    joiner.isEnteredOrLeft = { unwinder.entersOrLeaves(at: $0.lookupAddress) }
    names = NativeNames(addressSpace: addressSpace, unwinder: unwinder, kernel: process.kernel)
    var profile = Profile()
    func marker(_ text: String) -> FrameID {
      profile.intern(frame: Frame(kind: .marker, name: profile.intern(string: text), file: .empty, line: 0))
    }
    markers = Marker.allCases.map { marker($0.text) }
    noPython = marker("[no Python frame]")
    hidden = HiddenFrames(&profile, nothing: noPython)
    self.profile = profile
    lookForStackSwitcher(addressSpace.mappings.lazy.map(\.path))
  }

  /// From now on samples stamped with `slot` are read by this interpreter's layout.
  package mutating func add(_ context: InterpreterContext, slot: UInt32) {
    while contexts.count <= Int(slot) {
      contexts.append(nil)
      pythonFrameIDs.append([])
    }
    contexts[Int(slot)] = context
    joiner.prologueHole = context.hole
    let loop = context.layout.interpreter.evaluationLoop
    if loop != 0 { joiner.learnLoop(at: loop) }
    names.addInterpreter(context.layout.interpreter.module)
  }

  /// Reads the target's mappings anew: they may have changed unseen.
  mutating func reload(_ mappings: [Mapping]) {
    addressSpace.replaceAll(mappings)
    mappingsChanged()
    lookForStackSwitcher(mappings.lazy.map(\.path))
  }

  private func mappingsChanged() {
    unwinder.mappingsChanged()
    joiner.mappingsChanged()
    names.mappingsChanged()
  }

  /// Tells the joiner of a library that switches stacks once it is mapped.
  private func lookForStackSwitcher(_ paths: some Sequence<String>) {
    guard joiner.isStackSwitcher == nil, paths.contains(where: Self.switchesStacks) else { return }
    let space = addressSpace
    joiner.isStackSwitcher = { frame in
      space.module(containing: frame.lookupAddress).map { Self.switchesStacks($0.path) } ?? false
    }
  }

  /// greenlet's extension module, on which gevent, eventlet and SQLAlchemy's asyncio run: greenlet/_greenlet.*.so.
  private static func switchesStacks(_ path: String) -> Bool {
    path.split(separator: "/").last.map { $0.hasPrefix("_greenlet.") } ?? false
  }

  // MARK: Records

  package mutating func handleMalformedSample() {
    profile.ledger.recordsRead += 1
    profile.ledger[dropped: .malformedRecord] += 1
  }

  package mutating func handle(names record: borrowing PerfEvents.NamesRecord) {
    // The second header word but one: the slot of the layout.
    let slot = record.names.word32(at: 8)
    guard slot >= firstValidSlot, slot < contexts.count, let context = contexts[Int(slot)] else { return }
    _ = try? context.frames.codes.add(names: record.names)
  }

  package mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) {
    switch sideband {
    case .mapping(let record):
      let mapping = Mapping(record)
      addressSpace.apply(mapping)
      mappingsChanged()
      lookForStackSwitcher(CollectionOfOne(record.path))
      if mapping.isExecutable, mapping.hasFile {
        addressSpace.holdFile(at: mapping.start, noting: &lastMapped)
      }
    case .command(let name, let exec):
      if let index = lives.rename(stamp.tid, name) { profile.threads[index].name = name }
      if exec { executed(at: stamp.time) }
    case .fork(_, let parent): created(stamp, by: parent)
    case .exit: lives.end(stamp.tid)
    case .lost:
      sawLoss = true
      askAgain()
      lives.lostNotices()
      forgetLast()
    }
  }

  /// A thread, or a child process.
  private mutating func created(_ stamp: RecordStamp, by parent: Int32) {
    guard stamp.pid == processID else { return newChildren.append(stamp.pid) }
    lives.begin(stamp.tid, by: parent, parentName: threadName)
    forgetLast()
  }

  /// What the last samples' thread ids meant.
  private mutating func forgetLast() {
    lastNoted = -1
    lastThread = (-1, 0)
  }

  /// A new program image: what was mapped is gone, and so are the interpreters that were found before.
  private mutating func executed(at time: UInt64) {
    askAgain()
    loop = nil
    addressSpace.replaceAll([])
    mappingsChanged()
    pins?.forget()
    joiner.forget()
    joiner.isStackSwitcher = nil
    while firstValidSlot < contexts.count, contexts[Int(firstValidSlot)].map({ $0.foundAt < time }) ?? true {
      firstValidSlot += 1
    }
    guard firstValidSlot == contexts.count else { return }
    sawExec = true
    joiner.prologueHole = 0..<0
  }

  /// The program may have become another one.
  private mutating func askAgain() {
    provenTime?.begin()
    if !isPermitted() { isForbidden = true }
  }

  /// The program became another one, and the record of it was lost.
  mutating func missedExec() { executed(at: RecordStream.clock()) }

  package mutating func handle(sample: borrowing SampleRecord) {
    profile.ledger.recordsRead += 1
    recentTimes.add(sample.stamp.time)
    note(sample.stamp.tid)
    if isForbidden || provenTime?.covers(sample.stamp.time) == false {
      profile.ledger[dropped: .notPermitted] += 1
      return
    }
    guard sample.hasRegisters else {
      profile.ledger[dropped: .noUserRegisters] += 1
      return
    }
    let slot = sample.chain.word32(at: 8)
    let context = slot < contexts.count ? contexts[Int(slot)] : nil
    do {
      try chain.decode(sample.chain, codeAdaptive: context?.layout.codeAdaptive ?? 0)
    } catch {
      profile.ledger[dropped: .malformedRecord] += 1
      return
    }
    let isStale = slot != 0 && slot < firstValidSlot
    if isStale || (slot != 0 && context == nil) { chain.forget(.staleLayout) }
    collectBoundaries(sample)
    unwinder.unwind(sample.snapshot, boundaries: boundaries, loop: loop, into: &addresses)
    join(sample, context)
    if isStrict, mixed.damage == .pythonUnverified || mixed.remarks.contains(.evidenceOnly) {
      profile.ledger[dropped: .pythonUnverified] += 1
      return
    }
    count(damage: damage)
    profile.ledger.count(mixed.remarks)
    compose(sample, slot: Int(slot))
    let index = thread(of: sample.stamp)
    let frames = stack
    profile.record(stack: frames.span, thread: index, time: sample.stamp.time)
  }

  /// The boundaries that unwinding may go by: those of a chain that is believed, on the stack that the thread is on.
  private mutating func collectBoundaries(_ sample: borrowing SampleRecord) {
    boundaries.removeAll(keepingCapacity: true)
    guard chain.damage == nil || chain.damage == .pythonDepthLimit, !chain.isOnOtherStack else { return }
    let start = sample.registers.stackPointer
    let end = chain.stackEnd > start ? chain.stackEnd : .max
    for group in chain.groups
    where group.isClosed && group.boundary > boundaries.last ?? 0 && group.boundary >= start
      && group.boundary < end
    {
      boundaries.append(group.boundary)
    }
  }

  /// Learns from a stack without guesses where evaluation loops keep the boundary.
  private mutating func learnLoop() {
    guard loop == nil, mixed.damage == nil, addresses.guesses == 0, addresses.gaps == 0 else { return }
    for (group, place) in zip(chain.groups, joiner.places) where place > 0 {
      let frame = addresses.frames[place]
      if frame.isInstructionPointer { continue }
      loop = KnownLoop(
        callAddress: frame.address, distance: frame.canonicalFrameAddress &- group.boundary)
      return
    }
  }

  /// Joins both halves. From what is proven is learned what a stack copy says where the Python half is not.
  private mutating func join(_ sample: borrowing SampleRecord, _ context: InterpreterContext?) {
    var pinned: [PinnedFunction] = []
    if let pins, let context, chain.damage == .pythonUnverified {
      pinned = pins.functions(addresses, sample.snapshot) { context.memory.isAlive($0) }
    }
    joiner.join(
      addresses, chain, context?.frames ?? noFrames, memory: context?.memory,
      stack: StackExtent(
        start: sample.registers.stackPointer, end: chain.stackEnd, isOther: chain.isOnOtherStack),
      pinned: pinned, into: &mixed)
    learnLoop()
    if let pins, let context, mixed.damage == nil, !chain.groups.isEmpty {
      pins.learn(
        addresses, sample.snapshot, chain, places: joiner.places, context.frames,
        codeAdaptive: context.layout.codeAdaptive)
    }
  }

  /// The profile with what is found out only at the end: the names of its native frames, which of them are shown, their
  /// languages, and their modules.
  package func finished() -> Profile {
    var finished = profile
    names.resolve(&finished, hiding: hidden)
    return finished
  }

  /// The cause as far as it is known beside the stack itself.
  private var damage: DamageCause? {
    switch mixed.damage {
    // PYTHON_CHAIN_STACK_REDUCED
    case .nativeStackTruncated where chain.header.flags & 4 != 0: .nativeStackReduced
    case .noUnwindInformation, .unwindingFailed, .unconfirmedCaller:
      addressSpace.missingFile(of: addresses) ?? mixed.damage
    default: mixed.damage
    }
  }

  private mutating func count(damage: DamageCause?) {
    if let damage { profile.ledger[damaged: damage] += 1 } else { profile.ledger.whole += 1 }
  }

  /// Whether a thread has been sampled, whatever became of its samples.
  func hasSampled(_ thread: Int32) -> Bool { lives.hasSampled(thread) }

  private mutating func note(_ thread: Int32) {
    if thread == lastNoted { return }
    lastNoted = thread
    lives.note(thread)
  }

  private mutating func thread(of stamp: RecordStamp) -> Int {
    if stamp.tid == lastThread.tid { return lastThread.index }
    let index = knownThread(stamp)
    lastThread = (stamp.tid, index)
    return index
  }

  private mutating func knownThread(_ stamp: RecordStamp) -> Int {
    lives.index(of: stamp.tid) { name in
      profile.threads.append(ProfiledThread(tid: stamp.tid, name: name ?? threadName(stamp.tid) ?? ""))
      return profile.threads.count - 1
    }
  }
}

extension Mapping {
  /// The mapping that an MMAP2 record tells of.
  package init(_ record: MappingRecord) {
    self.init(
      start: record.start, end: record.start &+ record.length, fileOffset: record.fileOffset,
      isReadable: true,
      isWritable: record.protection & 2 != 0, isExecutable: record.protection & 4 != 0,
      deviceMajor: record.deviceMajor, deviceMinor: record.deviceMinor, inode: record.inode, path: record.path
    )
  }
}
