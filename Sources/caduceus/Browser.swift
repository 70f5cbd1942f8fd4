// Opens a finished file for the person who asked for it.

import Glibc
import Sampling

enum Browser {
  /// Opens `path` by the desktop's own opener, as the user who called sudo: root has no business in a browser.
  static func open(_ path: String) {
    let absolute = path.hasPrefix("/") ? path : workingFolder() + "/" + path
    do throws(SamplingError) {
      let opener = try HeldProgram(command: ["xdg-open", absolute])
      try opener.start()
      // It hands the file over and ends; what it started lives on.
      let status = opener.wait()
      if status != 0 {
        caduceus.write("xdg-open could not open \(path) (exit status \(status))\n", to: STDERR_FILENO)
      }
    } catch {
      caduceus.write("Cannot open \(path): \(error)\n", to: STDERR_FILENO)
    }
  }

  private static func workingFolder() -> String {
    guard let path = unsafe getcwd(nil, 0) else { return "." }
    defer { unsafe free(path) }
    return unsafe String(cString: path)
  }
}
