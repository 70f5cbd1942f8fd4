// Profiles for pictures: made ones with frames of every language, random ones, and one that is large.

import Accounting
import Profiles

/// A frame as a test of pictures writes it. Unlike `MadeFrame` it has a language.
package struct PictureFrame: Hashable {
  package var kind: FrameKind
  package var language: FrameLanguage
  package var name: String
  package var file: String
  package var line: Int32
  package var firstLine: Int32

  package init(
    kind: FrameKind, language: FrameLanguage, name: String, file: String, line: Int32 = 0,
    firstLine: Int32 = 0
  ) {
    (self.kind, self.language) = (kind, language)
    (self.name, self.file) = (name, file)
    (self.line, self.firstLine) = (line, firstLine)
  }

  package static func python(_ name: String, _ file: String, _ line: Int32, of firstLine: Int32 = 1)
    -> PictureFrame
  {
    PictureFrame(kind: .python, language: .python, name: name, file: file, line: line, firstLine: firstLine)
  }

  package static func native(_ language: FrameLanguage, _ name: String, _ file: String) -> PictureFrame {
    PictureFrame(kind: .native, language: language, name: name, file: file)
  }

  package static func kernel(_ name: String) -> PictureFrame {
    PictureFrame(kind: .kernel, language: .kernel, name: name, file: "[kernel]")
  }

  package static func marker(_ name: String) -> PictureFrame {
    PictureFrame(kind: .marker, language: .marker, name: name, file: "")
  }

  /// All lines of its function.
  package var function: PictureFrame {
    var function = self
    function.line = 0
    return function
  }
}

/// A stack, root first, of one thread.
package struct PictureStack: Hashable {
  package var frames: [PictureFrame]
  package var thread: Int
  package var count: UInt64

  package init(frames: [PictureFrame], thread: Int = 0, count: UInt64) {
    (self.frames, self.thread, self.count) = (frames, thread, count)
  }
}

extension Profile {
  /// A profile of stacks with a ledger that adds up.
  package init(pictured stacks: [PictureStack], threads: [String] = ["main"], damaged: UInt64 = 0) {
    self.init()
    header.processID = 4242
    header.command = "python3 fit.py --all"
    header.interpreter = "CPython 3.13.0"
    header.duration = 4_200_000_000
    header.startTime = 1_767_225_599_000_000_000
    self.threads = threads.enumerated().map { ProfiledThread(tid: 4242 + Int32($0.offset), name: $0.element) }
    var samples: UInt64 = 0
    for stack in stacks {
      let ids = stack.frames.reversed().map { made in
        intern(
          frame: Frame(
            kind: made.kind, name: intern(string: made.name), file: intern(string: made.file),
            line: made.line, firstLine: made.firstLine, language: made.language))
      }
      record(stack: ids.span, thread: stack.thread, count: stack.count)
      samples += stack.count
    }
    ledger.period = header.period
    ledger.targetCPU = samples * header.period
    ledger.eventCount = ledger.targetCPU
    ledger.eventTimeRunning = ledger.targetCPU
    (ledger.runs, ledger.emitted, ledger.recordsRead) = (samples, samples, samples)
    ledger[damaged: .nativeStackTruncated] = damaged
    ledger.whole = samples - damaged
  }
}

/// Stacks of a program in which every language runs.
package enum EveryLanguage {
  package static let module = PictureFrame.python("<module>", "/srv/work/fit.py", 45)
  package static let main = PictureFrame.python("main", "/srv/work/fit.py", 37)
  package static let fitFirst = PictureFrame.python("fit_all", "/srv/work/fit.py", 30)
  package static let fitSecond = PictureFrame.python("fit_all", "/srv/work/fit.py", 31)
  package static let objective = PictureFrame.python("objective", "/srv/work/fit.py", 14)
  package static let evaluation = PictureFrame.native(
    .interpreter, "_PyEval_EvalFrameDefault", "/usr/bin/python3.13")
  package static let allocate = PictureFrame.native(.interpreter, "_PyObject_GC_New", "/usr/bin/python3.13")
  package static let minimize = PictureFrame.native(.c, "curvefit_minimize", "/srv/work/curvefit.so")
  package static let residual = PictureFrame.native(.c, "curvefit_residual", "/srv/work/curvefit.so")
  package static let dot = PictureFrame.native(
    .cplusplus,
    "void Eigen::internal::generic_product_impl<Eigen::Matrix<double, -1, -1, 0, -1, -1>, "
      + "Eigen::Matrix<double, -1, 1, 0, -1, 1>, Eigen::DenseShape, Eigen::DenseShape, 7>::scaleAndAddTo(double*)",
    "/srv/work/solver.so")
  package static let rust = PictureFrame.native(
    .rust, "polars_core::frame::DataFrame::filter", "/srv/work/polars.abi3.so")
  package static let cython = PictureFrame.native(.cython, "loops.weighted_sum", "/srv/work/loops.so")
  package static let fortran = PictureFrame.native(
    .fortran, "dgemv_", "/usr/lib/x86_64-linux-gnu/libblas.so.3")
  package static let compiled = PictureFrame.native(.jit, "numba: square$1", "")
  package static let unknown = PictureFrame.native(.native, "libsecret.so+0x1f40", "/opt/libsecret.so")
  package static let fault = PictureFrame.kernel("asm_exc_page_fault")
  package static let zero = PictureFrame.kernel("clear_page_erms")
  package static let cut = PictureFrame.marker("[native stack cut off]")

  package static let stacks: [PictureStack] = [
    PictureStack(frames: [module, main, fitFirst, minimize, residual, objective, residual], count: 480),
    PictureStack(frames: [module, main, fitFirst, minimize, residual, objective], count: 120),
    PictureStack(frames: [module, main, fitSecond, minimize, dot], count: 260),
    PictureStack(frames: [module, main, fitSecond, minimize, dot, fault, zero], count: 90),
    PictureStack(frames: [module, main, evaluation, allocate], count: 130),
    PictureStack(frames: [module, main, evaluation, allocate, fault, zero], count: 40),
    PictureStack(frames: [module, main, rust], count: 180),
    PictureStack(frames: [module, main, cython], count: 150),
    PictureStack(frames: [module, main, cython, objective], count: 60),
    PictureStack(frames: [module, main, fortran], count: 140),
    PictureStack(frames: [module, main, compiled], count: 110),
    PictureStack(frames: [cut, fitFirst, minimize, residual], count: 70),
    PictureStack(frames: [module], count: 10),
    PictureStack(frames: [], count: 25),
    PictureStack(frames: [unknown, fault], thread: 1, count: 85),
    PictureStack(frames: [unknown], thread: 1, count: 45),
    PictureStack(frames: [module, main, fitFirst, minimize, residual], thread: 2, count: 55),
  ]
  package static let threads = ["python3", "pool-1", "worker <2>"]
  package static var profile: Profile { Profile(pictured: stacks, threads: threads, damaged: 95) }
}

/// Random stacks over few functions, so that beginnings repeat, functions recur and lines differ.
package struct RandomStacks {
  private var state: UInt64

  package init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

  package mutating func next(below limit: Int) -> Int {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return Int(truncatingIfNeeded: (state >> 11) % UInt64(limit))
  }

  package mutating func frame() -> PictureFrame {
    switch next(below: 10) {
    case 0...3:
      .python("p\(next(below: 2))", "/a/p.py", Int32(1 + next(below: 3)), of: Int32(1 + next(below: 2)))
    case 4...5: .native(.c, "c\(next(below: 3))", "/a/c.so")
    case 6: .native(.rust, "r\(next(below: 2))", "/a/r.so")
    case 7: .native(.interpreter, "i\(next(below: 2))", "/a/python")
    case 8: .kernel("k\(next(below: 2))")
    default: .marker("[m]")
    }
  }

  package mutating func stacks(_ number: Int, threads: Int, deepest: Int) -> [PictureStack] {
    (0..<number).map { _ in
      PictureStack(
        frames: (0..<next(below: deepest + 1)).map { _ in frame() }, thread: next(below: threads),
        count: UInt64(1 + next(below: 9)))
    }
  }

  /// A profile whose tree has about `nodes` nodes, with the depths and the names of a real program.
  package static func large(nodes: Int) -> Profile {
    var random = RandomStacks(seed: 7)
    var stacks: [PictureStack] = []
    var path: [PictureFrame] = []
    var made = 0
    while made < nodes {
      // Walks through the tree: some frames are left, some new ones entered.
      path.removeLast(min(path.count, random.next(below: 9)))
      for _ in 0..<(1 + random.next(below: 7)) where path.count < 60 {
        let number = random.next(below: 4000)
        switch random.next(below: 8) {
        case 0...3:
          path.append(
            .python("function_\(number)", "/srv/work/package/module_\(number % 97).py", Int32(number)))
        case 4:
          path.append(
            .native(
              .cplusplus, "void library::Class\(number)<double, long>::run(int)", "/srv/lib/l\(number % 7).so"
            ))
        case 5: path.append(.native(.c, "c_function_\(number)", "/srv/lib/l\(number % 7).so"))
        case 6: path.append(.native(.interpreter, "PyObject_Call\(number % 60)", "/usr/bin/python3.13"))
        default: path.append(.native(.rust, "crate::module::item_\(number)", "/srv/lib/r.so"))
        }
        made += 1
      }
      stacks.append(
        PictureStack(frames: path, thread: random.next(below: 8), count: UInt64(1 + random.next(below: 30))))
    }
    return Profile(pictured: stacks, threads: (0..<8).map { "worker-\($0)" })
  }
}
