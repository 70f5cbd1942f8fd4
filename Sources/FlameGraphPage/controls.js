// Buttons, mouse and keys: each does one thing to the view.

/** Brings buttons and fields in line with the view. */
function showControls(view) {
  const pressed = (id, isPressed) => {
    document.getElementById(id).setAttribute("aria-pressed", String(isPressed));
  };
  pressed("flip", view.rootOnTop);
  pressed("invert", view.isInverted);
  pressed("callers", view.callersOf !== null);
  pressed("theme", document.documentElement.dataset.theme === "dark");
  document.getElementById("callers").disabled = view.callersOf === null && view.tree.frame[view.selected] < 0;
  document.getElementById("order").value = view.order;
  document.getElementById("threads").value = view.threads;
  const field = document.getElementById("search");
  if (field.value !== view.typed) field.value = view.typed;
  const problem = view.search === null ? null : view.search.problem;
  field.setAttribute("aria-invalid", String(problem !== null));
  const matched = document.getElementById("matched");
  matched.className = problem === null ? "" : "problem";
  matched.textContent = problem !== null ? "not a regular expression"
    : view.matched === null ? "" : `${shareText(view.matched, view.tree.weight[0])} matched`;
  matched.title = problem ?? "";
  const name = view.tree.frame[view.selected] < 0 ? "" : `, selected: ${view.titleOf(view.selected)}`;
  view.graph.setAttribute("aria-label", `Flame graph, ${samplesText(view.tree.weight[0])}${name}`);
}

/** The things that have a button and a key. */
function actionsOf(view) {
  return {
    reset: () => view.reset(),
    flip: () => view.set({ rootOnTop: !view.rootOnTop }),
    invert: () => view.set({ isInverted: !view.isInverted, callersOf: null }, "build"),
    callers: () => {
      const frame = view.tree.frame[view.selected];
      if (view.callersOf !== null && (frame < 0 || view.profile.functionOf[frame] === view.callersOf)) {
        view.showCallersOf(null);
      } else if (frame >= 0) {
        view.showCallersOf(view.profile.functionOf[frame]);
      }
    },
    order: () => view.set({ order: view.order === "heavy" ? "name" : "heavy" }, "build"),
    theme: () => {
      view.set({ theme: document.documentElement.dataset.theme === "dark" ? "light" : "dark" }, "applyTheme");
    },
    help: () => document.getElementById("help").showModal(),
    search: () => {
      document.getElementById("search").focus();
      document.getElementById("search").select();
    },
  };
}

function connectControls(view) {
  const at = (id) => document.getElementById(id);
  const actions = actionsOf(view);
  for (const id of ["reset", "flip", "invert", "callers", "theme"]) {
    at(id).addEventListener("click", actions[id]);
  }
  at("help-button").addEventListener("click", actions.help);
  at("order").addEventListener("change", (event) => view.set({ order: event.target.value }, "build"));
  at("threads").addEventListener("change", (event) => view.set({ threads: event.target.value }, "count"));
  for (const what of Object.keys(view.merge)) {
    at(`merge-${what}`).addEventListener("change", (event) => {
      view.set({ merge: { ...view.merge, [what]: event.target.checked } }, "count");
    });
  }
  at("search").addEventListener("input", (event) => view.setTyped(event.target.value));
  at("search").addEventListener("keydown", (event) => searchKey(view, event));
  document.addEventListener("keydown", (event) => pageKey(view, actions, event));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view.set({}, "applyTheme"));
  connectGraph(view);
}

function connectGraph(view) {
  const { graph } = view;
  const canvas = document.getElementById("canvas");
  canvas.addEventListener("click", (event) => {
    const box = boxAt(view, event);
    if (box >= 0) view.zoom(box);
  });
  canvas.addEventListener("pointermove", (event) => {
    const box = boxAt(view, event);
    canvas.style.cursor = box >= 0 ? "pointer" : "default";
    if (box === null) hideTip();
    else showTip(event.clientX, event.clientY, ...tipOf(view, box));
  });
  canvas.addEventListener("pointerleave", hideTip);
  graph.addEventListener("scroll", () => {
    hideTip();
    requestAnimationFrame(() => view.draw());
  });
  // Covers the window's size, the panels' and the browser's own zoom.
  new ResizeObserver(() => {
    const { width, height, scale } = view.drawing;
    const isSame = width === graph.clientWidth && height === graph.clientHeight
      && scale === window.devicePixelRatio;
    if (!isSame) view.update();
  }).observe(graph);
}

/** The box under the pointer; -1 for a strip of narrow ones, null where there is nothing. */
function boxAt(view, event) {
  const area = view.graph.getBoundingClientRect();
  const y = event.clientY - area.top - view.graph.clientTop + view.graph.scrollTop;
  const fromTop = Math.floor(y / ROW_HEIGHT);
  const fromBottom = Math.floor((view.contentHeight - y) / ROW_HEIGHT);
  const row = view.rows[view.rootOnTop ? fromTop : fromBottom];
  if (row === undefined) return null;
  const position = row.at(event.clientX - area.left - view.graph.clientLeft);
  return position < 0 ? null : row.boxes[position];
}

function tipOf(view, box) {
  if (box < 0) return ["Boxes too narrow to draw", ["Zoom into the box that leads to them."]];
  const { tree, profile } = view;
  const frame = tree.frame[box];
  const amount = `${samplesText(tree.weight[box])}, ${cpuText(tree.weight[box], profile.period)}, `
    + `${shareText(tree.weight[box], tree.weight[0])}`;
  if (frame < 0) return [view.titleOf(box), [amount]];
  const place = [profile.languageOf(frame).title, profile.placeOf(frame, view.merge.lines)];
  return [view.titleOf(box), [place.filter((text) => text !== "").join(", "), amount]];
}

function searchKey(view, event) {
  if (event.key === "Escape") {
    if (view.typed !== "") view.setTyped("");
    else view.graph.focus();
  } else if (event.key === "Enter") {
    view.graph.focus();
    nextMatch(view, 1);
  } else {
    return;
  }
  event.preventDefault();
}

const ACTION_KEYS = {
  f: "flip", i: "invert", c: "callers", o: "order", t: "theme", "?": "help", "/": "search",
};

function pageKey(view, actions, event) {
  const isTyping = event.target.closest("input[type='search'], select") !== null;
  if (event.defaultPrevented || isTyping || event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.getElementById("help").open) return;
  if (Object.hasOwn(ACTION_KEYS, event.key)) actions[ACTION_KEYS[event.key]]();
  else if (event.key === "n" || event.key === "N") nextMatch(view, event.key === "n" ? 1 : -1);
  else if (event.key === "Escape") view.goOut();
  else if (event.target !== document.body && event.target !== view.graph) return;
  else if (!graphKey(view, event.key)) return;
  event.preventDefault();
}

/** Keys that belong to other controls where those have the focus. */
function graphKey(view, key) {
  switch (key) {
    case "Enter": view.zoom(view.selected); break;
    case "Backspace": view.goOut(); break;
    case "Home": view.reset(); break;
    case "ArrowLeft": moveBeside(view, -1); break;
    case "ArrowRight": moveBeside(view, 1); break;
    case "ArrowUp": if (view.rootOnTop) moveInward(view); else moveOutward(view); break;
    case "ArrowDown": if (view.rootOnTop) moveOutward(view); else moveInward(view); break;
    default: return false;
  }
  view.graph.focus({ preventScroll: true });
  return true;
}

function moveTo(view, box) {
  view.selected = box;
  view.reveal(view.tree.depth[box], false);
  view.update();
}

/** To the neighbour in the row, whoever called it. */
function moveBeside(view, step) {
  const { boxes } = view.rows[view.tree.depth[view.selected]];
  let position = boxes.indexOf(view.selected) + step;
  while (boxes[position] === -1) position += step;
  if (boxes[position] !== undefined) moveTo(view, boxes[position]);
}

/** Towards the root. */
function moveInward(view) {
  const above = view.tree.parent[view.selected];
  if (above >= 0) moveTo(view, above);
}

/** Away from the root, to the first box that is drawn there. */
function moveOutward(view) {
  const row = view.rows[view.tree.depth[view.selected] + 1];
  const box = row === undefined ? undefined
    : row.boxes.find((next) => next >= 0 && view.tree.parent[next] === view.selected);
  if (box !== undefined) moveTo(view, box);
}

/** To the next drawn match, row by row from the root, and around at the end. */
function nextMatch(view, step) {
  if (view.matches === null) return;
  const drawn = view.rows.flatMap((row) => row.boxes.filter((box) => box >= 0));
  const isMatch = (frame) => frame >= 0 && view.matches[frame] === 1;
  const matching = drawn.filter((box) => isMatch(view.tree.frame[box]));
  if (matching.length === 0) return;
  const rank = new Map(drawn.map((box, position) => [box, position]));
  const here = rank.get(view.selected) ?? -1;
  const ordered = step > 0 ? matching : matching.reverse();
  moveTo(view, ordered.find((box) => (rank.get(box) - here) * step > 0) ?? ordered[0]);
}
