// The markers of a Firefox Profiler profile: what was lost, and where stacks are not whole.

import Accounting
import Profiles

/// Markers of one thread; each covers a time.
struct GeckoMarkers {
  private enum Kind: String {
    /// Samples that are not in the profile.
    case loss = "Loss"
    /// Samples whose stack is not whole.
    case doubt = "Doubt"
  }

  private struct Marker {
    let kind: Kind
    let text: String
    /// Nanoseconds since the start.
    let start: UInt64
    var end: UInt64
    /// What was lost, or the samples that are covered.
    var count: UInt64
  }

  private var markers: [Marker] = []
  /// Whether the last marker may grow.
  private var isOpen = false

  init() {}

  /// Every loss of the ledger. Its moment is not known.
  init(lossesOf profile: Profile) {
    let ledger = profile.ledger
    var losses: [(String, UInt64)] = [
      ("samples lost: no room in the ring", ledger.ringFull),
      ("samples lost: output failed", ledger.outputErrors),
    ]
    losses += DropCause.allCases.map { ("samples dropped: \($0.explanation)", ledger[dropped: $0]) }
    losses += [
      ("notices of mappings, forks or exits lost", ledger.kernelLostSideband),
      ("records of names lost", ledger.kernelLostNames),
      ("records that came after younger ones", ledger.lateRecords),
      ("threads that could not be opened", ledger.unopenedThreads),
      ("periods in which the kernel had throttled sampling", ledger.throttled),
    ]
    markers = losses.filter { $0.1 > 0 }.map {
      Marker(kind: .loss, text: $0.0, start: 0, end: profile.header.duration, count: $0.1)
    }
  }

  static func + (left: GeckoMarkers, right: GeckoMarkers) -> GeckoMarkers {
    var sum = left
    sum.markers += right.markers
    return sum
  }

  /// The next sample of the thread has this mark; the empty text is none.
  mutating func extend(_ text: String, to time: UInt64, period: UInt64) {
    guard !text.isEmpty else {
      isOpen = false
      return
    }
    if isOpen, let last = markers.indices.last, ExactString(markers[last].text) == ExactString(text) {
      markers[last].end = time + period
      markers[last].count += 1
    } else {
      markers.append(Marker(kind: .doubt, text: text, start: time, end: time + period, count: 1))
      isOpen = true
    }
  }

  func write(_ strings: inout GeckoStrings, _ table: inout JSONWriter) {
    table.member("length", markers.count)
    table.member(list: "name") { list in
      for marker in markers { list.value(strings.position(of: marker.kind.rawValue)) }
    }
    table.member(list: "startTime") { list in markers.forEach { list.milliseconds($0.start) } }
    table.member(list: "endTime") { list in markers.forEach { list.milliseconds($0.end) } }
    // 1 is an interval.
    table.member(list: "phase", repeating: { $0.value(1) }, count: markers.count)
    table.member(
      list: "category", repeating: { $0.value(GeckoCategory.position(of: .marker)) }, count: markers.count)
    table.member(list: "data") { list in
      for marker in markers {
        list.object { data in
          data.member("type", marker.kind.rawValue)
          data.member("what", marker.text)
          data.member("count", marker.count)
        }
      }
    }
  }

  static func writeSchemas(_ list: inout JSONWriter) {
    let schemas: [(Kind, String)] = [
      (
        .loss, "What was lost in the run. The moment of a loss is not known: the marker covers the whole run."
      ),
      (.doubt, "Samples of which a part of the stack is missing or not proven."),
    ]
    for (kind, description) in schemas {
      list.object { schema in
        schema.member("name", kind.rawValue)
        schema.member("description", description)
        for label in ["tooltipLabel", "chartLabel", "tableLabel"] {
          schema.member(label, "{marker.data.what} ({marker.data.count})")
        }
        schema.member(list: "display") { display in
          for place in ["marker-chart", "marker-table", "timeline-overview"] { display.value(place) }
        }
        schema.member(list: "fields") { fields in
          for (key, label, format) in [("what", "What", "string"), ("count", "Number", "integer")] {
            fields.object { field in
              field.member("key", key)
              field.member("label", label)
              field.member("format", format)
            }
          }
        }
      }
    }
  }
}
