// Build-tool plugin: compiles the eBPF source with the Swift toolchain's own clang and embeds the object.
import PackagePlugin

@main
struct EmbedBPF: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: Target) throws -> [Command] {
    let folder = context.package.directoryURL.appending(path: "Kernel/PythonChain")
    let source = folder.appending(path: "python_chain.bpf.c")
    let headers = [
      "code_objects.h", "frame_chain.h", "kernel_types.h", "program_tables.h", "python_chain.h",
      "sample_output.h", "stack_pages.h",
      "target_memory.h", "thread_states.h",
    ]
    let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedProgram.swift")
    return [
      .buildCommand(
        displayName: "Compiling \(source.lastPathComponent)",
        executable: try context.tool(named: "EmbedBPFTool").url,
        arguments: [
          try context.tool(named: "clang").url.path(percentEncoded: false),
          source.path(percentEncoded: false), output.path(percentEncoded: false),
        ],
        inputFiles: [source] + headers.map { folder.appending(path: $0) },
        outputFiles: [output])
    ]
  }
}
