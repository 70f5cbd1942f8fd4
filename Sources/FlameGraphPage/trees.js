// The trees that can be shown. Boxes are made when somebody looks at them: a wide tree has far more of them than
// a screen has room for, and an inverted one has more than memory should hold.

/** A tree of boxes; box 0 is the root. Each box remembers the nodes of the profile that it stands for. */
class Tree {
  constructor(weights, order, nodes, nodeWeights) {
    this.weights = weights;
    this.order = order;
    this.parent = [-1];
    this.frame = [-1];
    this.depth = [0];
    this.weight = [nodeWeights.reduce((sum, weight) => sum + weight, 0)];
    this.nodes = [nodes];
    this.nodeWeights = [nodeWeights];
    this.children = [null];
  }

  /** The boxes next to `box`, away from the root, in the tree's order. */
  childrenOf(box) {
    if (this.children[box] === null) this.children[box] = this.expand(box);
    return this.children[box];
  }

  expand(box) {
    const groups = new Map();
    this.visitNext(box, (node, weight) => {
      const frame = this.weights.shown[node];
      let group = groups.get(frame);
      if (group === undefined) {
        group = { frame, weight: 0, nodes: [], nodeWeights: [] };
        groups.set(frame, group);
      }
      group.weight += weight;
      group.nodes.push(node);
      group.nodeWeights.push(weight);
    });
    return this.sorted([...groups.values()]).map((group) => {
      this.parent.push(box);
      this.frame.push(group.frame);
      this.depth.push(this.depth[box] + 1);
      this.weight.push(group.weight);
      this.nodes.push(group.nodes);
      this.nodeWeights.push(group.nodeWeights);
      this.children.push(null);
      return this.parent.length - 1;
    });
  }

  sorted(groups) {
    const { profile } = this.weights;
    const text = (frame) => profile.searchTextOf(frame, this.weights.mergesLines);
    const byName = (left, right) => {
      const [first, second] = [text(left.frame), text(right.frame)];
      return first < second ? -1 : first > second ? 1 : left.frame - right.frame;
    };
    const compare = this.order === "name"
      ? byName : (left, right) => right.weight - left.weight || byName(left, right);
    return groups.sort(compare);
  }

  /** Samples that end in the box itself. */
  selfOf(box) {
    return this.childrenOf(box).reduce((rest, child) => rest - this.weight[child], this.weight[box]);
  }

  /** The frames from the root to `box`. */
  pathOf(box) {
    const path = [];
    for (let at = box; at > 0; at = this.parent[at]) path.push(this.frame[at]);
    return path.reverse();
  }

  /** The box at the end of a path of frames of another tree, or as far as this one has it. */
  find(path) {
    const { functionOf } = this.weights.profile;
    return path.reduce((box, frame) => {
      const next = this.childrenOf(box);
      return next.find((child) => this.frame[child] === frame)
        ?? next.find((child) => functionOf[this.frame[child]] === functionOf[frame]) ?? box;
    }, 0);
  }
}

/** From the first function to the running one. */
class CalleeTree extends Tree {
  constructor(weights, order) {
    super(weights, order, [0], [weights.total[0]]);
  }

  visitNext(box, add) {
    const { end } = this.weights.profile;
    const { shown, total } = this.weights;
    for (const above of this.nodes[box]) {
      let node = above + 1;
      while (node < end[above]) {
        if (total[node] === 0) {
          node = end[node];
        } else if (shown[node] < 0) {
          // What it called is what its caller called.
          node += 1;
        } else {
          add(node, total[node]);
          node = end[node];
        }
      }
    }
  }

  /** Samples of the tree with a matching frame on the stack; `matches` has one entry per frame. */
  matched(matches) {
    const { end } = this.weights.profile;
    const { shown, total } = this.weights;
    let sum = 0;
    for (let node = 1; node < shown.length;) {
      const isMatch = shown[node] >= 0 && matches[shown[node]] === 1;
      if (isMatch) sum += total[node];
      node = isMatch || total[node] === 0 ? end[node] : node + 1;
    }
    return sum;
  }
}

/** From the running functions, or from one chosen function, to their callers. */
class CallerTree extends Tree {
  /** `target` is the function whose callers are shown; null shows those of every function that was running. */
  constructor(weights, order, target) {
    const start = target === null ? CallerTree.running(weights) : weights.innermost(target);
    super(weights, order, start.nodes, start.weights);
  }

  static running(weights) {
    const nodes = [];
    weights.self.forEach((weight, node) => { if (weight > 0) nodes.push(node); });
    return { nodes, weights: nodes.map((node) => weights.self[node]) };
  }

  visitNext(box, add) {
    const { owner } = this.weights;
    const { parent } = this.weights.profile;
    this.nodes[box].forEach((node, position) => {
      const weight = this.nodeWeights[box][position];
      const next = box === 0 ? node : owner[parent[node]];
      if (next > 0 && weight > 0) add(next, weight);
    });
  }

  matched(matches) {
    const { parent } = this.weights.profile;
    const { shown } = this.weights;
    const above = new Uint8Array(shown.length);
    for (let node = 1; node < shown.length; node += 1) {
      above[node] = above[parent[node]] | (shown[node] >= 0 && matches[shown[node]]);
    }
    return this.nodes[0].reduce(
      (sum, node, position) => sum + (above[node] === 1 ? this.nodeWeights[0][position] : 0), 0);
  }
}
