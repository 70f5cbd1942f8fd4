// The interactive flame graph in a real browser: what it shows and what each way of using it does.

import FlameGraphSupport
import Foundation
import Profiles
import Testing

@testable import Collectors

/// Each test opens a browser of its own; one after the other, because a browser fills a small machine.
@Suite(
  "Flame graph page", .serialized,
  .enabled(if: Browser.isThere || Python.isRequired, Comment(rawValue: Browser.missing)))
enum FlameGraphPage {}

extension FlameGraphPage {
  /// The page of `EveryLanguage`, in a browser that must not complain until the end.
  static func open(
    _ profile: Profile = EveryLanguage.profile, _ window: Browser.Window = Browser.Window(),
    _ body: (Browser) async throws -> Void
  ) async throws {
    try await Browser.with(page: FlameGraphCollector(profile).exported(), window) { browser in
      try await body(browser)
      #expect(try await browser.consoleMessages() == [])
    }
  }
}

extension FlameGraphPage {
  @Suite("What it shows")
  struct Showing {
    @Test("It opens from disk, says nothing on the console and asks for nothing but itself")
    func opens() async throws {
      try await FlameGraphPage.open { browser in
        let requested = try await browser.requestedAddresses()
        // What is in the page itself, such as its icon, has an address too.
        let outside = requested.filter { !$0.hasPrefix("data:") }
        #expect(outside.count == 1 && outside.allSatisfy { $0.hasPrefix("file:///") }, "\(outside)")
        let state = try await browser.state()
        #expect(state.samples == 2050)
        #expect(state.direction == "callees" && state.root == "bottom" && state.order == "heavy")
        // The browser itself keeps the page from asking for more.
        let script = """
          const done = arguments[0];
          fetch('https://localhost/').then(() => done('asked'), () => done('refused'));
          """
        #expect(try await browser.await(script, as: String.self) == "refused")
        let complaints = try await browser.consoleMessages()
        #expect(complaints.contains { $0.contains("Content Security Policy") })
      }
    }

    @Test("Head, legend and ledger say what the profile says")
    func texts() async throws {
      try await FlameGraphPage.open { browser in
        #expect(try await browser.text(of: "h1") == "python3 fit.py --all")
        let facts = try await browser.text(of: "#facts").replacing("\n", with: " ")
        for fact in [
          "Interpreter CPython 3.13.0", "Samples 2,050", "Rate one per 1000 \u{B5}s of CPU time",
          "Duration 4.20 s", "Date 2025-12-31 23:59:59 UTC",
        ] { #expect(facts.contains(fact), "\(fact) is not in \(facts)") }
        let ledger = try await browser.text(of: "#ledger-lines")
        #expect(
          ledger.hasPrefix(
            "Kept: 2,050 samples, 1,955 whole (95.37%), 95 with a part missing (4.63%): "), "\(ledger)")
        #expect(ledger + "\n" == SamplingSummary(EveryLanguage.profile).ledgerText)
        try await browser.click(element: "#ledger summary")
        let all = try await browser.text(of: "#ledger-all")
        #expect(all.contains("2,050  samples kept") && all.contains("All sums add up."))
        // Self time by language, from the last frame of each stack.
        var sums = Dictionary(uniqueKeysWithValues: FrameLanguage.allCases.map { ($0.identifier, UInt64(0)) })
        for stack in EveryLanguage.stacks {
          sums[(stack.frames.last?.language ?? .marker).identifier, default: 0] += stack.count
        }
        #expect(try await browser.state().languages == sums)
        let legend = try await browser.text(of: "#legend").replacing("\n", with: " ")
        for language in FrameLanguage.allCases {
          let share = Double(sums[language.identifier] ?? 0) / 2050 * 100
          #expect(legend.contains("\(language.legendTitle) \(fixed(share, decimals: 1)) %"))
        }
      }
    }

    @Test("Each box has its language's colour; what is no function is hatched", arguments: [false, true])
    func colors(prefersDark: Bool) async throws {
      let window = Browser.Window(height: 900, prefersDark: prefersDark)
      try await FlameGraphPage.open(EveryLanguage.profile, window) { browser in
        #expect(try await browser.state().theme == (prefersDark ? "dark" : "light"))
        var seen: Set<String> = []
        for box in try await browser.drawn() {
          guard let name = box.language, box.width > 8 else { continue }
          let language = try #require(FrameLanguage.allCases.first { $0.identifier == name })
          seen.insert(name)
          // The right end has no text, and the last row of pixels belongs to no letter.
          let color = try await browser.color(box.x + box.width - 3.5, box.y + 14.5)
          if let stripe = language.color.stripe {
            // Over a whole period of the pattern, both colours and what lies between them.
            var colors: Set<String> = []
            for step in 0..<9 {
              colors.insert(try await browser.color(box.x + box.width - 4 - Double(step), box.y + 14.5))
            }
            #expect(colors.count > 1 && (colors.contains(stripe) || colors.contains(language.color.fill)))
          } else {
            #expect(color == language.color.fill, "\(box.text)")
          }
        }
        #expect(seen.count == FrameLanguage.allCases.count)
      }
    }

    @Test("A box that is nearly as light as the page has an edge, also when it steps back")
    func paleBoxes() async throws {
      try await FlameGraphPage.open { browser in
        for text in ["", "objective"] {
          if !text.isEmpty { try await browser.search(text) }
          for (name, isPale) in [(EveryLanguage.unknown.name, true), (EveryLanguage.fortran.name, false)] {
            let box = try await browser.box(name)
            let inside = try await browser.color(box.x + box.width - 4.5, box.y + 14.5)
            let edge = try await browser.color(box.x + 0.5, box.y + 8.5)
            #expect((edge != inside) == isPale, "\(name), \(text)")
          }
        }
        try await browser.press(.escape)
        try await browser.leaveField()
        try await browser.type("t")
        let box = try await browser.box(EveryLanguage.unknown.name)
        #expect(try await browser.color(box.x + 0.5, box.y + 8.5) == FrameLanguage.native.color.fill)
      }
    }

    @Test("Names with markup and scripts in them stay text")
    func hostileNames() async throws {
      let names = [
        "</script><script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 1'>",
        "\"><svg onload=window.hacked=1>", "'; window.hacked = 1; //", "{{script}}", "<!--",
        "${window.hacked = 1}",
        "a\u{0}b\u{1B}[31m\u{202E}c\nd",
      ]
      let stacks = names.map {
        PictureStack(frames: [.python($0, "/tmp/" + $0, 1), .native(.c, $0, $0)], count: 9)
      }
      var profile = Profile(pictured: stacks, threads: [names[0] + names[1]])
      profile.header.command = names[1] + names[0]
      profile.header.interpreter = names[2]
      try await FlameGraphPage.open(profile) { browser in
        #expect(try await browser.text(of: "h1") == names[1] + names[0])
        #expect(try await browser.text(of: "#facts dd") == names[2])
        for name in names {
          let shown = printable(name)
          let box = try await browser.box(shown, depth: 1)
          try await browser.point(box.middle.x, box.middle.y)
          #expect(try await browser.text(of: "#tip strong") == shown)
          try await browser.click(box)
          #expect(try await browser.text(of: "#details h2") == shown)
          try await browser.press(.escape)
        }
        let option = try await browser.run(
          "return document.querySelector('#threads optgroup option').textContent", as: String.self)
        #expect(option.hasPrefix(names[0] + names[1]))
        #expect(try await browser.run("return window.hacked === undefined", as: Bool.self))
        #expect(try await browser.run("return document.scripts.length", as: Int.self) == 2)
        #expect(try await browser.run("return document.images.length", as: Int.self) == 0)
      }
    }

    @Test("A click shows file, line, module, language, self and total, samples and CPU time")
    func details() async throws {
      try await FlameGraphPage.open { browser in
        func details() async throws -> [String] {
          try await browser.run(
            "return [...document.querySelectorAll('#details dl div')].map((fact) => fact.innerText.replace('\\n', ' '))"
          )
        }
        try await browser.click(browser.box("objective", depth: 6))
        #expect(
          try await details() == [
            "Language Python", "File /srv/work/fit.py", "Line 14", "Defined at line 1",
            "Here 600 samples, 600.00 ms, 29.3 % of all shown", "Self here 120 samples, 120.00 ms, 5.9 %",
            "Function in all 660 samples, 660.00 ms, 32.2 %", "its self 180 samples, 180.00 ms, 8.8 %",
          ])
        // Of a recursion every sample counts once.
        try await browser.click(browser.box("curvefit_residual", depth: 5))
        #expect(
          try await details() == [
            "Language C", "Module /srv/work/curvefit.so", "Here 655 samples, 655.00 ms, 32.0 % of all shown",
            "Self here 55 samples, 55.00 ms, 2.7 %", "Function in all 725 samples, 725.00 ms, 35.4 %",
            "its self 605 samples, 605.00 ms, 29.5 %",
          ])
        #expect(
          try await browser.text(of: "#announcement")
            == "curvefit_residual, curvefit.so, C, 655 samples, 32.0 %, level 5")
      }
    }

    @Test("On a fine screen the canvas has the screen's own pixels", arguments: [1.0, 1.5, 2.0, 3.0])
    func resolution(ratio: Double) async throws {
      let window = Browser.Window(pixelRatio: ratio)
      try await FlameGraphPage.open(EveryLanguage.profile, window) { browser in
        let script = """
          const canvas = document.getElementById('canvas'), graph = document.getElementById('graph');
          return [canvas.width / graph.clientWidth, canvas.height / graph.clientHeight]
          """
        let ratios = try await browser.run(script, as: [Double].self)
        #expect(ratios.allSatisfy { abs($0 - ratio) < 0.005 })
      }
    }

    @Test("A recorded run's graph opens too", arguments: Recorded.names)
    func recorded(name: String) async throws {
      let profile = try #require(try Recorded.profile(name))
      try await FlameGraphPage.open(profile) { browser in
        let samples = profile.samples.reduce(0) { $0 + $1.count }
        #expect(try await browser.state().samples == samples)
        let names = Set(profile.frames.map { printable(profile[$0.name]) }).union([FlameTree.noFrames])
        let drawn = Set(try await browser.drawn().compactMap(\.name))
        #expect(!drawn.isEmpty && drawn.isSubset(of: names))
      }
    }
  }
}
