// What a frame was written in: what colours a picture and what a legend counts by.

/// The language of a frame's source, as far as it can be known.
public enum FrameLanguage: UInt8, Sendable, CaseIterable {
  /// A Python function.
  case python
  /// C, by debug information or because its symbol has no other language's form.
  case c
  /// C++.
  case cplusplus
  /// Rust.
  case rust
  /// C or C++ that Cython made from a `.pyx` or `.py` file.
  case cython
  /// Fortran.
  case fortran
  /// A function of the module that holds the Python interpreter, whatever it was written in.
  case interpreter
  /// A function of the kernel.
  case kernel
  /// Code that was made at run time: it lies in no file.
  case jit
  /// No code: says that something is missing or doubtful.
  case marker
  /// Machine code of an unknown language: it has no symbol and no debug information.
  case native

  /// The name people know it by.
  public var title: String {
    switch self {
    case .python: "Python"
    case .c: "C"
    case .cplusplus: "C++"
    case .rust: "Rust"
    case .cython: "Cython"
    case .fortran: "Fortran"
    case .interpreter: "Interpreter"
    case .kernel: "Kernel"
    case .jit: "JIT"
    case .marker: "Marker"
    case .native: "Native"
    }
  }

  /// What is known of a frame by its kind alone.
  init(_ kind: FrameKind) {
    switch kind {
    case .python: self = .python
    case .native: self = .native
    case .kernel: self = .kernel
    case .marker: self = .marker
    }
  }
}
