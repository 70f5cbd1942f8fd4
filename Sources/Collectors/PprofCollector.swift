// pprof's profile.proto in gzip: what pprof, and most services that keep profiles, read.

import Profiles
internal import SwiftProtobuf

/// Samples per stack and thread, as the number of samples and as nanoseconds of CPU time (samples times the period).
///
/// - A location stands for a frame: a profile has no raw addresses, so a location has none.
/// - A Python function has its file and the line of its definition, and each location the line being executed. A native
///   or kernel function has its module as the file: equal names of different modules stay apart.
/// - Each module has its mappings, with the build-id. The first is that of the interpreter, which pprof takes for the
///   main program.
/// - Labels: `pid` and `tid` as numbers, since pprof looks for a number among numbers only, and `thread`, the thread's
///   name.
/// - The comments hold the run and its ledger: in words where pprof shows them, and number by number behind a `#`,
///   where it does not.
public struct PprofCollector: Collector {
  /// `pb.gz`, as pprof itself names such files.
  public static var fileExtension: String { "pb.gz" }

  private let message: PprofProfile

  /// Collects every sample of `profile`.
  public init(_ profile: Profile) {
    var builder = PprofBuilder(profile)
    message = builder.build()
  }

  /// The gzip file.
  public func exported() -> [UInt8] {
    do {
      return gzipped(try message.serializedBytes())
    } catch {
      // Protocol buffers end at 2 GiB; a profile holds distinct stacks only.
      preconditionFailure("the profile cannot be encoded: \(error)")
    }
  }
}

private struct PprofBuilder {
  private struct FunctionKey: Hashable {
    let name: StringID
    let file: StringID
    let firstLine: Int32
  }

  private let profile: Profile
  private var message = PprofProfile()
  private var strings: [ExactString: Int64] = [ExactString(""): 0]
  private var functions: [FunctionKey: UInt64] = [:]
  /// First mapping of a module, by its path.
  private var mappings: [StringID: UInt64] = [:]

  init(_ profile: Profile) {
    self.profile = profile
    message.stringTable = [""]
  }

  private mutating func intern(_ text: String) -> Int64 {
    if let known = strings[ExactString(text)] { return known }
    let position = Int64(message.stringTable.count)
    strings[ExactString(text)] = position
    message.stringTable.append(text)
    return position
  }

  private mutating func type(_ type: String, _ unit: String) -> PprofValueType {
    PprofValueType(type: intern(type), unit: intern(unit))
  }

  mutating func build() -> PprofProfile {
    message.sampleType = [type("samples", "count"), type("cpu", "nanoseconds")]
    message.periodType = type("cpu", "nanoseconds")
    message.defaultSampleType = intern("cpu")
    message.period = Int64(clamping: profile.header.period)
    message.timeNanos = Int64(clamping: profile.header.startTime)
    message.durationNanos = Int64(clamping: profile.header.duration)
    addMappings()
    for frame in profile.frames { addLocation(frame) }
    addSamples()
    addComments()
    return message
  }

  private mutating func addMappings() {
    let interpreter = profile.frames.first { $0.language == .interpreter }?.file
    let modules =
      profile.modules.filter { $0.path == interpreter } + profile.modules.filter { $0.path != interpreter }
    for module in modules {
      let path = profile[module.path]
      for range in module.ranges {
        let id = UInt64(message.mapping.count + 1)
        if mappings[module.path] == nil { mappings[module.path] = id }
        message.mapping.append(
          PprofMapping(
            id: id, memoryStart: range.start, memoryLimit: range.limit, fileOffset: range.fileOffset,
            filename: intern(path.isEmpty ? "[anonymous]" : path), buildID: intern(module.buildID),
            hasFunctions: true, hasFilenames: true))
      }
    }
  }

  private mutating func addLocation(_ frame: Frame) {
    let key = FunctionKey(name: frame.name, file: frame.file, firstLine: frame.firstLine)
    let function: UInt64
    if let known = functions[key] {
      function = known
    } else {
      function = addFunction(profile[frame.name], profile[frame.file], frame.firstLine)
      functions[key] = function
    }
    message.location.append(
      PprofLocation(
        id: UInt64(message.location.count + 1),
        mappingID: frame.kind == .native && frame.file != .empty ? mappings[frame.file] ?? 0 : 0,
        line: [PprofLine(functionID: function, line: Int64(frame.line))]))
  }

  /// The `system_name` stays empty: where it equals the name, pprof takes the name for one that it has to make readable,
  /// and `<module>` for template arguments that it has to cut off.
  private mutating func addFunction(_ name: String, _ file: String, _ firstLine: Int32) -> UInt64 {
    let id = UInt64(message.function.count + 1)
    message.function.append(
      PprofFunction(id: id, name: intern(name), filename: intern(file), startLine: Int64(firstLine)))
    return id
  }

  private mutating func addSamples() {
    let pid = PprofLabel(key: intern("pid"), num: Int64(profile.header.processID))
    let (tid, name) = (intern("tid"), intern("thread"))
    let labels = profile.threads.map { thread in
      // A label without a text is none to pprof.
      [pid, PprofLabel(key: tid, num: Int64(thread.tid))]
        + (thread.name.isEmpty ? [] : [PprofLabel(key: name, str: intern(thread.name))])
    }
    var noFrames: UInt64?
    for sample in profile.samples where sample.count > 0 {
      var locations = profile.frames(of: sample.stack).map { UInt64($0.index) + 1 }
      if locations.isEmpty {
        let location = noFrames ?? addNoFrames()
        noFrames = location
        locations = [location]
      }
      let count = Int64(clamping: sample.count)
      message.sample.append(
        PprofSample(
          locationID: locations,
          value: [count, count.multipliedReportingOverflow(by: message.period).partialValue],
          label: labels[sample.thread]))
    }
  }

  private mutating func addNoFrames() -> UInt64 {
    let function = addFunction("[no frames]", "", 0)
    let id = UInt64(message.location.count + 1)
    message.location.append(PprofLocation(id: id, line: [PprofLine(functionID: function)]))
    return id
  }

  private mutating func addComments() {
    let header = profile.header
    var comments = ["caduceus \(header.version)", "Command: \(header.command)"]
    if !header.interpreter.isEmpty { comments.append("Interpreter: \(header.interpreter)") }
    if !header.captureMethod.isEmpty { comments.append("Sampled \(header.captureMethod)") }
    comments += SamplingSummary(profile).ledgerText.split(separator: "\n").map(String.init)
    comments += profile.ledger.fields.map { "# ledger \($0.name) \($0.value)" }
    message.comment = comments.map { intern($0) }
  }
}
