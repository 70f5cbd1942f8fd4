// Search: text anywhere in a frame's name or file, or a regular expression between slashes.

/** What was typed, as a test of texts. An empty search is null; a broken expression has a `problem`. */
function parseSearch(typed) {
  if (typed === "") return null;
  const pattern = /^\/(.+)\/([a-z]*)$/su.exec(typed);
  if (pattern === null) {
    const wanted = typed.toLowerCase();
    return { isPattern: false, problem: null, test: (text) => text.toLowerCase().includes(wanted) };
  }
  try {
    // Flags that make the expression remember its last match would miss every other frame.
    const expression = new RegExp(pattern[1], pattern[2].replace(/[gy]/g, ""));
    return { isPattern: true, problem: null, test: (text) => expression.test(text) };
  } catch (problem) {
    return { isPattern: true, problem: String(problem.message), test: () => false };
  }
}

/** One byte per frame: 1 where the frame matches; null without a search that can be done. */
function matchingFrames(profile, search, mergesLines) {
  if (search === null || search.problem !== null) return null;
  return Uint8Array.from(profile.kind, (_, frame) => (search.test(profile.searchTextOf(frame, mergesLines)) ? 1 : 0));
}
