// The colours of languages, one list for every picture.

import Profiles

/// How boxes of a language are painted. The text on them is nearly black (`textColor`), in light and dark surroundings.
struct LanguageColor {
  /// `#RRGGBB`.
  let fill: String
  /// A second colour for diagonal stripes: what is no function is hatched, so that nobody takes it for one.
  var stripe: String?

  /// Colour of the text on every fill.
  static let textColor = "#111111"
}

extension FrameLanguage {
  /// The colour of this language's boxes.
  ///
  /// Chosen by search: the least distance of any two, in Oklab, is as great as could be found, with normal sight as
  /// well as without red, green or blue cones, while text on them keeps a contrast of at least 5 to 1.
  var color: LanguageColor {
    switch self {
    case .python: LanguageColor(fill: "#EABD41")
    case .c: LanguageColor(fill: "#7489B7")
    case .cplusplus: LanguageColor(fill: "#3AABEE")
    case .rust: LanguageColor(fill: "#DF9249")
    case .cython: LanguageColor(fill: "#B1F298")
    case .fortran: LanguageColor(fill: "#D7BBFC")
    case .interpreter: LanguageColor(fill: "#A3A3A3")
    case .kernel: LanguageColor(fill: "#C26E70")
    case .jit: LanguageColor(fill: "#8FD0B9")
    case .marker: LanguageColor(fill: "#FFFFFF", stripe: "#F0A49C")
    case .native: LanguageColor(fill: "#EEE1E3")
    }
  }

  /// The name in the data of a page.
  var identifier: String {
    switch self {
    case .python: "python"
    case .c: "c"
    case .cplusplus: "cplusplus"
    case .rust: "rust"
    case .cython: "cython"
    case .fortran: "fortran"
    case .interpreter: "interpreter"
    case .kernel: "kernel"
    case .jit: "jit"
    case .marker: "marker"
    case .native: "native"
    }
  }

  /// What a legend calls it.
  var legendTitle: String {
    switch self {
    case .marker: "Missing or unproven"
    case .native: "Unknown native"
    default: title
    }
  }
}
