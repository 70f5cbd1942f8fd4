// What is shown of recorded samples, for each choice of native frames.

import CaptureReplay
import Foundation
import PerfEvents
import Profiles
import Testing

@testable import Sampling

@Suite struct CaptureTests {
  private struct Shown {
    let kind: FrameKind
    let name: String
    let file: String
  }

  private func stacks(_ name: String, _ shown: NativeFrames) throws -> [[Shown]] {
    let profile = try #require(try Capture(named: name).profile(shown: shown))
    return profile.samples.map { sample in
      profile.frames(of: sample.stack).map {
        Shown(
          kind: profile[$0].kind, name: profile[profile[$0].name], file: profile[profile[$0].file])
      }
    }
  }

  /// Whether a stack is one of a thread that the program started (Lib/threading.py).
  private func isOfAThread(_ stack: [Shown]) -> Bool {
    stack.contains { $0.kind == .python && $0.name == "Thread._bootstrap" }
  }

  @Test(arguments: Capture.whole) func noneShowsPythonOnly(_ name: String) throws {
    for stack in try stacks(name, .none) {
      #expect(stack.allSatisfy { $0.kind == .python })
      #expect(stack.last?.name == (isOfAThread(stack) ? "Thread._bootstrap" : "<module>"))
    }
  }

  @Test(arguments: Capture.whole) func allShowsTheWayFromTheEntryPoint(_ name: String) throws {
    for stack in try stacks(name, .all) {
      if isOfAThread(stack) {
        // glibc's own first function has no name where its symbols were stripped.
        #expect(
          stack.last.map {
            $0.name.hasPrefix("clone") || $0.name.hasPrefix("__clone") || $0.name.hasPrefix("libc")
          } == true, "\(stack.map(\.name))")
        #expect(stack.contains { $0.name == "thread_run" })
        continue
      }
      #expect(stack.last?.name == "_start")
      #expect(stack.contains { $0.name.hasPrefix("_PyEval_EvalFrameDefault") })
      // The interpreter's own program jumps from its main to the library; a host calls.
      let isHost = name.hasPrefix("embed")
      #expect(!isHost || stack.contains { $0.name == "main" && $0.kind == .native })
      #expect(stack.contains { $0.name == "Py_RunMain" })
    }
  }

  @Test(arguments: Capture.whole.filter { !$0.hasPrefix("embed") })
  func extensionsShowNeitherStartUpNorPlumbing(_ name: String) throws {
    for stack in try stacks(name, .extensions) {
      // A thread keeps its own root.
      if !isOfAThread(stack) { #expect(stack.last?.name == "<module>" && stack.last?.kind == .python) }
      #expect(!stack.contains { $0.name.hasPrefix("_PyEval_") || $0.name.hasPrefix("PyObject_Vectorcall") })
    }
  }

  /// The host program's own frames stay, the interpreter's way to its first Python frame is hidden.
  @Test(arguments: Capture.all.filter { $0.hasPrefix("embed") }) func aHostKeepsItsFrames(_ name: String)
    throws
  {
    for stack in try stacks(name, .extensions) {
      let root = stack.reversed().map(\.name)
      let host = try #require(root.firstIndex(of: "host_event_loop"))
      #expect(root[host + 1] == "host_run_script")
      #expect(!root.contains("pymain_run_python"))
      #expect(root.contains("<module>"))
    }
  }

  @Test(arguments: Capture.all) func kernelFramesComeFirst(_ name: String) throws {
    for shown in [NativeFrames.all, .extensions] {
      for stack in try stacks(name, shown) {
        let user = stack.drop { $0.kind == .kernel }
        #expect(!user.contains { $0.kind == .kernel })
        #expect(!stack.contains { $0.kind == .kernel && $0.name.hasPrefix("kernel+0x") })
      }
    }
  }

  @Test(arguments: Capture.all) func firstLinesAreThoseOfTheSource(_ name: String) throws {
    let profile = try #require(try Capture(named: name).profile())
    var seen = 0
    for frame in profile.frames {
      guard frame.kind == .python else {
        #expect(frame.firstLine == 0)
        continue
      }
      let function = profile[frame.name].split(separator: ".").last.map(String.init) ?? ""
      let file = profile[frame.file].split(separator: "/").last.map(String.init) ?? ""
      let path = URL(filePath: Capture.folder).deletingLastPathComponent().appending(path: "Programs/\(file)")
      guard let source = try? String(contentsOf: path, encoding: .utf8) else { continue }
      seen += 1
      if function == "<module>" {
        #expect(frame.firstLine == 1)
      } else {
        let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
        // A decorated function begins at its first decorator.
        let first = lines.dropFirst(Int(frame.firstLine) - 1).first { !$0.hasPrefix("@") }
        #expect(first?.contains("def \(function)(") == true, "\(file):\(frame.firstLine)")
      }
    }
    #expect(seen > 0)
  }

  /// By where each of these is in the sources of numpy, CPython and the test's own extension.
  @Test(arguments: [
    ("elements", FrameLanguage.python), ("apply_along_axis", .python), ("<module>", .python),
    ("PyUFunc_On_Om", .c), ("PyArray_NewFromDescr_int", .c), ("array_sort", .c), ("DOUBLE_matmul", .c),
    ("scipy_cblas_dsyrk64_", .c), ("dgemm_kernel_SKYLAKEX", .c), ("sit_spin", .c), ("free", .c),
    ("pocketfft::detail::cfftp<double>::cfftp(unsigned long)", .cplusplus),
    ("void np::qsort_simd::QSort_AVX512_SKX<double>(double*, long)", .cplusplus),
    ("_PyEval_EvalFrameDefault", .interpreter), ("_PyObject_Malloc", .interpreter),
    ("PyNumber_MatrixMultiply", .interpreter), ("builtin_next", .interpreter),
    ("entry_SYSCALL_64_after_hwframe", .kernel), ("do_syscall_64", .kernel),
  ]) func languagesOfNumpy(_ name: String, _ language: FrameLanguage) throws {
    let profile = try #require(try Capture(named: "numpy_calls-3.11").profile(shown: .all))
    let found = Set(profile.frames.filter { profile[$0.name] == name }.map(\.language))
    #expect(found == [language])
  }

  @Test(arguments: Capture.all) func aReplayIsTheSameEveryTime(_ name: String) throws {
    let capture = try Capture(named: name)
    let (one, two) = (try #require(capture.profile()), try #require(capture.profile()))
    #expect(one.samples.map(\.count) == two.samples.map(\.count))
    #expect(one.frames == two.frames)
    #expect(one.ledger.recordsRead == one.ledger.kept)
  }

  /// Counts what is handed on.
  private struct Count: RecordHandler {
    var records = 0
    mutating func handle(sample: borrowing SampleRecord) { records += 1 }
    mutating func handle(names: borrowing NamesRecord) { records += 1 }
    mutating func handle(sideband: SidebandRecord, stamp: RecordStamp) { records += 1 }
    mutating func handleMalformedSample() {}
  }

  /// What else ran on the machine that recorded it is nobody's business.
  @Test(arguments: Capture.all) func aCaptureIsAboutItsProcessOnly(_ name: String) throws {
    let capture = try Capture(named: name)
    var count = Count()
    capture.replay(to: &count)
    #expect(count.records == capture.records.count)
  }

  @Test(arguments: Capture.all) func aCaptureSurvivesItsFile(_ name: String) throws {
    let capture = try Capture(named: name)
    let bytes = capture.serialized()
    let again = try Capture(serialized: bytes)
    #expect(again.records == capture.records && again.serialized() == bytes)
    for count in stride(from: 0, to: bytes.count, by: bytes.count / 50) {
      #expect((try? Capture(serialized: Array(bytes[..<count]))) == nil)
    }
  }
}
