// A page that is held as a whole, and a frame that begins in it and ends in the next one.

import PythonChain
import Testing

@testable import PythonFrames

extension PythonChainTests {
  @Suite struct CachedPages {
    /// The second frame makes the page a held one; the third begins at each place before its end.
    @Test(arguments: [11, 12, 13] as [UInt32])
    func aFrameAcrossTheEndOfAHeldPage(minor: UInt32) throws {
      for offset in stride(from: 4096 - 96, to: 4096, by: 8) {
        let machine = Machine()
        let python = try FakeInterpreter(machine, minor: minor)
        let thread = python.addThread(Machine.tgid)
        let page = python.allocate(8 * 4096, alignment: 4096)
        let addresses = [page + 1024, page + 8, page + UInt64(offset), page + 2048]
        let chain = python.setChain(
          thread,
          [addresses.enumerated().map { MadeFrame(code: python.code("f\($0)"), address: $1) }])
        // Twice: what is held is of one interrupt.
        for _ in 0..<2 {
          let sample = try machine.run().sample
          #expect(sample.status == PYTHON_CHAIN_WHOLE, "\(offset)")
          #expect(sample.entries == chain.entries, "\(offset)")
        }
      }
    }
  }
}
