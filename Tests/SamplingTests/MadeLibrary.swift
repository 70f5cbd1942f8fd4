// A small library with unwind information, made by the machine's compiler.

import ProcessImages
import TestSupport
import Testing

/// A library whose only function has a frame of so many bytes.
func madeLibrary(_ folder: TemporaryFolder, _ name: String, frame: Int) throws -> ElfImage {
  let source = """
    .text
    .globl work
    .type work, @function
    work:
      .cfi_startproc
      sub $\(frame), %rsp
      .cfi_def_cfa_offset \(frame + 8)
      nop
      nop
      add $\(frame), %rsp
      .cfi_def_cfa_offset 8
      ret
      .cfi_endproc
    .size work, .-work

    """
  let file = try folder.write([UInt8](source.utf8), as: name + ".s")
  let path = folder.path + "/" + name
  try #require(output(["gcc", "-shared", "-nostdlib", "-o", path, file]) != nil, "gcc failed")
  let bytes = SystemFiles.bytes(path)
  return try ElfImage(bytes: BufferBytes(bytes), size: UInt64(bytes.count))
}
