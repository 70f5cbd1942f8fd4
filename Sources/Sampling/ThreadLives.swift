// Which thread a thread id means: the kernel gives an id again when its thread has ended.

/// The threads that are known, by id. A thread that is created begins a new life, whatever its id meant before.
struct ThreadLives {
  private struct Life {
    /// Position in the profile; nil as long as it has no sample.
    var index: Int?
    /// Nil: nobody has told.
    var name: String?
    var isSampled = false
    var hasEnded = false
  }

  /// Ended threads that are remembered: one that is ending may be sampled a little longer.
  private static let remembered = 1024

  private var lives: [Int32: Life] = [:]
  private var ended: [Int32] = []
  /// Threads that are remembered.
  var known: Int { lives.count }
  /// Threads that were created.
  private(set) var born: UInt64 = 0

  /// A thread was created. It has its creator's name (clone(2)). `parentName`: looks for that where it is not known.
  mutating func begin(_ thread: Int32, by parent: Int32, parentName: (Int32) -> String?) {
    born += 1
    if lives[parent]?.name == nil { lives[parent, default: Life()].name = parentName(parent) }
    lives[thread] = Life(name: lives[parent]?.name)
  }

  /// A thread ended.
  mutating func end(_ thread: Int32) {
    guard lives[thread] != nil else { return }
    lives[thread]?.hasEnded = true
    ended.append(thread)
    guard ended.count >= 2 * Self.remembered else { return }
    for old in ended.prefix(Self.remembered) where lives[old]?.hasEnded == true { lives[old] = nil }
    ended.removeFirst(Self.remembered)
  }

  /// A thread has a new name. Gives its position in the profile.
  mutating func rename(_ thread: Int32, _ name: String) -> Int? {
    lives[thread, default: Life()].name = name
    return lives[thread]?.index
  }

  /// Notices of creations may be among what was lost: an id whose thread has ended may mean another one by now.
  mutating func lostNotices() {
    lives = lives.filter { !$0.value.hasEnded }
    ended = []
  }

  /// A sample of a thread was seen, whatever becomes of it.
  mutating func note(_ thread: Int32) { lives[thread, default: Life()].isSampled = true }

  /// Whether the thread that has this id now has been sampled.
  func hasSampled(_ thread: Int32) -> Bool { lives[thread]?.isSampled ?? false }

  /// Position of a thread in the profile. `add`: gives a new one, by what the thread is called; nil: nobody has told.
  mutating func index(of thread: Int32, add: (String?) -> Int) -> Int {
    if let known = lives[thread]?.index { return known }
    let index = add(lives[thread]?.name)
    lives[thread, default: Life()].index = index
    return index
  }
}
