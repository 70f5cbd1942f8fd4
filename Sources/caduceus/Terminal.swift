// What a terminal can show, and the one line that is kept up to date on it.

import Collectors
import Glibc
import Sampling

enum Terminal {
  /// Whether text on this descriptor is coloured: on a terminal, unless NO_COLOR or FORCE_COLOR (both of any value but
  /// the empty one) say otherwise; the order is CPython's (Lib/_colorize.py).
  static func wantsColors(_ descriptor: Int32) -> Bool {
    func isSet(_ name: String) -> Bool {
      guard let value = unsafe getenv(name) else { return false }
      return unsafe value.pointee != 0
    }
    if isSet("NO_COLOR") { return false }
    if isSet("FORCE_COLOR") { return true }
    if let kind = unsafe getenv("TERM"), unsafe strcmp(kind, "dumb") == 0 { return false }
    return isatty(descriptor) == 1
  }

  /// Columns of the terminal; nil where it is none or does not say.
  static func width(_ descriptor: Int32) -> Int? {
    var size = winsize()
    guard unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }
}

/// The line on standard error that tells how far sampling is.
struct LiveLine {
  enum Content {
    case none
    /// Time, samples, losses, CPU use.
    case progress
    /// Samples per second, in the words of CPython's own profiler.
    case rates
  }

  private let content: Content
  /// Seconds that were asked for.
  private let duration: Double?
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var lastUpdate: UInt64 = 0
  private var lastProgress = SamplingProgress()
  private var isShown = false
  /// Nanoseconds between two updates: one second for what scrolls, less for what is overwritten.
  private var every: UInt64 { content == .progress && isTerminal ? 250_000_000 : 1_000_000_000 }

  init(_ content: Content, duration: Double?) {
    self.content = content
    self.duration = duration
    lastProgress.ownCPU = SamplingProgress.ownCPU()
  }

  /// Shows the line anew when it is time to.
  mutating func update(_ sampler: Sampler) {
    guard content != .none, sampler.elapsed >= lastUpdate + every else { return }
    let progress = sampler.progress
    lastUpdate = progress.elapsed
    switch content {
    case .none: return
    case .progress: show(progressText(progress))
    case .rates: if let rates = progress.rates { show(ratesText(rates, progress.samples)) }
    }
    lastProgress = progress
  }

  /// Removes what is kept up to date; what CPython's own profiler leaves on the screen stays.
  mutating func end() {
    guard isShown, isTerminal else { return }
    isShown = false
    write(content == .rates ? "\n" : "\r\u{1B}[K", to: STDERR_FILENO)
  }

  private mutating func show(_ text: String) {
    guard isTerminal else { return write(text + "\n", to: STDERR_FILENO) }
    isShown = true
    write("\r\u{1B}[K" + text, to: STDERR_FILENO)
  }

  private func progressText(_ progress: SamplingProgress) -> String {
    let seconds = Double(progress.elapsed) / 1e9
    var text = "\(decimal(seconds, 1)) s"
    if let duration { text += ", \(decimal(max(0, duration - seconds), 1)) s left" }
    text += " | \(progress.samples) samples, \(progress.lost) lost"
    let time = Double(progress.elapsed - lastProgress.elapsed)
    func share(_ now: UInt64, _ before: UInt64) -> String {
      time > 0 ? "\(Int((Double(now &- before) / time * 100).rounded()))%" : "?"
    }
    text += " | CPU: program \(share(progress.targetCPU, lastProgress.targetCPU))"
    text += ", caduceus \(share(progress.ownCPU, lastProgress.ownCPU))"
    guard let width = Terminal.width(STDERR_FILENO), text.count >= width else { return text }
    return String(text.prefix(max(0, width - 1)))
  }

  private func ratesText(_ rates: SampleRates, _ samples: UInt64) -> String {
    let usesColors = Terminal.wantsColors(STDERR_FILENO)
    func paint(_ text: String, _ code: String) -> String {
      usesColors ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }
    func rate(_ name: String, _ rate: Double) -> String {
      "\(name): \(decimal(rate, 1))Hz (\(decimal(1e6 / rate, 2))\u{B5}s)"
    }
    return [
      paint("Real-time sampling stats:", "1;34"), paint(rate("Mean", rates.mean), "33"),
      paint(rate("Min", rates.least), "32"), paint(rate("Max", rates.greatest), "31"),
      paint("Samples: \(samples)", "36"),
    ].joined(separator: " ")
  }
}

/// A number that is not negative with this many decimals (0 to 3), rounded.
func decimal(_ value: Double, _ decimals: Int) -> String { fixed(value, decimals: decimals) }
