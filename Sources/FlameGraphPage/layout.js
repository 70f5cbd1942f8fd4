// Which boxes are drawn, and where, at one zoom and one width.

/** Boxes narrower than this many CSS pixels are drawn as one strip with their neighbours. */
const NARROWEST = 0.5;

/** One row: the boxes of one depth from left to right. A box of -1 is a strip of boxes too narrow to draw. */
class Row {
  constructor() {
    this.boxes = [];
    this.left = [];
    this.right = [];
  }

  add(box, left, right) {
    this.boxes.push(box);
    this.left.push(left);
    this.right.push(right);
  }

  /** Position of the box at `x`, or -1. */
  at(x) {
    let low = 0;
    let high = this.boxes.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (x < this.left[middle]) high = middle - 1;
      else if (x >= this.right[middle]) low = middle + 1;
      else return middle;
    }
    return -1;
  }
}

/** Rows from the root outward: the boxes that lead to the zoomed one, it, and what is next to it. */
function layOut(tree, zoomed, width) {
  const rows = [];
  for (let box = zoomed; box >= 0; box = tree.parent[box]) {
    const row = new Row();
    row.add(box, 0, width);
    rows.unshift(row);
  }
  const scale = tree.weight[zoomed] > 0 ? width / tree.weight[zoomed] : 0;
  for (let above = rows[rows.length - 1]; above.boxes.length > 0;) {
    const row = nextRow(tree, above, scale);
    if (row.boxes.length === 0) break;
    rows.push(row);
    above = row;
  }
  return rows;
}

function nextRow(tree, above, scale) {
  const row = new Row();
  above.boxes.forEach((box, position) => {
    if (box < 0) return;
    let left = above.left[position];
    let strip = left;
    const endStrip = () => { if (left - strip >= NARROWEST) row.add(-1, strip, left); };
    for (const child of tree.childrenOf(box)) {
      const right = left + tree.weight[child] * scale;
      if (right - left >= NARROWEST) {
        endStrip();
        row.add(child, left, right);
        strip = right;
      }
      left = right;
    }
    endStrip();
  });
  return row;
}
