// Records of JSON, one per line, in the form of `--jsonl` of CPython 3.15's sampling profiler
// (Lib/profiling/sampling/jsonl_collector.py there describes it), version 0 of its records.

import Profiles

/// The records `meta`, `string_table`, `frame_table`, `agg` and `end`, in this order; a table has at most 256 entries
/// per record.
///
/// A frame is a file, a function and the line being executed. A native or kernel frame has its module as the file and
/// line 0, a marker the file `~` and its text between `<` and `>`: CPython's form for what has no file. The `meta`
/// record says more than CPython's, which its readers are told to skip: a member `caduceus` with the run and its
/// ledger. `samples_total` counts all samples; those without any frame are in no entry.
public struct JsonlCollector: Collector {
  /// `jsonl`, as CPython's own profiler names such files.
  public static var fileExtension: String { "jsonl" }

  private static let chunk = 256

  private struct Row: Hashable {
    let path: UInt32
    let function: UInt32
    let line: Int32
  }

  private struct Counts {
    var own: UInt64 = 0
    var cumulative: UInt64 = 0
    /// The last stack that was counted as cumulative.
    var lastStack = 0
  }

  private let profile: Profile
  private let runID: String
  private var strings: [String] = []
  private var rows: [Row] = []
  private var counts: [Counts] = []
  private var samples: UInt64 = 0

  /// Counts every sample of `profile`.
  public init(_ profile: Profile) {
    self.profile = profile
    runID = Self.runID(of: profile)
    var stringIDs: [ExactString: UInt32] = [:]
    var rowIDs: [Row: Int] = [:]
    var rowOfFrame = Array(repeating: -1, count: profile.frames.count)
    var stacks = 0
    for counted in profile.countedStacks {
      stacks += 1
      samples += counted.count
      var isLeaf = true
      for id in profile.frames(of: counted.stack) {
        var row = rowOfFrame[Int(id.index)]
        if row < 0 {
          row = Self.row(
            of: profile[id], in: profile, &strings, &stringIDs, &rows, &rowIDs)
          if row == counts.count { counts.append(Counts()) }
          rowOfFrame[Int(id.index)] = row
        }
        if isLeaf { counts[row].own += counted.count }
        isLeaf = false
        if counts[row].lastStack != stacks {
          counts[row].lastStack = stacks
          counts[row].cumulative += counted.count
        }
      }
    }
  }

  private static func row(
    of frame: Frame, in profile: Profile, _ strings: inout [String], _ stringIDs: inout [ExactString: UInt32],
    _ rows: inout [Row], _ rowIDs: inout [Row: Int]
  ) -> Int {
    let key = PstatsCollector.Function(frame, in: profile)
    func intern(_ text: String) -> UInt32 {
      if let known = stringIDs[ExactString(text)] { return known }
      let id = UInt32(strings.count)
      strings.append(text)
      stringIDs[ExactString(text)] = id
      return id
    }
    // CPython takes the function's name first.
    let function = intern(key.name)
    let row = Row(path: intern(key.file), function: function, line: key.line)
    if let known = rowIDs[row] { return known }
    rowIDs[row] = rows.count
    rows.append(row)
    return rows.count - 1
  }

  /// 32 hexadecimal digits in the form of a random UUID, of which readers ask only that two runs have different ones:
  /// made from process, start and command, so that one profile always gives the same file.
  private static func runID(of profile: Profile) -> String {
    let header = profile.header
    var hash: [UInt64] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93]
    func mix(_ value: UInt64) {
      for index in hash.indices {
        hash[index] = (hash[index] ^ value) &* 0xBF58_476D_1CE4_E5B9 &+ UInt64(index)
        hash[index] ^= hash[index] >> 29
      }
    }
    for value in [UInt64(UInt32(bitPattern: header.processID)), header.startTime, header.duration] {
      mix(value)
    }
    for byte in header.command.utf8 { mix(UInt64(byte)) }
    hash[0] = hash[0] & ~0xF000 | 0x4000  // version 4
    hash[1] = hash[1] & ~(0b11 << 62) | 0b10 << 62  // variant of RFC 9562
    return hash.map { half in
      let digits = String(half, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  /// The records.
  public func exported() -> [UInt8] {
    var bytes: [UInt8] = []
    write("meta", &bytes) { record in
      record.member("sample_interval_usec", profile.header.period / 1000)
      record.member("mode", "cpu")
      record.member(object: "caduceus") { $0.members(of: profile) }
    }
    writeTable("string_table", "strings", strings.count, &bytes) { index, entry in
      entry.member("str_id", index)
      entry.member("value", strings[index])
    }
    writeTable("frame_table", "frames", rows.count, &bytes) { index, entry in
      entry.member("frame_id", index)
      entry.member("path_str_id", rows[index].path)
      entry.member("func_str_id", rows[index].function)
      entry.member("line", rows[index].line)
    }
    writeTable(
      "agg", "entries", rows.count, &bytes,
      before: { record in
        record.member("kind", "frame")
        record.member("scope", "final")
        record.member("samples_total", samples)
      },
      { index, entry in
        entry.member("frame_id", index)
        entry.member("self", counts[index].own)
        entry.member("cumulative", counts[index].cumulative)
      })
    write("end", &bytes) { $0.member("samples_total", samples) }
    return bytes
  }

  private func write(_ type: String, _ bytes: inout [UInt8], _ fill: (inout JSONWriter) -> Void) {
    var json = JSONWriter()
    json.object { record in
      record.member("type", type)
      record.member("v", 0)
      record.member("run_id", runID)
      fill(&record)
    }
    bytes += json.bytes
    bytes.append(UInt8(ascii: "\n"))
  }

  private func writeTable(
    _ type: String, _ field: String, _ count: Int, _ bytes: inout [UInt8],
    before: (inout JSONWriter) -> Void = { _ in }, _ fill: (Int, inout JSONWriter) -> Void
  ) {
    for start in stride(from: 0, to: count, by: Self.chunk) {
      write(type, &bytes) { record in
        before(&record)
        record.member(list: field) { list in
          for index in start..<min(start + Self.chunk, count) { list.object { fill(index, &$0) } }
        }
      }
    }
  }
}
