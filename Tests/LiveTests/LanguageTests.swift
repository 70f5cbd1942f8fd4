// In which language each function of a real program was written, as numpy's own sources say.

import Foundation
import Testing

/// A file for the Firefox Profiler, as far as it says of functions what their language is.
private struct GeckoFile: Decodable {
  struct Meta: Decodable {
    struct Category: Decodable { let name: String }
    let categories: [Category]
  }
  struct Shared: Decodable { let stringArray: [String] }
  struct Frames: Decodable {
    let category: [Int]
    let `func`: [Int]
  }
  struct Functions: Decodable { let name: [Int] }
  struct Thread: Decodable {
    let frameTable: Frames
    let funcTable: Functions
  }
  let meta: Meta
  let shared: Shared
  let threads: [Thread]

  /// The languages of all functions of a name.
  var languages: [String: Set<String>] {
    var languages: [String: Set<String>] = [:]
    for thread in threads {
      for (category, function) in zip(thread.frameTable.category, thread.frameTable.func) {
        let name = shared.stringArray[thread.funcTable.name[function]]
        languages[name, default: []].insert(meta.categories[category].name)
      }
    }
    return languages
  }
}

extension Live {
  @Suite struct LanguageTests {
    /// Functions that `isKnown` finds by their names, and the language that their source is in.
    struct Known: Sendable {
      let language: String
      let names: String
      let isKnown: @Sendable (String) -> Bool
    }

    static let known = [
      Known(language: "Python", names: "the program's own") {
        ["callbacks", "product", "decompose", "transform", "draw", "order"].contains($0)
      },
      Known(language: "Interpreter", names: "the evaluation loop") { $0.hasPrefix("_PyEval_") },
      Known(language: "Interpreter", names: "sorting of lists") { $0.hasPrefix("list_sort") },
      Known(language: "C", names: "ufuncs") { $0.hasPrefix("PyUFunc_") },
      Known(language: "C", names: "arrays") { $0.hasPrefix("PyArray_") },
      Known(language: "C", names: "OpenBLAS for C") { $0.contains("cblas_") },
      Known(language: "C", names: "OpenBLAS's kernels") { $0.hasPrefix("dgemm_kernel_") },
      Known(language: "C++", names: "pocketfft") { $0.contains("pocketfft::") },
      Known(language: "Cython", names: "numpy.random") { $0.hasPrefix("__pyx_") },
      // LAPACK's own bidiagonal decompositions.
      Known(language: "Fortran", names: "LAPACK") {
        $0.contains("dbdsqr") || $0.contains("dlasd") || $0.contains("dgebrd") || $0.contains("dlasr")
      },
    ]

    /// CADUCEUS_NUMPY_PYTHON names an interpreter with numpy.
    @Test(.enabled(if: Machine.numpyPython != nil || Machine.isCI, "CADUCEUS_NUMPY_PYTHON is not set"))
    func ofNumpy() throws {
      let python = try #require(Machine.numpyPython, "CADUCEUS_NUMPY_PYTHON must be set where CI is")
      let folder = try Folder()
      let file = folder.file("run.gecko.json")
      let finished = try Caduceus.run(
        ["run", "--native", "all", "-o", file, "--", python, Program.path("numpy_languages.py")],
        environment: ["OPENBLAS_NUM_THREADS": "1"])
      #expect(finished.status == 0, "\(finished.description)")
      let data = try Data(contentsOf: URL(fileURLWithPath: file))
      let languages = try JSONDecoder().decode(GeckoFile.self, from: data).languages
      for known in Self.known {
        let found = languages.filter { known.isKnown($0.key) }
        #expect(!found.isEmpty, "\(known.names): never seen")
        for (name, languages) in found {
          #expect(languages == [known.language], "\(known.names): \(name)")
        }
      }
    }
  }
}
