// What a reader can do with the flame graph, against the stacks themselves.

import FlameGraphSupport
import Foundation
import Profiles
import Testing

@testable import Collectors

extension FlameGraphPage {
  @Suite("What can be done")
  struct Using {
    @Test("A click zooms, Escape and Backspace go out step by step, Home shows everything")
    func zoom() async throws {
      try await FlameGraphPage.open { browser in
        let before = try await browser.box("main")
        try await browser.click(before)
        #expect(try await browser.state().zoomed.name == "main")
        let width = try await browser.run(
          "return document.getElementById('graph').clientWidth", as: Double.self)
        #expect(try await browser.box("main").width == width)
        let residual = try await browser.box("curvefit_residual", depth: 5)
        #expect(abs(residual.width / width - 655.0 / 1815.0) < 1e-9)
        try await browser.click(residual)
        #expect(try await browser.state().zoomed.depth == 5)
        // Callers stay as rows of the whole width, what is beside them goes.
        let rest = try await browser.drawn()
        #expect(rest.prefix { ($0.depth ?? 0) <= 5 }.map(\.width) == Array(repeating: width, count: 6))
        #expect(!rest.contains { $0.name == "dgemv_" })
        try await browser.press(.escape)
        #expect(try await browser.state().zoomed.name == "main")
        try await browser.press(.backspace)
        #expect(try await browser.state().zoomed.depth == 0)
        #expect(try await browser.box("main").width == before.width)
        try await browser.click(residual)
        try await browser.search("objective")
        try await browser.press(.enter, .home)
        let state = try await browser.state()
        #expect(state.zoomed.depth == 0 && state.search.typed == "" && state.search.matchedSamples == nil)
      }
    }

    @Test("Search: text, expressions, the matched share; a broken expression says so")
    func search() async throws {
      let reference = ReferenceTree(EveryLanguage.stacks)
      try await FlameGraphPage.open { browser in
        try await browser.search("OBJECT")
        var state = try await browser.state()
        #expect(!state.search.isPattern)
        #expect(state.search.matchedSamples == reference.matched { $0.lowercased().contains("object") })
        #expect(try await browser.text(of: "#matched") == "40.5 % matched")
        let matches = try await browser.drawn().filter { $0.isMatch == true }.compactMap(\.name)
        #expect(Set(matches) == ["objective", "_PyObject_GC_New"])
        // What is not looked for steps back; what is keeps its colour.
        let objective = try await browser.box("objective", depth: 6)
        #expect(try await browser.color(objective.x + objective.width - 4.5, objective.y + 13.5) == "#EABD41")
        let main = try await browser.box("main")
        #expect(try await browser.color(main.x + main.width - 4.5, main.y + 13.5) != "#EABD41")

        try await browser.search("/^(dgemv_|polars.*filter) /")
        state = try await browser.state()
        #expect(state.search.isPattern && state.search.matchedSamples == 320)
        // A file, with a line, is found too.
        try await browser.search("fit.py:31")
        #expect(try await browser.state().search.matchedSamples == 350)
        try await browser.search("/objec(/")
        state = try await browser.state()
        #expect(state.search.problem != nil && state.search.matchedSamples == nil)
        #expect(try await browser.text(of: "#matched") == "not a regular expression")
        try await browser.search("/OBJECTIVE/")
        #expect(try await browser.state().search.matchedSamples == 0)
        try await browser.search("/OBJECTIVE/gi")
        #expect(try await browser.state().search.matchedSamples == 660)
        try await browser.press(.escape)
        #expect(try await browser.state().search.typed == "")
      }
    }

    @Test("Every view of random stacks is what the stacks say", arguments: [11, 12, 13] as [UInt64])
    func views(seed: UInt64) async throws {
      var random = RandomStacks(seed: seed)
      let stacks = random.stacks(60, threads: 3, deepest: 9)
      let profile = Profile(pictured: stacks, threads: ["a", "b", "c"])
      let window = Browser.Window(width: 3000, height: 1200)
      try await FlameGraphPage.open(profile, window) { browser in
        func check(_ reference: ReferenceTree, _ label: Comment) async throws {
          #expect(try await browser.drawnTree() == reference.callees, label)
          try await browser.search("c1")
          let matched = reference.matched { $0.hasPrefix("c1") }
          #expect(try await browser.state().search.matchedSamples == matched, label)
          try await browser.press(.escape, .escape)
          try await browser.type("i")
          #expect(try await browser.state().direction == "callers")
          #expect(try await browser.drawnTree() == reference.callers, label)
          try await browser.search("c1")
          #expect(try await browser.state().search.matchedSamples == matched, label)
          try await browser.press(.escape, .escape)
          // A box of the first row is a running function: its callers, recursion included.
          let box = try await browser.box("p1")
          try await browser.click(box)
          try await browser.type("c")
          let callers = reference.callers { $0.hasPrefix("p1 /a/p.py of \(box.firstLine ?? -1)") }
          #expect(try await browser.state().callersOf == "p1")
          #expect(try await browser.drawnTree() == callers, label)
          try await browser.type("i")
          #expect(try await browser.state().direction == "callees")
        }
        try await check(ReferenceTree(stacks), "all")
        var merged: Set<String> = []
        for name in ["lines", "kernel", "interpreter", "native"] {
          try await browser.click(element: "#merge-\(name)")
          merged.insert(name)
          try await check(ReferenceTree(stacks, merge: merged), "merged \(merged.sorted())")
        }
        try await browser.click(element: "#threads option[value='thread 1']")
        try await check(ReferenceTree(stacks, thread: 1, merge: merged), "thread 1")
        try await browser.click(element: "#merge-native")
        try await check(
          ReferenceTree(stacks, thread: 1, merge: merged.subtracting(["native"])), "thread 1, native")
      }
    }

    @Test("Threads: names, numbers of samples, and what is left of the graph")
    func threads() async throws {
      try await FlameGraphPage.open { browser in
        let options = try await browser.run(
          "return [...document.querySelectorAll('#threads option')].map((option) => option.textContent)",
          as: [String].self)
        #expect(
          options == [
            "all (3)", "python3 4242: 1,865 samples", "pool-1 4243: 130 samples",
            "worker <2> 4244: 55 samples",
          ])
        try await browser.click(element: "#threads option[value='thread 1']")
        let state = try await browser.state()
        #expect(state.samples == 130 && state.languages["native"] == 45 && state.languages["kernel"] == 85)
        #expect(try await browser.drawnTree() == ReferenceTree(EveryLanguage.stacks, thread: 1).callees)
      }
    }

    @Test("Order: the heaviest left, or by name")
    func order() async throws {
      try await FlameGraphPage.open { browser in
        func children() async throws -> [DrawnBox] {
          let boxes = try await browser.drawn()
          return boxes.filter { $0.depth == 3 && $0.parent.map { boxes[$0].name == "main" } == true }
        }
        let heavy = try await children()
        #expect(heavy.map(\.x) == heavy.map(\.x).sorted())
        #expect(heavy.map { $0.samples ?? 0 } == heavy.map { $0.samples ?? 0 }.sorted(by: >))
        try await browser.click(element: "#order option[value='name']")
        let named = try await children()
        #expect(
          named.compactMap(\.name)
            == heavy.compactMap(\.name).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        #expect(Set(named.map(\.text)) == Set(heavy.map(\.text)))
        try await browser.leaveField()
        try await browser.type("o")
        #expect(try await browser.state().order == "heavy")
      }
    }

    @Test("Keys: arrows, Enter, flip, search, help, theme; the selection is seen and said")
    func keyboard() async throws {
      try await FlameGraphPage.open { browser in
        // The root is at the bottom: up leads away from it.
        try await browser.press(.up)
        #expect(try await browser.state().selected.name == "<module>")
        #expect(try await browser.run("return document.activeElement.id", as: String.self) == "graph")
        #expect(
          try await browser.text(of: "#announcement")
            == "<module>, fit.py:45, Python, 1,825 samples, 89.0 %, level 1")
        try await browser.press(.right)
        #expect(try await browser.state().selected.name == "libsecret.so+0x1f40")
        try await browser.press(.right, .left, .left)
        #expect(try await browser.state().selected.name == "<module>")
        try await browser.press(.up, .up)
        let selected = try await browser.drawn().filter { $0.isSelected == true }
        #expect(selected.map(\.name) == ["fit_all"] && selected.map(\.line) == [30])
        // The outline: text colour, then background, then the box.
        let box = selected[0]
        #expect(try await browser.color(box.x + 100.5, box.y + 0.5) == "#1A1A1A")
        try await browser.press(.enter)
        #expect(try await browser.state().zoomed.name == "fit_all")
        try await browser.press(.down, .enter)
        #expect(try await browser.state().zoomed.name == "main")
        try await browser.press(.escape, .escape)
        #expect(try await browser.state().zoomed.depth == 0)

        try await browser.type("f")
        #expect(try await browser.state().root == "top")
        let boxes = try await browser.drawn()
        #expect(boxes.map(\.y) == boxes.map(\.y).sorted())
        try await browser.press(.down, .down)
        #expect(try await browser.state().selected.name == "main")
        try await browser.press(.up)
        #expect(try await browser.state().selected.name == "<module>")
        // The mouse finds its boxes there too.
        try await browser.click(browser.box("dgemv_"))
        #expect(try await browser.state().zoomed.name == "dgemv_")
        try await browser.press(.home)

        try await browser.search("objective")
        #expect(try await browser.run("return document.activeElement.id", as: String.self) == "search")
        try await browser.press(.enter)
        #expect(try await browser.state().selected.name == "objective")
        let first = try await browser.state().selected
        try await browser.type("n")
        #expect(try await browser.state().selected != first)
        try await browser.type("n")
        #expect(try await browser.state().selected == first)

        let isOpen = "return document.getElementById('help').open"
        try await browser.type("?")
        #expect(try await browser.run(isOpen, as: Bool.self))
        try await browser.type("i")
        #expect(try await browser.state().direction == "callees")
        try await browser.press(.escape)
        #expect(try await !browser.run(isOpen, as: Bool.self))

        try await browser.type("t")
        #expect(try await browser.state().theme == "dark")
        try await browser.type("t")
        #expect(try await browser.state().theme == "light")
      }
    }

    @Test("Every control can be reached with the tabulator and has a name")
    func accessibility() async throws {
      try await FlameGraphPage.open { browser in
        let script = """
          const all = [...document.querySelectorAll('button, input, select, summary, [tabindex]')]
            .filter((element) => element.checkVisibility());
          return all.filter((element) => element.tabIndex < 0 || !(element.getAttribute('aria-label')
            || element.textContent.trim() || element.labels?.length)).map((element) => element.outerHTML);
          """
        let unreachable = try await browser.run(script, as: [String].self)
        #expect(unreachable == [])
        #expect(
          try await browser.run("return document.getElementById('graph').role", as: String.self)
            == "application")
        #expect(
          try await browser.run("return document.getElementById('announcement').ariaLive", as: String.self)
            == "polite")
      }
    }

    @Test("Stacks deeper than the window scroll, and the zoomed box is in sight")
    func deep() async throws {
      let frames = (0..<3000).map { PictureFrame.python("f\($0)", "/a.py", Int32($0)) }
      let stacks = [
        PictureStack(frames: frames, count: 5), PictureStack(frames: Array(frames.prefix(1500)), count: 5),
      ]
      try await FlameGraphPage.open(Profile(pictured: stacks)) { browser in
        #expect(try await browser.state().rows == 3001)
        #expect(try await browser.drawn().first?.depth == 0)
        _ = try await browser.run("document.getElementById('graph').scrollTop = 0; return 1", as: Int.self)
        let leaf = try await browser.box("f2999")
        #expect(leaf.width < 700)
        try await browser.click(leaf)
        let shown = try await browser.drawn()
        #expect(shown.contains { $0.name == "f2999" && $0.width > 1000 })
        try await browser.press(.home)
        #expect(try await browser.drawn().first?.depth == 0)
      }
    }
  }

  @Suite("How it looks and how fast it is")
  struct Looking {
    /// Where pictures are kept for whoever wants to look at them.
    private static let pictures = ProcessInfo.processInfo.environment["CADUCEUS_PICTURES"]

    @Test(
      "On wide and narrow windows, light and dark, nothing is wider than the window",
      arguments: [
        (1600, 900, 1.0), (1366, 700, 1.0), (1024, 600, 2.0), (480, 800, 2.0), (360, 640, 3.0),
      ])
    func windows(width: Int, height: Int, ratio: Double) async throws {
      for isDark in [false, true] {
        let window = Browser.Window(width: width, height: height, pixelRatio: ratio, prefersDark: isDark)
        try await FlameGraphPage.open(EveryLanguage.profile, window) { browser in
          let page = try await browser.run(
            "return [document.documentElement.scrollWidth, innerWidth]", as: [Int].self)
          #expect(page[0] <= page[1])
          let graph = try await browser.run(
            "return document.getElementById('graph').getBoundingClientRect().height", as: Double.self)
          #expect(graph >= 130)
          // On a small laptop's screen the graph has half of it.
          if (width, height) == (1024, 600) { #expect(graph >= 290) }
          let picture = try await browser.screenshot()
          #expect(picture.starts(with: [0x89] + Array("PNG".utf8)))
          if let folder = Self.pictures {
            let name = "page-\(width)x\(height)-\(isDark ? "dark" : "light").png"
            try picture.write(to: URL(fileURLWithPath: folder + "/" + name))
          }
        }
      }
    }

    @Test("The picture opens in a browser, without a complaint and without a script")
    func picture() async throws {
      let folder = try TemporaryFolder()
      let file = folder.path + "/picture.svg"
      try FlameGraphPictureCollector(EveryLanguage.profile).export(to: file)
      try await Browser.with(file: file, Browser.Window(width: 1220, height: 420)) { browser in
        #expect(try await browser.run("return document.documentElement.nodeName", as: String.self) == "svg")
        #expect(try await browser.run("return document.scripts.length", as: Int.self) == 0)
        #expect(try await browser.consoleMessages() == [])
        // Where the eye finds a box, its title is.
        let script = """
          return [...document.querySelectorAll('svg.box')].filter((box) => {
            const area = box.getBoundingClientRect();
            if (area.width < 2) return false;
            const seen = document.elementFromPoint(area.x + area.width / 2, area.y + area.height / 2);
            return seen === null || seen.closest('svg.box') !== box;
          }).length;
          """
        #expect(try await browser.run(script, as: Int.self) == 0)
        if let folder = Self.pictures {
          try await browser.screenshot().write(to: URL(fileURLWithPath: folder + "/picture.png"))
        }
      }
    }

    /// How long it takes is what the benchmarks print.
    @Test("A hundred thousand nodes can be shown, zoomed, inverted and searched")
    func large() async throws {
      let profile = RandomStacks.large(nodes: 110_000)
      #expect(FlameTree(profile).frames.count >= 100_000)
      try await FlameGraphPage.open(profile) { browser in
        let samples = profile.samples.reduce(0) { $0 + $1.count }
        #expect(try await browser.state().samples == samples)
        let boxes = try await browser.drawn().filter { $0.isStrip != true && $0.depth ?? 0 > 0 }
        #expect(boxes.count > 500)
        let widest = try #require(boxes.max { $0.width < $1.width })
        try await browser.click(widest)
        #expect(try await browser.state().zoomed.name == widest.name)
        try await browser.press(.escape)
        try await browser.type("i")
        #expect(try await browser.state().direction == "callers")
        try await browser.search("module_1")
        let matched = try #require(try await browser.state().search.matchedSamples)
        #expect(matched > 0 && matched < samples)
        let times = try await browser.times()
        #expect(times.firstPaint > 0 && times.update > 0 && times.paint >= times.update)
      }
    }
  }
}
