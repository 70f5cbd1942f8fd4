// What every output format is: a pure function of a profile that ends in the bytes of one file.

import Profiles

/// One output format.
///
/// A collector is made from a finished profile and from nothing else: no clock, no process, no file. The
/// same profile always gives the same bytes.
public protocol Collector: Sendable {
  /// The usual end of the names of such files, without the dot.
  static var fileExtension: String { get }

  /// Whether the file says more when the profile has a time line.
  static var usesTimeline: Bool { get }

  /// Collects every sample of `profile`.
  init(_ profile: Profile)

  /// The whole content of the file.
  func exported() -> [UInt8]
}

extension Collector {
  /// No.
  public static var usesTimeline: Bool { false }

  /// Writes the file to `path` by `ExportedFile.write`.
  public func export(to path: String, owner: FileOwner? = nil) throws(ExportError) {
    try ExportedFile.write(exported(), to: path, owner: owner)
  }
}

/// A distinct stack and its samples, those of all threads added up.
struct CountedStack {
  let stack: StackID
  var count: UInt64
}

extension Profile {
  /// The distinct stacks in the order of first sight.
  var countedStacks: [CountedStack] {
    var counted: [CountedStack] = []
    var positions: [StackID: Int] = [:]
    for sample in samples where sample.count > 0 {
      if let known = positions[sample.stack] {
        counted[known].count += sample.count
      } else {
        positions[sample.stack] = counted.count
        counted.append(CountedStack(stack: sample.stack, count: sample.count))
      }
    }
    return counted
  }
}
