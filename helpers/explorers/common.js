// What all explorers share: controls, colours, a block that can be turned. Plain DOM and canvas; nothing is fetched.

export const outputSize = (n, kernel, stride, padding) => Math.floor((n + 2 * padding - kernel) / stride) + 1;
/** The intermediate channels of a (2+1)D convolution in the paper. */
export const midplanes = (inplanes, planes, t, d) =>
  Math.floor((t * d * d * inplanes * planes) / (d * d * inplanes + t * planes));
export const commas = (n) => Math.round(n).toLocaleString("en-US");
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
export const millions = (n) =>
  n >= 1e9 ? `${(n / 1e9).toFixed(2)} G` : n >= 1e6 ? `${(n / 1e6).toFixed(1)} M` : commas(n);
export const by = (shape) => shape.join(" × ");

/** A DOM element: `make("p", { class: "note" }, "text", child)`. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The element that holds an explorer. What has the focus in it keeps JupyterLab's keys away, whose arrows move the notebook. */
export function begin(el, kind) {
  const root = make("div", { class: `explorer ${kind}` });
  root.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  el.append(root);
  return root;
}

/** Call `draw` once before the next picture, however often something has changed since the last one. */
function oncePerFrame(draw) {
  let waiting = false;
  return () => {
    if (!waiting) requestAnimationFrame(() => ((waiting = false), draw()));
    waiting = true;
  };
}

/** The colours of the series as the style sheet has them, light or dark, and a call of `redraw` when that changes. */
function colours(element, redraw) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", redraw);
  const watcher = new MutationObserver(redraw);
  for (const node of [document.documentElement, document.body])
    watcher.observe(node, { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "class"] });
  const stop = () => (dark.removeEventListener("change", redraw), watcher.disconnect());
  const read = () => {
    const style = getComputedStyle(element);
    return Object.fromEntries(
      ["space", "time", "answer", "ink", "pale", "ground"].map((name) => [
        name,
        style.getPropertyValue(`--${name}`).trim(),
      ]),
    );
  };
  return { read, stop };
}

/**
 * Draw now, and again when one of these values of the model changes, or the colours, or the width.
 * Gives back `redraw`, the colours, and `stop`, for when the explorer goes.
 */
export function keepDrawn(root, model, names, draw) {
  const redraw = oncePerFrame(() => draw(theme.read()));
  const theme = colours(root, redraw);
  names.forEach((name) => model.on(`change:${name}`, redraw));
  const watcher = new ResizeObserver(redraw);
  watcher.observe(root);
  draw(theme.read());
  const stop = () => (theme.stop(), watcher.disconnect(), names.forEach((name) => model.off(`change:${name}`, redraw)));
  return { redraw, stop };
}

/** A name that nothing else in the document has: other explorers may stand in it, with modules of their own. */
export const newId = () => `explorer-${Math.random().toString(36).slice(2)}`;

/**
 * A slider for a number of the model, with its name and its value beside it.
 * `values` are the numbers that it can take; without them it goes from `min` to `max` in steps of `step`.
 * `say` makes a text of the number.
 */
export function slider(model, name, { label, min, max, step = 1, values = null, say = String, kind = "" }) {
  const id = newId();
  const range = values ? { min: 0, max: values.length - 1, step: 1 } : { min, max, step };
  const input = make("input", { type: "range", id, ...range });
  const output = make("output", { for: id });
  const show = () => {
    const value = model.get(name);
    input.value = values ? values.indexOf(value) : value;
    output.textContent = say(value);
    input.setAttribute("aria-valuetext", say(value));
  };
  input.addEventListener("input", () => change(model, { [name]: values ? values[input.value] : Number(input.value) }));
  model.on(`change:${name}`, show);
  show();
  const row = make("div", { class: `slider ${kind}` }, make("label", { for: id }, label), input, output);
  return Object.assign(row, { input, show });
}

/** Buttons of which one is pressed, for a text or number of the model; `options` are pairs of a value and its label. */
export function choice(model, name, { label, options }) {
  const group = newId();
  const buttons = options.map(([value, text]) => {
    const input = make("input", { type: "radio", name: group, value });
    input.addEventListener("change", () => change(model, { [name]: value }));
    return [value, input, make("label", {}, input, make("span", {}, text))];
  });
  const show = () => buttons.forEach(([value, input]) => (input.checked = value === model.get(name)));
  model.on(`change:${name}`, show);
  show();
  return make("fieldset", { class: "choice" }, make("legend", {}, label), ...buttons.map(([, , button]) => button));
}

/** Set numbers of the model, and let the other side know. */
export function change(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/**
 * A button that calls `step` at each picture for as long as it plays; a reader who asked for less motion starts it all the same.
 * `step` is given the seconds since the last call.
 */
export function player(step, label = "play") {
  const button = make("button", { type: "button", class: "player", "aria-pressed": "false" }, `▶ ${label}`);
  let last = 0;
  const next = (now) => {
    if (button.getAttribute("aria-pressed") !== "true" || !button.isConnected) return;
    step(last ? (now - last) / 1000 : 0);
    last = now;
    requestAnimationFrame(next);
  };
  button.addEventListener("click", () => {
    const playing = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", playing);
    button.textContent = playing ? "❚❚ pause" : `▶ ${label}`;
    last = 0;
    if (playing) requestAnimationFrame(next);
  });
  return button;
}

/** A canvas as sharp as the screen, with a drawing context in CSS pixels. */
export function sized(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.ratio = ratio;
  return context;
}

/** A small canvas; `value(row, column)` is a shade of grey from 0 to 255, or red, green and blue. */
export function picture(height, width, value) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let row = 0, at = 0; row < height; row++)
    for (let column = 0; column < width; column++, at += 4) {
      const shade = value(row, column);
      for (let k = 0; k < 3; k++) image.data[at + k] = shade[k] ?? shade;
      image.data[at + 3] = 255;
    }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Three pictures of a block: the cuts through a place, across each of its axes; `value(t, row, column)` as for `picture`. */
export function cuts(shape, place, value) {
  const at = place.map((n, k) => Math.min(shape[k] - 1, Math.max(0, n)));
  return [0, 1, 2].map((axis) => {
    const [a, b] = [0, 1, 2].filter((k) => k !== axis);
    const index = (row, column) => [0, 1, 2].map((k) => (k === axis ? at[k] : k === a ? row : column));
    return picture(shape[a], shape[b], (row, column) => value(...index(row, column)));
  });
}

/**
 * How a block in (time, row, column) lies on the paper: no perspective, so that equal lengths stay equal.
 * `yaw` turns it about the upright axis, `pitch` tips it forward; both in radians. Smaller depths are nearer.
 */
export function projection(yaw, pitch) {
  const [sin, cos, up, along] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return ([t, y, x]) => {
    const behind = t * cos - x * sin;
    return [x * cos + t * sin, y * along - behind * up, y * up + behind * along];
  };
}

/** The six faces of a box: the axis that is constant, at which end, and the corners [origin, along a, along b, both]. */
export function faces(low, size) {
  const all = [];
  for (const axis of [0, 1, 2])
    for (const end of [0, 1]) {
      const [a, b] = [0, 1, 2].filter((k) => k !== axis);
      const corner = (u, v) => low.map((n, k) => n + size[k] * (k === axis ? end : k === a ? u : v));
      all.push({ axis, end, corners: [corner(0, 0), corner(1, 0), corner(0, 1), corner(1, 1)] });
    }
  return all;
}

/** Does this face look at the reader? */
export function facesReader({ axis, end }, project) {
  const unit = [0, 0, 0];
  unit[axis] = 1;
  return project(unit)[2] < 0 === (end === 1);
}

/** Fill a face with a colour, draw its border, or both. */
export function paint(context, face, place, { fill = null, line = null, width = 1 }) {
  const [o, a, b, ab] = face.corners.map(place);
  context.beginPath();
  for (const [x, y] of [o, a, ab, b]) context.lineTo(x, y);
  context.closePath();
  if (fill) ((context.fillStyle = fill), context.fill());
  if (line) ((context.strokeStyle = line), (context.lineWidth = width), context.stroke());
}

/** Lay a picture over a face: its rows along the first of the face's two axes, its columns along the second. */
export function cover(context, face, place, image) {
  const [o, a, b] = face.corners.map(place);
  const { ratio } = context;
  context.save();
  context.imageSmoothingEnabled = false;
  context.setTransform(
    (ratio * (b[0] - o[0])) / image.width,
    (ratio * (b[1] - o[1])) / image.width,
    (ratio * (a[0] - o[0])) / image.height,
    (ratio * (a[1] - o[1])) / image.height,
    ratio * o[0],
    ratio * o[1],
  );
  context.drawImage(image, 0, 0);
  context.restore();
}

/**
 * A block of (time, row, column) as a room that one looks into, with a picture on each far wall and the names of the axes.
 * `cell` is the length of a step along each axis, in pixels. Gives back where a place lies on the paper, and the far walls.
 */
export function drawRoom(context, project, centre, cell, shape, pictures, ink) {
  const place = (point) => {
    const [x, y] = project(point.map((n, k) => (n - shape[k] / 2) * cell[k]));
    return [centre[0] + x, centre[1] + y];
  };
  const all = faces([0, 0, 0], shape);
  const far = all.filter((face) => !facesReader(face, project));
  for (const face of far)
    (cover(context, face, place, pictures[face.axis]), paint(context, face, place, { line: ink.pale }));
  for (const face of all) if (!far.includes(face)) paint(context, face, place, { line: ink.ink, width: 0.6 });
  const [t, y, x] = far.map((face) => face.end * shape[face.axis]); // the corner farthest away
  const middle = place(shape.map((n) => n / 2));
  const write = (letter, point, colour) => {
    const [u, v] = place(point);
    const away = 10 / Math.hypot(u - middle[0], v - middle[1]);
    context.fillStyle = colour;
    context.fillText(letter, u + away * (u - middle[0]), v + away * (v - middle[1]) + 4);
  };
  context.textAlign = "center";
  context.font = "600 12px system-ui, sans-serif";
  write("T", [shape[0] / 2, y, shape[2] - x], ink.time);
  write("H", [shape[0] - t, shape[1] / 2, x], ink.space);
  write("W", [shape[0] - t, y, shape[2] / 2], ink.space);
  return { place, far };
}

/** Where a box in a room lies when it is moved, straight, onto a wall. */
export function onWall({ axis, end }, low, size, shape) {
  const flat = (numbers, value) => numbers.map((n, k) => (k === axis ? value : n));
  return faces(flat(low, end * shape[axis]), flat(size, 0)).find((face) => face.axis === axis);
}

/** Let a canvas be turned, by pointer and by arrow keys; yaw and pitch are numbers of the model. */
export function turnable(canvas, model) {
  const within = (value, low, high) => Math.min(high, Math.max(low, value));
  const turn = (yaw, pitch) =>
    change(model, {
      yaw: within(model.get("yaw") + yaw, -1.3, 1.3),
      pitch: within(model.get("pitch") + pitch, -1.2, 1.2),
    });
  canvas.tabIndex = 0;
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) turn(event.movementX / 150, event.movementY / 150);
  });
  canvas.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (by) (turn(...by), event.preventDefault());
  });
}
