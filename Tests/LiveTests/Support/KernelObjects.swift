// What sampling leaves in the kernel, asked of the kernel.

import Foundation

/// The eBPF programs, maps and perf events that exist at one moment.
struct KernelObjects: Decodable {
  /// A program or a map: id, name, and the processes that hold a descriptor of it.
  struct Object: Decodable {
    let id: Int
    let name: String
    let holders: [Int32]

    init(from decoder: any Decoder) throws {
      var values = try decoder.unkeyedContainer()
      id = try values.decode(Int.self)
      name = try values.decode(String.self)
      holders = try values.decode([Int32].self)
    }
  }

  let programs: [Object]
  let maps: [Object]
  /// Number of perf event descriptors of each process that was asked for.
  let events: [String: Int]

  /// Reads them; `events` of these processes.
  static func now(_ processes: [Int32] = []) throws -> KernelObjects {
    let finished = try Child.run(
      [Interpreter.any.path, Program.path("kernel_objects.py")] + processes.map(String.init))
    guard finished.status == 0 else { throw LiveError("kernel_objects.py: \(finished.description)") }
    return try JSONDecoder().decode(KernelObjects.self, from: finished.output)
  }

  /// Ids of what nobody holds. What perf events alone keep alive is among them.
  var orphans: Set<String> {
    Set(
      programs.filter(\.holders.isEmpty).map { "program \($0.id) \($0.name)" }
        + maps.filter(\.holders.isEmpty).map { "map \($0.id) \($0.name)" })
  }
}
