// /proc/kallsyms takes a tenth of a second to read: begun early, on a thread of its own, waited for at first use.

import Glibc
import ProcessImages
import Synchronization

/// The kernel's symbols, loading since this was made.
package final class LoadedKernelSymbols: Sendable {
  private let result: Mutex<KernelSymbols?>

  init() {
    result = Mutex(nil)
    var thread = pthread_t()
    let owner = unsafe Unmanaged.passRetained(self).toOpaque()
    let failure = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        let loading = unsafe Unmanaged<LoadedKernelSymbols>.fromOpaque(argument).takeRetainedValue()
        loading.load()
        return nil
      }, owner)
    if failure == 0 {
      _ = pthread_detach(thread)
    } else {
      unsafe Unmanaged<LoadedKernelSymbols>.fromOpaque(owner).release()
    }
  }

  /// The symbols in a text of the form of /proc/kallsyms.
  package init(text: [UInt8]) { result = Mutex(KernelSymbols(text: text)) }

  /// Loads what is not loaded yet; a second caller waits for the first.
  private func load() {
    result.withLock { symbols in
      if symbols == nil { symbols = (try? KernelSymbols()) ?? KernelSymbols(text: []) }
    }
  }

  /// The symbols; empty where the kernel does not show them.
  var symbols: KernelSymbols {
    load()
    return result.withLock { $0 ?? KernelSymbols(text: []) }
  }
}
