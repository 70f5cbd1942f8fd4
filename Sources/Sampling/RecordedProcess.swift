// What a recorder needs beside the records: the process they are of, and its interpreters.

import ProcessImages
import PythonFrames

/// One interpreter of the target, as long as its program image lives.
package struct InterpreterContext {
  let layout: InterpreterLayout
  let frames: PythonFrameTable
  let memory: CodeMemory
  let hole: Range<UInt64>
  /// CLOCK_MONOTONIC before the look that found it: an exec older than that does not concern it.
  let foundAt: UInt64

  /// An interpreter and where its code objects may be looked up.
  package init(
    layout: InterpreterLayout, frames: PythonFrameTable, memory: CodeMemory, hole: Range<UInt64>,
    foundAt: UInt64
  ) {
    self.layout = layout
    self.frames = frames
    self.memory = memory
    self.hole = hole
    self.foundAt = foundAt
  }
}

/// What a recorder reads beside the records: a live process, or what was recorded of one.
package struct RecordedProcess {
  /// Process id in our namespace: the id of the main thread, too.
  package var processID: Int32
  /// What is mapped, with the files.
  package var addressSpace: AddressSpace
  /// The process's memory.
  package var memory: any ByteSource
  /// Names for kernel addresses.
  package var kernel: LoadedKernelSymbols
  /// Name of a thread; nil where it is gone.
  package var threadName: (Int32) -> String?
  /// Whether it may be looked into; asked again after each exec.
  package var isPermitted: () -> Bool = { true }

  /// A process from its parts.
  package init(
    processID: Int32, addressSpace: AddressSpace, memory: any ByteSource, kernel: LoadedKernelSymbols,
    threadName: @escaping (Int32) -> String?
  ) {
    self.processID = processID
    self.addressSpace = addressSpace
    self.memory = memory
    self.kernel = kernel
    self.threadName = threadName
  }
}
