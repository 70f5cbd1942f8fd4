// Readable names.

import Foundation
import TestSupport
import Testing

@testable import ProcessImages

@Suite struct DemanglingTests {
  @Test(arguments: [
    ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)"),
    ("_Z3foov.cold", "foo() [clone .cold]"),
    ("_Z3foov@plt", "foo()@plt"),
    ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
    (
      "_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..ops..drop..Drop$GT$4drop17h0123456789abcdefE",
      "<alloc::vec::Vec<T> as core::ops::drop::Drop>::drop"
    ),
    ("_ZN3foo3bar17h0123456789abcdefE.llvm.1234", "foo::bar"),
    ("_ZN3foo28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE", "foo::{{closure}}"),
    // Not Rust: the last part is no hash.
    ("_ZN3foo17h0123456789abcdeXEv", "foo::h0123456789abcdeX()"),
    ("_RNvC6_123foo3bar", "_RNvC6_123foo3bar"),
    ("PyList_New", "PyList_New"), ("_Z", "_Z"), ("_ZN", "_ZN"), ("", ""), ("_ZN9999999foo", "_ZN9999999foo"),
    ("_ZN3fooE\u{0}x", "_ZN3fooE\u{0}x"),
  ]) func names(_ mangled: String, _ readable: String) {
    #expect(demangle(mangled) == readable)
  }

  @Test func asBinutilsSays() throws {
    let maps = try ProcessMaps.read(getpid())
    let path = try #require(maps.first { $0.path.contains("/libstdc++") }?.path)
    let image = try #require(SystemFiles.image(path))
    let table = SymbolTable(image: image)
    let mangled = table.entries.compactMap { table.name(at: $0.start)?.name }.filter { $0.hasPrefix("_Z") }
      .filter { !$0.hasSuffix("@plt") }.prefix(2000)
    #expect(mangled.count > 1000)
    let folder = try TemporaryFolder()
    let list = try folder.write([UInt8](mangled.joined(separator: "\n").utf8), as: "names")
    let readable = try #require(output(["sh", "-c", "c++filt -i < \(list)"])).split(separator: "\n").map(
      String.init)
    #expect(readable.count == mangled.count)
    let different = zip(mangled, readable).filter { demangle($0) != $1 }
    #expect(different.isEmpty, "\(different.count): \(different.prefix(3))")
  }

  /// Up to 8 KiB of name are decoded: what is longer stays as it is, although it could be. (C++ names longer than 1 KiB
  /// libstdc++ itself refuses.)
  @Test func longNamesStayAsTheyAre() {
    func function(_ length: Int) -> String {
      "_ZN\(length)" + String(repeating: "a", count: length) + "3foo17h0123456789abcdefE"
    }
    #expect(function(8161).utf8.count == 8192)
    #expect(demangle(function(8161)) == String(repeating: "a", count: 8161) + "::foo")
    #expect(demangle(function(8162)) == function(8162))
  }

  @Test func anyBytesAreSafe() {
    var random = SeededGenerator(seed: 11)
    let good = [UInt8](
      "_ZN66_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..Drop$GT$4drop17h0123456789abcdefE".utf8)
    for cut in good.indices { _ = demangle(String(decoding: good[..<cut], as: UTF8.self)) }
    for _ in 0..<2000 {
      var bytes = good
      bytes[Int.random(in: 2..<good.count, using: &random)] = .random(in: 32...126, using: &random)
      _ = demangle(String(decoding: bytes, as: UTF8.self))
    }
    let long = "_Z" + String(repeating: "N1a", count: 10_000)
    #expect(demangle(long) == long)
  }
}
