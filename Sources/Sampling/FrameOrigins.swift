// Where the native frames of a profile come from: looked at once, when sampling is over, to tell their languages and
// to list their modules. Reading debug information takes time that samples in the rings do not have.

import ProcessImages
import Profiles

/// Remembers the first place of each native frame, and the mappings of each module. Touched when a name is looked up,
/// not for each sample.
struct FrameOrigins {
  private struct Place {
    let module: Module
    let virtualAddress: UInt64
  }

  private struct Mapped {
    let module: Module
    let path: StringID
    var ranges: [ProfiledModule.Range]
  }

  /// Paths of the modules that held an interpreter; the empty path is none.
  var interpreters: Set<String> = []
  private var places: [FrameID: Place] = [:]
  private var mapped: [Mapped] = []
  private var positions: [ObjectIdentifier: Int] = [:]

  /// Mappings of one module that are kept: a module that is loaded again and again has no end of them.
  private static let maximumRanges = 64

  /// A frame was made, or found again, for a place.
  mutating func note(_ frame: FrameID, _ path: StringID, _ location: CodeLocation) {
    let module = location.module
    if places[frame] == nil {
      places[frame] = Place(module: module, virtualAddress: location.virtualAddress)
    }
    let mapping = location.area.mapping
    let range = ProfiledModule.Range(
      start: mapping.start, limit: mapping.end, fileOffset: mapping.hasFile ? mapping.fileOffset : 0)
    if let known = positions[ObjectIdentifier(module)] {
      if mapped[known].ranges.count < Self.maximumRanges, !mapped[known].ranges.contains(range) {
        mapped[known].ranges.append(range)
      }
    } else {
      positions[ObjectIdentifier(module)] = mapped.count
      mapped.append(Mapped(module: module, path: path, ranges: [range]))
    }
  }

  func isInterpreter(_ module: Module) -> Bool { !module.path.isEmpty && interpreters.contains(module.path) }

  /// Fills in the languages of the native frames, and the modules. By the frames' positions before they were resolved:
  /// `ids` tells what became of each, `symbols` the symbol it was named after. Where several became one, the first one
  /// tells.
  func describe(_ profile: inout Profile, _ ids: [FrameID?], _ symbols: [String?]) {
    var told: Set<FrameID> = []
    for (frame, place) in places.sorted(by: { $0.key.index < $1.key.index }) {
      guard let id = ids[Int(frame.index)], told.insert(id).inserted else { continue }
      profile.setLanguage(language(of: place, symbols[Int(frame.index)]), of: id)
    }
    profile.modules = mapped.map {
      ProfiledModule(path: $0.path, buildID: $0.module.image?.buildIDText ?? "", ranges: $0.ranges)
    }
  }

  private func language(of place: Place, _ symbol: String?) -> FrameLanguage {
    let module = place.module
    if isInterpreter(module) { return .interpreter }
    if module.isMadeAtRunTime { return .jit }
    return module.language(ofSymbol: symbol, at: place.virtualAddress).map(FrameLanguage.init) ?? .native
  }
}

extension FrameLanguage {
  /// The same language, of a native frame.
  init(_ language: SourceLanguage) {
    switch language {
    case .c: self = .c
    case .cplusplus: self = .cplusplus
    case .rust: self = .rust
    case .cython: self = .cython
    case .fortran: self = .fortran
    }
  }
}
