// The view: what the reader chose, and what follows from it. Every change goes through here.

class View {
  constructor(profile) {
    this.profile = profile;
    this.graph = document.getElementById("graph");
    this.space = document.getElementById("space");
    this.drawing = new Drawing(document.getElementById("canvas"), profile);
    this.isInverted = false;
    /** First frame of the function whose callers are shown, or null. */
    this.callersOf = null;
    this.rootOnTop = false;
    this.order = "heavy";
    this.threads = "all";
    this.merge = { kernel: false, interpreter: false, native: false, lines: false };
    this.typed = "";
    this.zoomed = 0;
    this.selected = 0;
    this.outward = [];
    this.count();
    this.applyTheme();
  }

  /** Counts anew: another choice of threads or of what is merged. */
  count() {
    this.weights = new Weights(this.profile, this.chosenThreads(), this.merge);
    showLegend(this.profile, this.weights);
    this.build();
  }

  chosenThreads() {
    const [what, index] = this.threads.split(" ");
    if (what === "all") return null;
    if (what === "thread") return new Set([Number(index)]);
    const { threads } = this.profile;
    return new Set([...threads.keys()].filter((thread) => threads[thread].process === Number(index)));
  }

  /** Makes the tree anew and finds the old place in it. */
  build() {
    const direction = this.isInverted || this.callersOf !== null;
    const path = this.tree !== undefined && direction === this.wasCallers && this.callersOf === this.wasCallersOf
      ? [this.tree.pathOf(this.zoomed), this.tree.pathOf(this.selected)] : [[], []];
    [this.wasCallers, this.wasCallersOf] = [direction, this.callersOf];
    this.tree = direction
      ? new CallerTree(this.weights, this.order, this.callersOf) : new CalleeTree(this.weights, this.order);
    [this.zoomed, this.selected] = path.map((frames) => this.tree.find(frames));
    this.outward = [];
    this.find();
  }

  /** Finds anew what the search matches. */
  find() {
    this.search = parseSearch(this.typed);
    this.matches = matchingFrames(this.profile, this.search, this.merge.lines);
    this.matched = this.matches === null ? null : this.tree.matched(this.matches);
  }

  /** Lays out and draws; `follow` scrolls to the zoomed box, `start` is when the change began. */
  update(follow = false, start = performance.now()) {
    const width = this.graph.clientWidth;
    const height = this.graph.clientHeight;
    this.rows = layOut(this.tree, this.zoomed, width);
    this.contentHeight = Math.max(height, this.rows.length * ROW_HEIGHT);
    this.space.style.height = `${this.contentHeight}px`;
    this.drawing.setSize(width, height, window.devicePixelRatio || 1);
    if (follow) this.reveal(this.tree.depth[this.zoomed], true);
    this.draw();
    showControls(this);
    this.announce();
    showDetails(this.titleOf(this.selected), factsOfBox(this.profile, this.weights, this.tree, this.selected));
    notePaint(start);
  }

  /** Distance of a row from the top of all rows. */
  offsetOf(depth) {
    return this.rootOnTop ? depth * ROW_HEIGHT : this.contentHeight - (depth + 1) * ROW_HEIGHT;
  }

  draw() {
    const scrolled = this.graph.scrollTop;
    this.drawing.draw({
      rows: this.rows, tree: this.tree, zoomed: this.zoomed, selected: this.selected, matches: this.matches,
      topOf: (depth) => this.offsetOf(depth) - scrolled, describe: (box) => this.labelsOf(box),
    });
  }

  /** Scrolls so that a row can be seen; a zoomed one keeps some of its callers beside it. */
  reveal(depth, isZoom) {
    const [top, height] = [this.offsetOf(depth), this.graph.clientHeight];
    if (isZoom) {
      const beside = Math.min(depth, 2) * ROW_HEIGHT;
      this.graph.scrollTop = this.rootOnTop ? top - beside : top + ROW_HEIGHT + beside - height;
    } else if (top < this.graph.scrollTop) {
      this.graph.scrollTop = top;
    } else if (top + ROW_HEIGHT > this.graph.scrollTop + height) {
      this.graph.scrollTop = top + ROW_HEIGHT - height;
    }
  }

  zoom(box) {
    if (box !== this.zoomed) this.outward.push(this.zoomed);
    [this.zoomed, this.selected] = [box, box];
    this.update(true);
  }

  /** One step back: to the last zoom, then out of the callers of a function. */
  goOut() {
    if (this.outward.length > 0 || this.zoomed > 0) {
      this.zoomed = this.outward.pop() ?? 0;
      this.selected = this.zoomed;
    } else if (this.callersOf !== null) {
      this.showCallersOf(null);
      return;
    }
    this.update(true);
  }

  reset() {
    this.typed = "";
    this.isInverted = false;
    this.callersOf = null;
    this.build();
    [this.zoomed, this.selected] = [0, 0];
    this.update(true);
  }

  showCallersOf(target) {
    this.callersOf = target;
    this.build();
    this.update(true);
  }

  /** Takes a change of what is chosen; `step` is the method that makes anew what depends on it, if anything does. */
  set(change, step = null) {
    const start = performance.now();
    Object.assign(this, change);
    if (step !== null) this[step]();
    this.update(step !== "find", start);
  }

  setTyped(typed) { this.set({ typed }, "find"); }

  applyTheme() {
    const isDark = this.theme === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : this.theme === "dark";
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    this.drawing.setColors();
  }

  /** What is written on a box: the longest text first. */
  labelsOf(box) {
    const frame = this.tree.frame[box];
    if (frame < 0) return [this.titleOf(box)];
    const [label, place] = [this.profile.labelOf(frame), this.profile.placeOf(frame, this.merge.lines)];
    if (place === "") return [label];
    return [this.profile.kind[frame] === KIND.python ? `${label}  ${place}` : `${label} (${place})`, label];
  }

  titleOf(box) {
    const frame = this.tree.frame[box];
    if (frame >= 0) return this.profile.nameOf(frame);
    const amount = samplesText(this.tree.weight[0]);
    if (this.callersOf !== null) return `callers of ${this.profile.nameOf(this.callersOf)}: ${amount}`;
    return this.isInverted ? `running functions: ${amount}` : `all: ${amount}`;
  }

  /** The selected box in words, for those who do not see it. */
  announce() {
    const frame = this.tree.frame[this.selected];
    const [weight, whole] = [this.tree.weight[this.selected], this.tree.weight[0]];
    const words = [this.titleOf(this.selected)];
    if (frame >= 0) {
      words.push(
        this.profile.placeOf(frame, this.merge.lines), this.profile.languageOf(frame).title, samplesText(weight));
    }
    words.push(shareText(weight, whole), `level ${this.tree.depth[this.selected]}`);
    const text = words.filter((word) => word !== "").join(", ");
    const announcement = document.getElementById("announcement");
    if (announcement.textContent !== text) announcement.textContent = text;
  }
}
