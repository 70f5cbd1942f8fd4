// A real Chromium without a window, driven by chromedriver over WebDriver, as W3C describes it.

import Foundation
import TestSupport

/// What the browser did not do.
package struct BrowserError: Error, CustomStringConvertible {
  package let description: String
}

/// One browser with one page. Everything it writes is in a folder of its own.
package actor Browser {
  /// Keys without a character (WebDriver, section 17.4.2).
  package enum Key: String {
    case backspace = "\u{E003}"
    case enter = "\u{E007}"
    case shift = "\u{E008}"
    case escape = "\u{E00C}"
    case home = "\u{E011}"
    case left = "\u{E012}"
    case up = "\u{E013}"
    case right = "\u{E014}"
    case down = "\u{E015}"
  }

  /// Size and surroundings of the page.
  package struct Window {
    package var width: Int
    package var height: Int
    package var pixelRatio: Double
    package var prefersDark: Bool

    /// A window of a laptop, but for what is said.
    package init(width: Int = 1366, height: Int = 768, pixelRatio: Double = 1, prefersDark: Bool = false) {
      (self.width, self.height) = (width, height)
      (self.pixelRatio, self.prefersDark) = (pixelRatio, prefersDark)
    }
  }

  private static let driver: String? = find("chromedriver")
  private static let browser: String? = find("chromium") ?? find("google-chrome")
  /// Whether a browser and its driver are installed.
  package static let isThere = driver != nil && browser != nil
  /// What to say where they are not.
  package static let missing = "there is no Chromium with its driver (Debian: chromium, chromium-driver)"

  private let folder: TemporaryFolder
  private let process: Process
  private let lifeline = Pipe()
  private let ended: AsyncStream<Never>
  private let port: UInt16
  private var session = ""

  /// Opens `page` in a browser of its own, gives it to `body`, and ends the browser.
  package static func with(
    page: [UInt8], _ window: Window = Window(), _ body: (Browser) async throws -> Void
  ) async throws {
    let folder = try TemporaryFolder()
    try await with(file: folder.write(page, as: "page.html"), window, body)
  }

  /// The same for a file that is there.
  package static func with(
    file: String, _ window: Window = Window(), _ body: (Browser) async throws -> Void
  ) async throws {
    let browser = try Browser(TemporaryFolder())
    do {
      try await browser.start(window)
      try await browser.open(file)
      try await body(browser)
    } catch {
      await browser.end()
      throw error
    }
    await browser.end()
  }

  private init(_ folder: TemporaryFolder) throws {
    guard let driver = Self.driver else { throw BrowserError(description: "no chromedriver") }
    self.folder = folder
    process = Process()
    // Ends when the other end of the pipe does, which it also does when the tests crash. The threads that start
    // processes here block SIGTERM, and their children inherit that.
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", #""$0" --port=0 & driver=$!; read -r _; kill -9 $driver"#, driver]
    process.standardInput = lifeline
    let (ended, ending) = AsyncStream.makeStream(of: Never.self)
    self.ended = ended
    process.terminationHandler = { _ in ending.finish() }
    var environment = ProcessInfo.processInfo.environment
    for name in ["HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] { environment[name] = folder.path }
    process.environment = environment
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    var text = ""
    var port: UInt16?
    while port == nil {
      let data = output.fileHandleForReading.availableData
      if data.isEmpty { throw BrowserError(description: "chromedriver did not start: \(text)") }
      text += String(decoding: data, as: UTF8.self)
      port = text.firstMatch(of: /started successfully on port (\d+)\./).flatMap { UInt16($0.1) }
    }
    self.port = port ?? 0
  }

  private func start(_ window: Window) async throws {
    var arguments = [
      "--headless=new", "--disable-dev-shm-usage", "--no-first-run",
      "--user-data-dir=\(folder.path)/browser", "--window-size=\(window.width),\(window.height)",
      // A browser at the end of a pipe ends with its driver, however that ends.
      "--remote-debugging-pipe",
    ]
    // Chromium's sandbox refuses to run as root.
    if geteuid() == 0 { arguments.append("--no-sandbox") }
    let capabilities: [String: Any] = [
      "browserName": "chrome",
      "goog:chromeOptions": ["binary": Self.browser ?? "", "args": arguments],
      "goog:loggingPrefs": ["browser": "ALL", "performance": "ALL"],
    ]
    let answer = try send("POST", "/session", ["capabilities": ["alwaysMatch": capabilities]])
    guard let value = answer as? [String: Any], let identifier = value["sessionId"] as? String else {
      throw BrowserError(description: "no session: \(answer)")
    }
    session = "/session/\(identifier)"
    try await resize(window)
  }

  private func end() async {
    if !session.isEmpty { _ = try? send("DELETE", session, nil) }
    try? lifeline.fileHandleForWriting.close()
    // Not by `waitUntilExit`: that would keep one of the few threads busy all the while.
    for await _ in ended {}
  }

  /// Size, pixel ratio and preferred colours, by Chromium's devtools.
  package func resize(_ window: Window) async throws {
    try await devtools(
      "Emulation.setDeviceMetricsOverride",
      [
        "width": window.width, "height": window.height, "deviceScaleFactor": window.pixelRatio,
        "mobile": false,
      ])
    try await devtools(
      "Emulation.setEmulatedMedia",
      [
        "features": [["name": "prefers-color-scheme", "value": window.prefersDark ? "dark" : "light"]]
      ])
  }

  private func devtools(_ command: String, _ parameters: [String: Any]) async throws {
    let body: [String: Any] = ["cmd": command, "params": parameters]
    _ = try send("POST", session + "/goog/cdp/execute", body)
  }

  private func open(_ file: String) async throws {
    // What the browser's own first page asked for is not of interest.
    _ = try log("performance")
    _ = try send("POST", session + "/url", ["url": URL(fileURLWithPath: file).absoluteString])
  }

  /// The value of a script's `return`.
  package func run<Value: Decodable>(_ script: String, as type: Value.Type = Value.self) async throws -> Value
  {
    let answer = try send("POST", session + "/execute/sync", ["script": script, "args": [Any]()])
    return try decoded(answer)
  }

  /// What a script hands to the function that is its last argument.
  package func await<Value: Decodable>(_ script: String, as type: Value.Type = Value.self) async throws
    -> Value
  {
    let answer = try send("POST", session + "/execute/async", ["script": script, "args": [Any]()])
    return try decoded(answer)
  }

  private func decoded<Value: Decodable>(_ answer: Any) throws -> Value {
    let data = try JSONSerialization.data(withJSONObject: answer, options: [.fragmentsAllowed])
    return try JSONDecoder().decode(Value.self, from: data)
  }

  /// Presses and releases keys, one after the other.
  package func press(_ keys: Key...) async throws { try await type(keys.map(\.rawValue).joined()) }

  /// Types characters, one after the other.
  package func type(_ text: String) async throws {
    let strokes = text.map { key in
      ["keyDown", "keyUp"].map { ["type": $0, "value": String(key)] }
    }
    try await perform(["type": "key", "id": "keyboard", "actions": strokes.flatMap(\.self)])
  }

  /// Moves the mouse to a place of the window.
  package func point(_ x: Double, _ y: Double) async throws {
    try await perform(["type": "pointer", "id": "mouse", "actions": [move(x, y)]])
  }

  /// Clicks at a place of the window.
  package func click(_ x: Double, _ y: Double) async throws {
    let actions: [[String: Any]] = [
      move(x, y), ["type": "pointerDown", "button": 0], ["type": "pointerUp", "button": 0],
    ]
    try await perform(["type": "pointer", "id": "mouse", "actions": actions])
  }

  private func move(_ x: Double, _ y: Double) -> [String: Any] {
    ["type": "pointerMove", "duration": 0, "x": Int(x), "y": Int(y), "origin": "viewport"]
  }

  private func perform(_ source: [String: Any]) async throws {
    _ = try send("POST", session + "/actions", ["actions": [source]])
  }

  /// Clicks an element as a user does; it must be visible.
  package func click(element selector: String) async throws {
    let found = try send(
      "POST", session + "/element", ["using": "css selector", "value": selector])
    guard let reference = (found as? [String: Any])?.values.first as? String else {
      throw BrowserError(description: "no element \(selector)")
    }
    _ = try send("POST", session + "/element/\(reference)/click", [String: Any]())
  }

  /// Messages of the console since the last call, warnings and errors of the browser itself included.
  package func consoleMessages() async throws -> [String] {
    try log("browser").compactMap { $0["message"] as? String }
  }

  /// Addresses the page asked for since the last call.
  package func requestedAddresses() async throws -> [String] {
    try log("performance").compactMap { entry in
      guard let text = entry["message"] as? String,
        let event = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
        let message = event["message"] as? [String: Any],
        message["method"] as? String == "Network.requestWillBeSent",
        let parameters = message["params"] as? [String: Any],
        let request = parameters["request"] as? [String: Any]
      else { return nil }
      return request["url"] as? String
    }
  }

  private func log(_ name: String) throws -> [[String: Any]] {
    try send("POST", session + "/se/log", ["type": name]) as? [[String: Any]] ?? []
  }

  /// The page as a PNG file.
  package func screenshot() async throws -> Data {
    let answer = try send("GET", session + "/screenshot", nil)
    guard let text = answer as? String, let data = Data(base64Encoded: text) else {
      throw BrowserError(description: "no picture")
    }
    return data
  }

  /// One command. The answer's value, or the error that WebDriver names.
  @discardableResult
  private func send(_ method: String, _ path: String, _ body: [String: Any]?) throws -> Any {
    let content = try body.map { try JSONSerialization.data(withJSONObject: $0) } ?? Data()
    let data = try LocalRequest(port: port, method: method, path: path, body: content).answer()
    let answer = try JSONSerialization.jsonObject(with: data) as? [String: Any]
    let value = answer?["value"] ?? NSNull()
    if let problem = value as? [String: Any], let name = problem["error"] as? String {
      throw BrowserError(description: "\(path): \(name): \(problem["message"] ?? "")")
    }
    return value
  }

  private static func find(_ program: String) -> String? {
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    return folders.map { "\($0)/\(program)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}
