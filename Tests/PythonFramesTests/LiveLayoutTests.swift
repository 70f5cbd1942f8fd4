// Reads live, blocked interpreters from outside, and compares with what they say of themselves.

import Foundation
import ProcessImages
import PythonChain
import Testing

@testable import PythonFrames

@Suite struct LiveLayoutTests {
  @Test func someInterpreterIsInstalled() {
    let isAsked = ProcessInfo.processInfo.environment["CI"] != nil
    #expect(!isAsked || !Interpreter.all.isEmpty)
  }

  @Test(arguments: Interpreter.all)
  func stackIsTheInterpretersOwn(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    #expect(python.found.version == interpreter.version)
    let layout = try python.layout()
    let (walked, state) = try python.chain(layout)
    #expect(walked.isWhole)

    var chain = DecodedChain()
    let record = Records.sample(walked, interpreter: state)
    try unsafe chain.decode(record.span.bytes, codeAdaptive: layout.codeAdaptive)
    #expect(chain.damage == nil)
    #expect(!chain.groups.contains { !$0.isClosed })
    #expect(chain.groups.count > 1)

    let table = PythonFrameTable(codes: CodeTable())
    let memory = CodeMemory(layout: layout, memory: python.memory)
    var shown: [PythonFrame] = []
    for frame in chain.frames {
      let answer = table.answer(frame, interpreter: state, memory: memory)
      #expect(answer == table.answer(frame, interpreter: state, memory: nil))
      guard case .frame(let id) = answer else { continue }
      #expect(table.remark(id) == nil)
      shown.append(table[id])
    }
    #expect(shown.map(\.functionName) == python.truth.map(\.name))
    #expect(shown.map(\.file) == python.truth.map(\.file))
    #expect(shown.map(\.line) == python.truth.map(\.line))
    #expect(shown.map(\.firstLine) == python.truth.map(\.first))
    #expect(chain.frames.map(\.fingerprint) == python.truth.map(\.fingerprint))
    #expect(chain.frames.map(\.code) == python.truth.map(\.code))
    _ = try python.child.finish()
  }

  @Test(arguments: Interpreter.all)
  func eachSpoiledFieldIsNamed(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let candidate = try InterpreterLayout.candidate(for: python.found, memory: python.memory)
    _ = try InterpreterLayout(
      validating: candidate, of: python.found, memory: python.memory, threads: python.child.threads)
    for field in LayoutField.all {
      let own = candidate.raw[keyPath: field.path]
      for change: UInt32 in [field.width, 2 * field.width, 8 * field.width, 1 << 21, 0 &- own &- field.width]
      {
        var spoiled = candidate
        spoiled.raw[keyPath: field.path] &+= change
        expectRefusal(spoiled, python, names: field.name)
      }
    }
    var spoiled = candidate
    spoiled.codeAdaptive += 8
    expectRefusal(spoiled, python, names: "code.co_code_adaptive")
    spoiled = candidate
    spoiled.raw.runtime += 8
    expectRefusal(spoiled, python, names: "runtime")
    spoiled = candidate
    spoiled.raw.code_type += 8
    expectRefusal(spoiled, python, names: nil)
    spoiled = candidate
    spoiled.raw.thread_holds_gil_mask ^= 3
    expectRefusal(spoiled, python, names: "thread.holds_gil_mask")
    _ = try python.child.finish()
  }

  private func expectRefusal(
    _ spoiled: LayoutCandidate, _ python: BlockedPython, names: String?, threads: Set<Int32>? = nil,
    memory: (any ByteSource)? = nil
  ) {
    do throws(LayoutError) {
      _ = try InterpreterLayout(
        validating: spoiled, of: python.found, memory: memory ?? python.memory,
        threads: threads ?? python.child.threads, rounds: 1)
      Issue.record("\(names ?? "a field") was accepted")
    } catch {
      guard case .wrong(let field, _) = error else {
        Issue.record("\(names ?? ""): \(error)")
        return
      }
      if let names { #expect(field == names, "\(error)") }
    }
  }

  @Test(arguments: Interpreter.all)
  func versionCounterIsKeptOnlyWhereItIsOne(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let layout = try python.layout()
    #expect((layout.raw.next_version_address != 0) == (python.found.nextVersionAddress != 0))
    #expect((layout.raw.interpreter_next_version != 0) == (interpreter.version.minor == 13))
    if interpreter.version.minor == 13 {
      var candidate = try InterpreterLayout.candidate(for: python.found, memory: python.memory)
      candidate.raw.interpreter_next_version += 4
      let moved = try InterpreterLayout(
        validating: candidate, of: python.found, memory: python.memory, threads: python.child.threads)
      #expect(moved.raw.interpreter_next_version == 0)
    }
    _ = try python.child.finish()
  }

  @Test(arguments: Interpreter.all)
  func memoryIsBelievedOnlyWithProof(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let layout = try python.layout()
    let memory = CodeMemory(layout: layout, memory: python.memory)
    let leaf = try #require(python.truth.first)
    let codes = CodeTable()
    let table = PythonFrameTable(codes: codes)
    // A name that was cut when it was handed over is read again, whole.
    let cut = Records.names(
      code: leaf.code, fingerprint: leaf.fingerprint, name: "le", file: "<str", lineTable: []
    ) {
      $0.qualname_length = UInt32(leaf.name.count)
      $0.filename_length = UInt32(leaf.file.count)
      $0.linetable_length = 9
    }
    let index = try unsafe codes.add(names: cut.span.bytes)
    #expect(table[table.frame(for: index, offset: 0)].functionName == "le…")
    let key = CodeKey(interpreter: 1, code: leaf.code, fingerprint: leaf.fingerprint)
    #expect(codes.index(of: key, memory: memory) == index)
    let healed = table[table.frame(for: index, offset: 0)]
    #expect(healed.functionName == leaf.name && healed.file == leaf.file)
    #expect(table.remark(table.frame(for: index, offset: 0)) == nil)
    // Another fingerprint at the same address is another function.
    for fingerprint in [leaf.fingerprint &+ 1, 0] {
      let other = CodeKey(interpreter: 1, code: leaf.code, fingerprint: fingerprint)
      let id = table.frame(for: codes.index(of: other, memory: memory), offset: 0)
      #expect(table.remark(id) == .namelessPythonFrame)
    }
    _ = try python.child.finish()
  }

  /// A child that was forked in C, or a state that no thread has used yet, has the ids of nobody.
  @Test(arguments: Interpreter.all)
  func threadsOfNobodyProveTheirFrames(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let layout = try InterpreterLayout(validating: python.found, memory: python.memory, threads: [1])
    #expect(layout.version == interpreter.version)
    var spoiled = try InterpreterLayout.candidate(for: python.found, memory: python.memory)
    spoiled.raw.thread_native_id += 8
    expectRefusal(spoiled, python, names: "thread.native_thread_id", threads: [1])
    _ = try python.child.finish()
  }

  /// greenlet starts a stack with a C frame of its own, which has none before it.
  @Test(arguments: Interpreter.all.filter { $0.version.minor < 13 })
  func aCoroutinesStackProves(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let (walked, _) = try python.chain(try python.layout())
    let raw = try InterpreterLayout.candidate(for: python.found, memory: python.memory).raw
    let outermost = try #require(walked.entries.last?.code)
    let previous = outermost + UInt64(raw.cframe_previous)
    #expect(python.memory.load(previous, as: UInt64.self) != 0)
    for end in [0, PatchedMemory.zeros.lowerBound] {
      let memory = PatchedMemory(python.memory, words: [previous: end])
      let layout = try InterpreterLayout(
        validating: python.found, memory: memory, threads: python.child.threads)
      #expect(layout.version == interpreter.version)
      for path in [\python_layout.thread_root_cframe, \.cframe_previous, \.cframe_current_frame] {
        var spoiled = try InterpreterLayout.candidate(for: python.found, memory: memory)
        spoiled.raw[keyPath: path] += 8
        let name = LayoutField.all.first { $0.path == path }?.name
        expectRefusal(spoiled, python, names: name, memory: memory)
      }
    }
    _ = try python.child.finish()
  }

  /// What was read of a chain that breaks off proves a layout that is in every field as it is known.
  @Test(arguments: Interpreter.all)
  func aChainThatBreaksOffProves(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let (walked, _) = try python.chain(try python.layout())
    let frames = walked.entries.filter { $0.entry == UInt8(PYTHON_CHAIN_FRAME.rawValue) }
    let candidate = try InterpreterLayout.candidate(for: python.found, memory: python.memory)
    let link = frames[2].address + UInt64(candidate.raw.frame_previous)
    // 1 << 62 is no address.
    let memory = PatchedMemory(python.memory, words: [link: 1 << 62])
    let layout = try InterpreterLayout(
      validating: python.found, memory: memory, threads: python.child.threads, rounds: 2)
    #expect(layout.version == interpreter.version)
    var spoiled = candidate
    spoiled.raw.frame_previous += 8
    expectRefusal(spoiled, python, names: "frame.previous", memory: memory)
    // One frame alone has no link that was followed.
    let short = PatchedMemory(
      python.memory, words: [frames[0].address + UInt64(candidate.raw.frame_previous): 1 << 62])
    do throws(LayoutError) {
      _ = try InterpreterLayout(
        validating: python.found, memory: short, threads: python.child.threads, rounds: 2)
      Issue.record("a single frame was believed")
    } catch {
      #expect(error.isTemporary, "\(error)")
    }
    _ = try python.child.finish()
  }

  /// An interpreter that is being made has no lock yet; the others are as good as before.
  @Test(arguments: Interpreter.all)
  func whatRunsNothingIsNotReady(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let raw = try InterpreterLayout.candidate(for: python.found, memory: python.memory).raw
    let head = raw.runtime + UInt64(raw.runtime_interpreters_head)
    for words in [[head: UInt64(0), head + 8: 0], [head + 8: 0]] {
      let memory = PatchedMemory(python.memory, words: words)
      do throws(LayoutError) {
        _ = try InterpreterLayout(
          validating: python.found, memory: memory, threads: python.child.threads, rounds: 2)
        Issue.record("proven")
      } catch {
        #expect(error.isTemporary, "\(error)")
      }
    }
    _ = try python.child.finish()
  }

  @Test(arguments: Interpreter.all)
  func prologueHoleIsFound(_ interpreter: Interpreter) throws {
    let python = try BlockedPython(interpreter)
    let hole = EvaluationPrologue.hole(of: try python.layout(), memory: python.memory)
    if interpreter.version.minor == 13 {
      #expect(hole == nil)
    } else {
      #expect(hole?.isProven == true)
      let start = python.found.evaluationLoop
      print(
        interpreter.testDescription,
        hole.map { ($0.addresses.lowerBound - start, $0.addresses.upperBound - start) } as Any)
    }
    _ = try python.child.finish()
  }

  @Test(arguments: Interpreter.all)
  func aRunningProgramIsProvenToo(_ interpreter: Interpreter) throws {
    let program = """
      import _thread, os
      def f(n): return 1 if n < 2 else f(n - 1) + sum(f(n - 2) for _ in range(1))
      def wait(): os.read(0, 1); os._exit(0)
      _thread.start_new_thread(wait, ())
      print("ready", flush=True)
      while True: f(12)
      """
    let child = try Child(interpreter.path, ["-c", program])
    #expect(child.line() == "ready")
    let memory = ProcessMemory(pid: child.pid)
    let finder = InterpreterFinder(images: LiveImages(pid: child.pid), memory: memory)
    let found = try finder.find(in: ProcessMaps.read(child.pid))
    // Only the thread that runs: the other one stands still and would make it easy.
    let layout = try InterpreterLayout(validating: found, memory: memory, threads: [child.pid])
    #expect(layout.version == interpreter.version)
    _ = try child.finish()
  }

  @Test(arguments: Interpreter.installed.filter { !$0.version.isSupported })
  func otherReleasesAreNamed(_ interpreter: Interpreter) throws {
    let program = "import os, sys; sys.stdout.write('ready\\n'); sys.stdout.flush(); os.read(0, 1)"
    let child = try Child(interpreter.path, ["-c", program])
    #expect(child.line() == "ready")
    let finder = InterpreterFinder(images: LiveImages(pid: child.pid), memory: ProcessMemory(pid: child.pid))
    do throws(InterpreterProblem) {
      _ = try finder.find(in: (try? ProcessMaps.read(child.pid)) ?? [])
      Issue.record("found")
    } catch {
      guard case .unsupported(let version, _) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(version == interpreter.version)
      #expect(error.description.contains("CPython \(interpreter.version) "))
      #expect(error.description.contains("supported: CPython 3.11, 3.12, 3.13"))
    }
    _ = try child.finish()
  }

  @Test func aShellIsNoPython() throws {
    let child = try Child("/bin/cat", [])
    // Before its exec the process is a copy of the test, in the middle of it nothing; when cat answers it is cat.
    child.send("ready\n")
    #expect(child.line() == "ready")
    let finder = InterpreterFinder(images: LiveImages(pid: child.pid), memory: ProcessMemory(pid: child.pid))
    for _ in 0..<2 {
      #expect(throws: InterpreterProblem.noPython(program: "cat")) {
        try finder.find(in: ProcessMaps.read(child.pid))
      }
    }
    _ = try child.finish()
  }
}
