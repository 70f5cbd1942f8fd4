// What other scripts may ask the page, tests above all: `window.caduceus`. It only tells; it changes nothing.
//
//   state()    what is chosen and counted, as plain data:
//              direction "callees" or "callers", callersOf (a name or null), root "bottom" or "top",
//              order "heavy" or "name", threads "all" or "thread N" or "process N", merge {kernel, interpreter,
//              native, lines}, theme "light" or "dark", samples (of the whole view), zoomed and selected
//              {name, file, line, firstLine, language, samples, depth}, search {typed, isPattern, problem,
//              matchedSamples}, rows (number of them), languages {id: samples of self time}
//   drawn()    the boxes that can be seen, each {name, file, line, firstLine, language, samples, depth, parent (a position here
//              or -1), x, y, width, height (CSS pixels in the window), isMatch, isSelected}; `isStrip` alone
//              for a strip of boxes too narrow to draw
//   timings()  milliseconds: firstPaint since the page was opened; update of the last change, its script alone;
//              paint of the last change, until the frame was on the screen

const timings = { firstPaint: null, update: null, paint: null };

/** Notes how long an update took that began at `start`. */
function notePaint(start) {
  timings.update = performance.now() - start;
  timings.paint = null;
  // The first callback comes before the frame is drawn, a message from it comes after.
  requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      timings.paint = performance.now() - start;
      timings.firstPaint ??= performance.now();
      channel.port1.close();
    };
    channel.port2.postMessage(null);
  });
}

function publish(view) {
  const { profile } = view;
  const boxFacts = (box) => {
    const frame = view.tree.frame[box];
    const facts = { samples: view.tree.weight[box], depth: view.tree.depth[box] };
    if (frame < 0) return { ...facts, name: null, file: null, line: null, firstLine: null, language: null };
    return {
      ...facts, name: profile.nameOf(frame), file: profile.fileOf(frame),
      line: view.merge.lines ? null : profile.line[frame], firstLine: profile.firstLine[frame], language: profile.languageOf(frame).id,
    };
  };
  const state = () => ({
    direction: view.isInverted || view.callersOf !== null ? "callers" : "callees",
    callersOf: view.callersOf === null ? null : profile.nameOf(view.callersOf),
    root: view.rootOnTop ? "top" : "bottom",
    order: view.order,
    threads: view.threads,
    merge: { ...view.merge },
    theme: document.documentElement.dataset.theme,
    samples: view.tree.weight[0],
    zoomed: boxFacts(view.zoomed),
    selected: boxFacts(view.selected),
    search: {
      typed: view.typed, isPattern: view.search !== null && view.search.isPattern,
      problem: view.search === null ? null : view.search.problem, matchedSamples: view.matched,
    },
    rows: view.rows.length,
    languages: Object.fromEntries(
      [...view.weights.selfByLanguage()].map((sum, index) => [profile.languages[index].id, sum])),
  });
  const drawn = () => {
    const area = view.graph.getBoundingClientRect();
    const boxes = [];
    const positions = new Map();
    view.rows.forEach((row, depth) => {
      const top = view.offsetOf(depth) - view.graph.scrollTop;
      if (top + ROW_HEIGHT <= 0 || top >= view.graph.clientHeight) return;
      row.boxes.forEach((box, position) => {
        const place = {
          x: area.left + view.graph.clientLeft + row.left[position], y: area.top + view.graph.clientTop + top,
          width: row.right[position] - row.left[position], height: ROW_HEIGHT,
        };
        if (box < 0) {
          boxes.push({ ...place, isStrip: true });
          return;
        }
        positions.set(box, boxes.length);
        const frame = view.tree.frame[box];
        boxes.push({
          ...boxFacts(box), ...place, parent: positions.get(view.tree.parent[box]) ?? -1,
          isMatch: view.matches !== null && frame >= 0 && view.matches[frame] === 1, isSelected: box === view.selected,
        });
      });
    });
    return boxes;
  };
  window.caduceus = Object.freeze({ state, drawn, timings: () => ({ ...timings }) });
}
