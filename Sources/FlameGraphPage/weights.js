// What is counted and shown: the samples of the chosen threads, and the frames that are not merged into their caller.

/** Weights of all nodes under one choice of threads and of frames to merge. All are numbers of samples. */
class Weights {
  /** `threads` is null for all, or a set of positions; `merge` says by name what is merged into its caller. */
  constructor(profile, threads, merge) {
    this.profile = profile;
    this.mergesLines = merge.lines;
    const count = profile.nodeCount;
    /** The frame a node shows, or -1 where it is merged into its caller. */
    this.shown = new Int32Array(count).fill(-1);
    /** The node that shows a node's samples: itself, or the nearest caller that is shown. */
    this.owner = new Uint32Array(count);
    /** Samples that ended in a node or in what is merged into it. */
    this.self = new Float64Array(count);
    /** Samples that ended in a node or below. */
    this.total = new Float64Array(count);
    this.chooseFrames(merge);
    this.addUp(threads);
  }

  chooseFrames(merge) {
    const { kind, language, frame, parent, functionOf, languages } = this.profile;
    const interpreter = languages.findIndex((entry) => entry.id === "interpreter");
    // Native code that no Python function called has nothing to be merged into: it stays.
    const calledByPython = new Uint8Array(this.profile.nodeCount);
    for (let node = 1; node < frame.length; node += 1) {
      const own = frame[node];
      const above = parent[node];
      calledByPython[node] = calledByPython[above] | (kind[own] === KIND.python);
      const isMerged = (merge.kernel && kind[own] === KIND.kernel)
        || (merge.interpreter && language[own] === interpreter)
        || (merge.native && kind[own] === KIND.native && calledByPython[above] === 1);
      this.owner[node] = isMerged ? this.owner[above] : node;
      if (!isMerged) this.shown[node] = merge.lines ? functionOf[own] : own;
    }
  }

  addUp(threads) {
    const { sampleNode, sampleThread, sampleCount, parent } = this.profile;
    for (let sample = 0; sample < sampleNode.length; sample += 1) {
      if (threads !== null && !threads.has(sampleThread[sample])) continue;
      this.total[sampleNode[sample]] += sampleCount[sample];
      this.self[this.owner[sampleNode[sample]]] += sampleCount[sample];
    }
    for (let node = this.total.length - 1; node > 0; node -= 1) this.total[parent[node]] += this.total[node];
  }

  /** Samples by language of the function that was running, in the order of the profile's languages. */
  selfByLanguage() {
    const sums = new Float64Array(this.profile.languages.length);
    for (let node = 1; node < this.self.length; node += 1) {
      if (this.shown[node] >= 0) sums[this.profile.language[this.shown[node]]] += this.self[node];
    }
    return sums;
  }

  /** Samples in a function and with it on the stack, however often: recursion counts once. */
  ofFunction(target) {
    let self = 0;
    let total = 0;
    const { functionOf, end } = this.profile;
    let covered = 0;
    for (let node = 1; node < this.shown.length; node += 1) {
      if (this.shown[node] < 0 || functionOf[this.shown[node]] !== target) continue;
      self += this.self[node];
      if (node >= covered) {
        total += this.total[node];
        covered = end[node];
      }
    }
    return { self, total };
  }

  /** For each node of a function the samples of which it is the innermost one: every sample with the function once. */
  innermost(target) {
    const { functionOf, end } = this.profile;
    const nodes = [];
    const weights = [];
    const open = [];
    for (let node = 1; node < this.shown.length; node += 1) {
      if (this.shown[node] < 0 || functionOf[this.shown[node]] !== target) continue;
      while (open.length > 0 && end[nodes[open[open.length - 1]]] <= node) open.pop();
      if (open.length > 0) weights[open[open.length - 1]] -= this.total[node];
      open.push(nodes.length);
      nodes.push(node);
      weights.push(this.total[node]);
    }
    return { nodes, weights };
  }
}
