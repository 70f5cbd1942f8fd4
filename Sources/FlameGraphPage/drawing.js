// Draws rows of boxes on the canvas: only what is inside of the window, at the screen's own resolution.

const ROW_HEIGHT = 18;
const FONT = "12px system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif";
/** Boxes narrower than this have no text. */
const NARROWEST_TEXT = 26;
/** A colour with less contrast to the page's background has an edge around it. */
const PALE = 1.3;
const DARK_TEXT = "#111111";
const LIGHT_TEXT = "#f4f4f0";

function channels(color) {
  return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
}

/** `color` moved towards `background` by `part`. */
function mixed(color, background, part) {
  const behind = channels(background);
  const parts = channels(color).map((value, index) => Math.round(value + (behind[index] - value) * part));
  return "#" + parts.map((value) => value.toString(16).padStart(2, "0")).join("");
}

/** WCAG's relative luminance. */
function luminance(color) {
  const [red, green, blue] = channels(color).map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** WCAG's ratio of contrast. */
function contrast(one, other) {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((left, right) => left - right);
  return (lighter + 0.05) / (darker + 0.05);
}

/** The text colour that is easier to read on `fill`. */
function textColorOn(fill) {
  return contrast(fill, DARK_TEXT) >= contrast(fill, LIGHT_TEXT) ? DARK_TEXT : LIGHT_TEXT;
}

/** The canvas, its colours and its measured texts. */
class Drawing {
  constructor(canvas, profile) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.profile = profile;
    this.widths = new Map();
    this.fills = [];
    this.scale = 1;
  }

  /** Takes the page's colours; to be called when they changed. */
  setColors() {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    this.colors = {
      background: color("background"), surface: color("surface"), text: color("text"), strip: color("strip"),
      match: color("match"), accent: color("accent"), border: color("border"),
    };
    this.prepareFills();
  }

  setSize(width, height, scale) {
    this.width = width;
    this.height = height;
    const [across, down] = [Math.round(width * scale), Math.round(height * scale)];
    if (this.canvas.width !== across || this.canvas.height !== down) {
      [this.canvas.width, this.canvas.height] = [across, down];
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
    }
    if (this.scale !== scale) {
      this.scale = scale;
      this.prepareFills();
    }
  }

  /** Per language the fill and the text colour of an ordinary box and of one that is not looked for. */
  prepareFills() {
    const fill = (language, part) => {
      const color = mixed(language.color, this.colors.background, part);
      const paint = language.stripe ? this.hatched(color, mixed(language.stripe, this.colors.background, part)) : color;
      const text = textColorOn(color);
      const isMarker = Boolean(language.stripe);
      const isPale = contrast(language.color, this.colors.background) < PALE;
      return { paint, color, text, isMarker, edge: isMarker ? text : isPale ? this.colors.border : null };
    };
    this.fills = this.profile.languages.map((language) => [fill(language, 0), fill(language, 0.62)]);
    this.rootFills = [0, 0.5].map((part) => {
      const color = mixed(this.colors.border, this.colors.background, part);
      return { paint: color, color, text: textColorOn(color), isMarker: false, edge: null };
    });
  }

  hatched(color, stripe) {
    const size = Math.max(1, Math.round(8 * this.scale));
    const tile = document.createElement("canvas");
    tile.width = size;
    tile.height = size;
    const context = tile.getContext("2d");
    context.fillStyle = color;
    context.fillRect(0, 0, size, size);
    context.strokeStyle = stripe;
    context.lineWidth = size * 0.3;
    context.beginPath();
    for (const shift of [-size, 0, size]) {
      context.moveTo(shift - size * 0.5, size * 1.5);
      context.lineTo(shift + size * 1.5, -size * 0.5);
    }
    context.stroke();
    const pattern = this.context.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / this.scale));
    return pattern;
  }

  /** The nearest edge of a pixel of the screen. */
  snapped(position) { return Math.round(position * this.scale) / this.scale; }

  /** `scene`: rows, tree, zoomed and selected box, matches per frame or null, topOf(row) and describe(box). */
  draw(scene) {
    const { context, colors } = this;
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    context.fillStyle = colors.background;
    context.fillRect(0, 0, this.width, this.height);
    context.font = FONT;
    context.textBaseline = "middle";
    context.direction = "ltr";
    scene.rows.forEach((row, depth) => {
      const top = scene.topOf(depth);
      if (top + ROW_HEIGHT > 0 && top < this.height) this.drawRow(scene, row, top);
    });
    this.drawSelection(scene);
  }

  drawRow(scene, row, top) {
    const { context, colors } = this;
    const pixel = 1 / this.scale;
    const height = ROW_HEIGHT - 1;
    for (let position = 0; position < row.boxes.length; position += 1) {
      const box = row.boxes[position];
      const left = this.snapped(row.left[position]);
      const right = Math.max(left + pixel, this.snapped(row.right[position]));
      const width = right - left > 3 ? right - left - pixel : right - left;
      if (box < 0) {
        context.fillStyle = colors.strip;
        context.fillRect(left, top + height / 4, width, height / 2);
        continue;
      }
      const frame = scene.tree.frame[box];
      const isMatch = scene.matches !== null && frame >= 0 && scene.matches[frame] === 1;
      const isFaded = scene.matches !== null ? !isMatch : scene.tree.depth[box] < scene.tree.depth[scene.zoomed];
      const fill = (frame < 0 ? this.rootFills : this.fills[this.profile.language[frame]])[isFaded ? 1 : 0];
      context.fillStyle = fill.paint;
      context.fillRect(left, top, width, height);
      if (fill.edge !== null && width > 4) this.outline(left, top, width, height, fill.edge, 1);
      if (isMatch) this.drawMatch(left, top, width, height);
      if (width >= NARROWEST_TEXT) {
        const text = this.fitted(scene.describe(box), width - 8);
        if (text === "") continue;
        if (fill.isMarker) {
          // Letters between stripes are hard to read.
          context.fillStyle = fill.color;
          context.fillRect(left + 3, top + 2, this.widthOf(text) + 2, height - 4);
        }
        context.fillStyle = fill.text;
        context.fillText(text, left + 4, top + height / 2 + 0.5);
      }
    }
  }

  drawMatch(left, top, width, height) {
    if (width > 6) {
      this.outline(left, top, width, height, this.colors.match, 2);
    } else {
      this.context.fillStyle = this.colors.match;
      this.context.fillRect(left, top, width, height);
    }
  }

  outline(left, top, width, height, color, thickness) {
    this.context.strokeStyle = color;
    this.context.lineWidth = thickness;
    this.context.strokeRect(
      left + thickness / 2, top + thickness / 2, Math.max(0, width - thickness), height - thickness);
  }

  drawSelection(scene) {
    const depth = scene.tree.depth[scene.selected];
    const row = scene.rows[depth];
    const position = row === undefined ? -1 : row.boxes.indexOf(scene.selected);
    if (position < 0) return;
    const left = this.snapped(row.left[position]);
    const width = Math.max(4, this.snapped(row.right[position]) - left);
    // Two lines, so that one of them stands out from whatever the box and its neighbours are filled with.
    this.outline(left, scene.topOf(depth), width, ROW_HEIGHT - 1, this.colors.background, 2.5);
    this.outline(left, scene.topOf(depth), width, ROW_HEIGHT - 1, this.colors.text, 1.5);
  }

  widthOf(text) {
    let width = this.widths.get(text);
    if (width === undefined) {
      width = this.context.measureText(text).width;
      if (this.widths.size > 50000) this.widths.clear();
      this.widths.set(text, width);
    }
    return width;
  }

  /** The longest of `texts` that fits, or the beginning of the last one. */
  fitted(texts, room) {
    const whole = texts.find((text) => this.widthOf(text) <= room);
    if (whole !== undefined) return whole;
    const text = texts[texts.length - 1];
    let [fits, tooLong] = [0, Math.min(text.length, Math.ceil(room))];
    while (tooLong - fits > 1) {
      const middle = (fits + tooLong) >> 1;
      if (this.context.measureText(text.slice(0, middle) + "…").width <= room) fits = middle;
      else tooLong = middle;
    }
    // Half of a surrogate pair is no character.
    if (fits > 0 && /[\uD800-\uDBFF]/.test(text[fits - 1])) fits -= 1;
    return fits > 1 ? text.slice(0, fits) + "…" : "";
  }
}
