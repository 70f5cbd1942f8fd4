// What the page's `window.caduceus` tells, as Swift values, and the ways a reader uses the page.

/// `caduceus.state()`.
package struct PageState: Decodable {
  package struct Box: Decodable, Equatable {
    package let name: String?
    package let file: String?
    package let line: Int?
    package let language: String?
    package let samples: UInt64
    package let depth: Int
  }

  package struct Search: Decodable {
    package let typed: String
    package let isPattern: Bool
    package let problem: String?
    package let matchedSamples: UInt64?
  }

  package let direction: String
  package let callersOf: String?
  package let root: String
  package let order: String
  package let threads: String
  package let merge: [String: Bool]
  package let theme: String
  package let samples: UInt64
  package let zoomed: Box
  package let selected: Box
  package let search: Search
  package let rows: Int
  package let languages: [String: UInt64]
}

/// One entry of `caduceus.drawn()`.
package struct DrawnBox: Decodable {
  package let isStrip: Bool?
  package let name: String?
  package let file: String?
  package let line: Int?
  package let firstLine: Int?
  package let language: String?
  package let samples: UInt64?
  package let depth: Int?
  package let parent: Int?
  package let x, y, width, height: Double
  package let isMatch: Bool?
  package let isSelected: Bool?

  /// Where a click hits it.
  package var middle: (x: Double, y: Double) { (x + width / 2, y + height / 2) }
}

/// `caduceus.timings()` when all is painted, in milliseconds.
package struct PageTimes: Decodable {
  /// From the opening of the page on.
  package let firstPaint: Double
  /// Of the last change: its script alone, and all until it was painted.
  package let update, paint: Double
}

extension Browser {
  /// What the page shows.
  package func state() async throws -> PageState { try await run("return caduceus.state()") }

  /// All boxes that are drawn.
  package func drawn() async throws -> [DrawnBox] { try await run("return caduceus.drawn()") }

  /// What the last change took, once it is painted.
  package func times() async throws -> PageTimes {
    let script = """
      const done = arguments[0];
      const look = () => {
        const timings = caduceus.timings();
        if (timings.paint !== null && timings.firstPaint !== null) done(timings);
        else setTimeout(look, 5);
      };
      look();
      """
    return try await self.await(script)
  }

  /// Clicks in the middle of a box.
  package func click(_ box: DrawnBox) async throws { try await click(box.middle.x, box.middle.y) }

  /// Types into the search field; the key that leads there selects what is in it.
  package func search(_ text: String) async throws {
    try await leaveField()
    try await type("/" + text)
  }

  /// Keys go to the page again, not to the field that has the focus.
  package func leaveField() async throws {
    _ = try await run("document.activeElement.blur(); return true", as: Bool.self)
  }

  /// The text of the first element that the selector finds, as it is seen.
  package func text(of selector: String) async throws -> String {
    try await run("return document.querySelector('\(selector)').innerText")
  }

  /// The colour of a pixel of the canvas at a place of the window, as `#RRGGBB`.
  package func color(_ x: Double, _ y: Double) async throws -> String {
    let script = """
      const canvas = document.getElementById('canvas'), area = canvas.getBoundingClientRect();
      const scale = canvas.width / area.width;
      // By way of a copy: the page's own canvas is not made for being read.
      const copy = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
      copy.drawImage(canvas, Math.floor((\(x) - area.left) * scale), Math.floor((\(y) - area.top) * scale), 1, 1, 0, 0, 1, 1);
      const at = copy.getImageData(0, 0, 1, 1);
      return '#' + [...at.data].slice(0, 3).map((value) => value.toString(16).padStart(2, '0')).join('').toUpperCase();
      """
    return try await run(script)
  }
}
