// Files of the target that may vanish before they are needed: opened when they are mapped, and missed when they were not.

import Accounting
import NativeUnwinding
import ProcessImages
import PythonFrames

extension AddressSpace {
  /// Opens the file that was just mapped at an address, if it is new: it may be unmapped and deleted before a sample
  /// asks for it. `path`: that of a new file, one with an interpreter's name before all others.
  func holdFile(at address: UInt64, noting path: inout String?) {
    guard let module = module(containing: address), !module.wasOpened else { return }
    _ = module.image
    if !(path.map(InterpreterFinder.isPythonName) ?? false) { path = module.path }
  }

  /// Why the file of a frame could not be read, where that is why the stack ends.
  func missingFile(of stack: AddressStack) -> DamageCause? {
    for frame in stack.frames {
      switch module(containing: frame.lookupAddress)?.problem {
      case .gone: return .fileGone
      case .tooManyOpenFiles: return .tooManyOpenFiles
      case nil: continue
      }
    }
    return nil
  }
}
