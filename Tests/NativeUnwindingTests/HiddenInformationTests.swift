// Functions that have unwind information, unwound as if they had none, against the stack that their information gives.
// Recorded snapshots, with the code from the captured interpreters where these very files are installed.

import CaptureReplay
import Foundation
import ProcessImages
import PythonFrames
import Snapshots
import TestSupport
import Testing

@testable import NativeUnwinding

@Suite struct HiddenInformationTests {
  /// The installed files that were captured, by build-id; else what a capture holds of them.
  private final class Files: ImageProvider {
    private static let installed: [[UInt8]: String] = {
      let script = Capture.folder + "/../Programs/find_pythons.sh"
      let lines = output(["sh", script, "--all"])?.split(separator: "\n") ?? []
      var paths = [SystemFiles.libc].compactMap { $0 }
      for python in lines.compactMap({ $0.split(separator: " ").last }) {
        let root = URL(filePath: String(python)).deletingLastPathComponent().deletingLastPathComponent()
        paths.append(String(python))
        for path in (output(["find", root.path + "/lib", "-name", "*.so*", "-type", "f"]) ?? "").split(
          separator: "\n")
        {
          paths.append(String(path))
        }
      }
      var result: [[UInt8]: String] = [:]
      for path in paths {
        guard let image = SystemFiles.image(path), !image.buildID.isEmpty else { continue }
        result[image.buildID] = path
      }
      return result
    }()

    private let recorded: CapturedImages
    private var images: [String: ElfImage] = [:]
    /// Files whose code there is.
    private(set) var whole: Set<ObjectIdentifier> = []

    init(_ capture: Capture) { recorded = CapturedImages(capture.images, capture.functions) }

    func image(for mapping: Mapping) -> ElfImage? {
      if let known = images[mapping.filePath] { return known }
      guard let old = recorded.image(for: mapping) else { return nil }
      let image = Self.installed[old.buildID].flatMap(SystemFiles.image) ?? old
      if image !== old { whole.insert(ObjectIdentifier(image)) }
      images[mapping.filePath] = image
      return image
    }

    func symbols(for mapping: Mapping) -> SymbolTable? {
      let isWhole = image(for: mapping).map { whole.contains(ObjectIdentifier($0)) } ?? false
      return isWhole ? nil : recorded.symbols(for: mapping)
    }
  }

  /// Whether a stack is the true one, but for what its gaps leave out.
  private func isTrue(_ stack: AddressStack, _ truth: AddressStack) -> Bool {
    var at = 0
    for (index, frame) in stack.frames.enumerated() {
      if frame.restartedAt != 0 {
        let same = truth.frames[at...].firstIndex {
          $0.canonicalFrameAddress == frame.canonicalFrameAddress
        }
        guard let same else { return false }
        at = same + 1
        continue
      }
      guard at < truth.frames.count, truth.frames[at].address == frame.address else { return false }
      // Before a gap, and at the end, it is not known where a frame ends.
      let isOpen = index + 1 == stack.frames.count || stack.frames[index + 1].restartedAt != 0
      if !isOpen, truth.frames[at].canonicalFrameAddress != frame.canonicalFrameAddress { return false }
      at += 1
    }
    return true
  }

  /// What is hidden: all of it, or all but the interpreter's, so that there are boundaries to go on at.
  @Test(arguments: Capture.whole, [true, false])
  func confirmedStacksAreTrue(_ name: String, hidesInterpreter: Bool) throws {
    let capture = try Capture(named: name)
    let files = Files(capture)
    let space = AddressSpace(mappings: capture.mappings, provider: files)
    let unwinder = try #require(NativeUnwinder(addressSpace: space, memory: capture.memory))
    let guesser = try #require(NativeUnwinder(addressSpace: space, memory: capture.memory))
    let interpreter = capture.interpreter?.layout.interpreter.module ?? ""
    guesser.hideUnwindInformation { image in
      guard files.whole.contains(ObjectIdentifier(image)) else { return false }
      return hidesInterpreter
        || space.areas.first { $0.image === image }.map { $0.module.path != interpreter } ?? true
    }
    var (truth, stack) = (AddressStack(), AddressStack())
    var chain = DecodedChain()
    var loop: KnownLoop?
    var (samples, guessed, confirmed, wrong) = (0, 0, 0, 0)
    let mappingsChanged = {
      unwinder.mappingsChanged()
      guesser.mappingsChanged()
    }
    var visitor = SampleVisitor(space, mappingsChanged: mappingsChanged) { sample in
      unwinder.unwind(sample.snapshot, into: &truth)
      guard truth.end == .outermost, truth.guesses == 0,
        (try? chain.decode(sample.chain, codeAdaptive: capture.interpreter?.layout.codeAdaptive ?? 0)) != nil
      else { return }
      let boundaries = chain.damage == nil ? chain.groups.map(\.boundary) : []
      if loop == nil, let boundary = boundaries.last,
        let frame = truth.frames.first(where: { $0.canonicalFrameAddress > boundary })
      {
        loop = KnownLoop(callAddress: frame.address, distance: frame.canonicalFrameAddress - boundary)
      }
      guesser.unwind(sample.snapshot, boundaries: boundaries, loop: loop, into: &stack)
      samples += 1
      if stack.guesses > 0 { guessed += 1 }
      guard stack.unconfirmed == 0 else { return }
      confirmed += 1
      if !isTrue(stack, truth) { wrong += 1 }
    }
    capture.replay(to: &visitor)
    #expect(wrong == 0, "\(wrong) of \(confirmed)")
    // A thread's first frames are libc's own, called from hand-written code.
    guard !files.whole.isEmpty, !hidesInterpreter, !name.hasPrefix("many_threads") else { return }
    #expect(confirmed * 10 > samples * 9 && guessed > 0, "\(confirmed) of \(samples)")
  }
}
