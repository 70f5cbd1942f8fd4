// The second part of the printed table: three short lists of functions worth a look.

extension StatsTable {
  /// The three lists, from the rows shown, the lines of one function added up.
  var summary: String {
    let functions = Self.merge(
      rows.map { row in
        Row(
          file: row.file, line: nil, name: row.name, direct: row.direct, cumulative: row.cumulative,
          total: row.total, cumulativeTotal: row.cumulativeTotal)
      })
    return "\n" + paint.heading("Summary of Interesting Functions:") + "\n"
      + hotSpots(functions) + indirectCalls(functions) + callMagnification(functions)
  }

  /// The first three by `key`; of these, the ones that `describe` has words for.
  private func section(
    _ title: String, _ functions: [Row], by key: (Row) -> Double, _ describe: (Row) -> String?
  ) -> String {
    var text = "\n" + paint.heading(title + ":") + "\n"
    for row in Self.stablySorted(functions, by: key).prefix(3) {
      if let words = describe(row) { text += "  \(words): \(paint.function(row))\n" }
    }
    return text
  }

  private func hotSpots(_ functions: [Row]) -> String {
    func ratio(_ row: Row) -> Double {
      row.cumulative > 0 ? Double(row.direct) / Double(row.cumulative) : 0
    }
    return section(
      "Functions with Highest Direct/Cumulative Ratio (Hot Spots)", functions, by: ratio
    ) { row in
      guard row.direct > 0, row.cumulative > 0 else { return nil }
      let share = fixed(percent(row.direct, of: totalSamples), decimals: 1)
      return "\(fixed(ratio(row), decimals: 3)) direct/cumulative ratio, \(share)% direct samples"
    }
  }

  private func indirectCalls(_ functions: [Row]) -> String {
    section(
      "Functions with Highest Call Frequency (Indirect Calls)", functions,
      by: { Double($0.cumulative) - Double($0.direct) },
      { row in
        guard row.cumulative > row.direct else { return nil }
        let share = fixed(percent(row.cumulative, of: totalSamples), decimals: 1)
        return "\(row.cumulative - row.direct) indirect calls, \(share)% total stack presence"
      })
  }

  private func callMagnification(_ functions: [Row]) -> String {
    func factor(_ row: Row) -> Double { row.direct > 0 ? Double(row.cumulative) / Double(row.direct) : 0 }
    return section(
      "Functions with Highest Call Magnification (Cumulative/Direct)", functions, by: factor
    ) { row in
      guard row.direct > 0, row.cumulative > row.direct else { return nil }
      let calls = "\(row.cumulative - row.direct) indirect calls from \(row.direct) direct"
      return "\(fixed(factor(row), decimals: 1))x call magnification, \(calls)"
    }
  }
}
