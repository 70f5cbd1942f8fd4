// The profile in the page: tables of strings, frames, nodes and samples, unpacked into arrays of numbers.

const KIND = { python: 0, native: 1, kernel: 2, marker: 3 };

/**
 * The tables. Nodes are those of the tree of all stacks, in depth-first order; node 0 is the root, which is no frame.
 */
class Profile {
  constructor(packed) {
    this.title = packed.title;
    this.facts = packed.facts;
    this.period = packed.period;
    this.languages = packed.languages;
    this.strings = packed.strings;
    this.kind = Uint8Array.from(packed.frames.kind);
    this.language = Uint8Array.from(packed.frames.language);
    this.name = Uint32Array.from(packed.frames.name);
    this.label = Uint32Array.from(packed.frames.label);
    this.file = Uint32Array.from(packed.frames.file);
    this.line = Int32Array.from(packed.frames.line);
    this.firstLine = Int32Array.from(packed.frames.firstLine);
    this.frameCount = this.kind.length;
    this.processes = packed.processes;
    this.threads = packed.threads;
    this.ledger = packed.ledger;
    this.sampleNode = Uint32Array.from(packed.samples.node);
    this.sampleThread = Uint32Array.from(packed.samples.thread);
    this.sampleCount = Float64Array.from(packed.samples.count);
    this.unpackNodes(packed.nodes);
    this.functionOf = this.groupByFunction();
  }

  /** Depths in depth-first order say it all: the parent is the last node before that is one less deep. */
  unpackNodes(nodes) {
    const count = nodes.depth.length + 1;
    this.nodeCount = count;
    this.frame = new Int32Array(count).fill(-1);
    this.parent = new Int32Array(count).fill(-1);
    this.end = new Uint32Array(count).fill(count);
    const path = [0];
    for (let node = 1; node < count; node += 1) {
      const depth = nodes.depth[node - 1];
      while (path.length > depth) this.end[path.pop()] = node;
      this.parent[node] = path[depth - 1];
      this.frame[node] = nodes.frame[node - 1];
      path.push(node);
    }
  }

  /** For each frame the first frame of the same function: the one that stands for all of its lines. */
  groupByFunction() {
    const first = new Map();
    return Int32Array.from(this.kind, (kind, frame) => {
      const key = `${kind} ${this.name[frame]} ${this.file[frame]} ${this.firstLine[frame]}`;
      if (!first.has(key)) first.set(key, frame);
      return first.get(key);
    });
  }

  nameOf(frame) { return this.strings[this.name[frame]]; }

  /** The name with long parameter lists and template arguments left out. */
  labelOf(frame) { return this.strings[this.label[frame]]; }

  fileOf(frame) { return this.strings[this.file[frame]]; }

  /** Where a frame is, short: `fit.py:18`, `libm.so.6`; empty for markers. Merged lines are left out. */
  placeOf(frame, mergesLines) {
    const file = this.fileOf(frame);
    const base = file.slice(file.lastIndexOf("/") + 1) || file;
    return this.kind[frame] === KIND.python && !mergesLines ? `${base}:${this.line[frame]}` : base;
  }

  /** What search looks at. */
  searchTextOf(frame, mergesLines) {
    const file = this.fileOf(frame);
    const place = this.kind[frame] === KIND.python && !mergesLines ? `${file}:${this.line[frame]}` : file;
    return place ? `${this.nameOf(frame)} ${place}` : this.nameOf(frame);
  }

  languageOf(frame) { return this.languages[this.language[frame]]; }
}
