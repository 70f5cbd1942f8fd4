// Compiles the eBPF program and writes it as one Swift file: EmbedBPFTool CLANG SOURCE OUTPUT.
// Base64 in a string literal, because a literal array of bytes takes the compiler minutes.
import Foundation

let arguments = CommandLine.arguments
guard arguments.count == 4 else {
  FileHandle.standardError.write(Data("usage: EmbedBPFTool CLANG SOURCE OUTPUT\n".utf8))
  exit(2)
}
let object = arguments[3] + ".o"
let clang = Process()
clang.executableURL = URL(fileURLWithPath: arguments[1])
let sources = URL(fileURLWithPath: arguments[2]).deletingLastPathComponent().path(percentEncoded: false)
// -g: the kernel wants BTF. mcpu=v3: 32-bit comparisons keep the verifier's work small. The two paths: what is built
// in another folder is the same, and does not tell the folder's name.
clang.arguments = [
  "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Wextra", "-Werror",
  "-ffile-prefix-map=\(sources)=", "-fdebug-compilation-dir=.", "-c", arguments[2], "-o", object,
]
try clang.run()
clang.waitUntilExit()
guard clang.terminationStatus == 0 else { exit(clang.terminationStatus) }
let bytes = try Data(contentsOf: URL(fileURLWithPath: object))
try FileManager.default.removeItem(atPath: object)
let text = """
  // Made from \(URL(fileURLWithPath: arguments[2]).lastPathComponent) at build time.
  enum EmbeddedProgram {
    static let base64: StaticString = "\(bytes.base64EncodedString())"
  }

  """
try Data(text.utf8).write(to: URL(fileURLWithPath: arguments[3]))
