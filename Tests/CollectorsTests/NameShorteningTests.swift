// Long symbols lose what says least about them.

import Testing

@testable import Collectors

@Suite("Shortening of symbols")
struct NameShorteningTests {
  @Test(
    "The longest parameter lists go first, then the longest template lists, until the symbol fits",
    arguments: [
      ("ns::f(int, char)", 40, "ns::f(int, char)"),
      ("ns::f<int>(std::string const&, int)", 20, "ns::f<int>(…)"),
      ("ns::t<aaaaaaaaaa, b<c> >::run(int)", 16, "ns::t<…>::run(…)"),
      ("s<aa>::t<aaaaaaaaaa>::run(int)", 20, "s<aa>::t<…>::run(…)"),
      ("void (anonymous namespace)::f(aaaaaaaaaaaaaaaa)", 34, "void (anonymous namespace)::f(…)"),
      ("bool operator< <aaaaaaaaaaaa>(x<a> const&)", 24, "bool operator< <…>(…)"),
      ("std::ostream& operator<< <aaaaaaaaaa>(aaaaaaaaaa)", 32, "std::ostream& operator<< <…>(…)"),
      ("a::operator->(aaaaaaaaaaaaaaaaaa) const", 24, "a::operator->(…) const"),
      ("a::operator()(aaaaaaaaaaaaaaaaaa) const", 24, "a::operator()(…) const"),
      ("f<(a>b), aaaaaaaaaaaaaaaaaaa>::own(int)", 16, "f<…>::own(…)"),
      ("<alloc::vec::Vec<T> as core::fmt::Debug>::fmt", 20, "<…>::fmt"),
      ("<fn(aaaaaaaa) -> bbbbbbbbbb as core::Fn>::call", 12, "<…>::call"),
      ("my_operator<aaaaaaaaaaaaaaaaaaaa>(int)", 24, "my_operator<…>(…)"),
      (
        "f(int)::{lambda(aaaaaaaaaaaaaaaaaa)#1}::operator()(int) const", 48,
        "f(int)::{lambda(…)#1}::operator()(int) const"
      ),
    ])
  func lists(_ symbol: String, _ limit: Int, _ expected: String) {
    let short = NameShortening.shorten(symbol: symbol, to: limit)
    #expect(short == expected)
    #expect(short.unicodeScalars.count <= limit)
  }

  @Test("What is still too long loses its middle")
  func middle() {
    #expect(NameShortening.shorten(symbol: "abcdefghijklmnop", to: 9) == "abcd…mnop")
    #expect(NameShortening.shorten(symbol: "abcdefghijklmnop", to: 8) == "abc…mnop")
    let deep = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa::bbbbbbbbbbbbbbbbbbbbbbbb::own_name(int, int)"
    #expect(NameShortening.shorten(symbol: deep, to: 40).hasSuffix("::own_name(…)"))
  }

  @Test(
    "Unbalanced brackets are no reason to fail",
    arguments: ["<", ">", "(", ")", "<(>)", "operator", "operator<"])
  func unbalanced(_ piece: String) {
    for limit in 1...30 {
      let symbol = String(repeating: piece, count: 30)
      #expect(NameShortening.shorten(symbol: symbol, to: limit).unicodeScalars.count <= limit)
    }
  }
}
