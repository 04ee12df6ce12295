// Notebook 03: which motions a pair of a spatial and a temporal convolution can express, with so many channels between them.

import { begin, choice, keepDrawn, make, picture, player, sized, slider } from "./common.js";

const SIZE = 7; // frames, rows and columns of the kernel
const MOTIONS = ["still edge", "moving edge", "moving bar", "flicker", "drift"];

/** The kernel of a motion as a matrix: a row for each frame, with its pixels one after another. All its rows of pixels are alike. */
export function motionKernel(motion, speed, size = SIZE) {
  const wave = (2 * Math.PI) / 8; // one turn in eight pixels
  const value = {
    "still edge": (t, x) => Math.sign(x),
    "moving edge": (t, x) => Math.sign(x - speed * t),
    "moving bar": (t, x) => Math.exp(-((x - speed * t) ** 2)),
    flicker: (t, x) => Math.exp(-(x ** 2)) * Math.cos(wave * speed * t),
    drift: (t, x) => Math.sin(wave * (x - speed * t)),
  }[motion];
  const steps = Array.from({ length: size }, (_, k) => k - Math.floor(size / 2));
  return steps.map((t) => steps.flatMap(() => steps.map((x) => value(t, x))));
}

const dot = (a, b) => a.reduce((sum, n, k) => sum + n * b[k], 0);

/**
 * The singular value decomposition of a matrix with few rows, by one-sided Jacobi rotations (Hestenes 1958): pairs of rows are
 * turned until all are orthogonal. `values` are sorted, largest first; row k of `spatial` has length 1, column k of `temporal` too.
 */
export function svd(matrix) {
  const rows = matrix.map((row) => [...row]);
  const turns = rows.map((_, a) => rows.map((_, b) => Number(a === b))); // rows = turns × matrix
  const rotate = (pairs, a, b, cos, sin) => {
    const [first, second] = [pairs[a], pairs[b]];
    pairs[a] = first.map((n, k) => cos * n - sin * second[k]);
    pairs[b] = first.map((n, k) => sin * n + cos * second[k]);
  };
  for (let sweep = 0, turned = true; turned && sweep < 60; sweep++) {
    turned = false;
    for (let a = 0; a < rows.length; a++)
      for (let b = a + 1; b < rows.length; b++) {
        const [p, q, r] = [dot(rows[a], rows[a]), dot(rows[b], rows[b]), dot(rows[a], rows[b])];
        if (Math.abs(r) <= 1e-15 * Math.sqrt(p * q)) continue;
        const angle = 0.5 * Math.atan2(2 * r, q - p);
        for (const pairs of [rows, turns]) rotate(pairs, a, b, Math.cos(angle), Math.sin(angle));
        turned = true;
      }
  }
  const lengths = rows.map((row) => Math.sqrt(dot(row, row)));
  const order = lengths.map((_, k) => k).sort((a, b) => lengths[b] - lengths[a]);
  const values = order.map((k) => lengths[k]);
  const spatial = order.map((k) => rows[k].map((n) => n / (lengths[k] || 1)));
  return { values, spatial, temporal: order.map((k) => turns[k]) };
}

/** A kernel made again from its first `count` pairs, and the share of its norm that is left out. */
export function approximation({ values, spatial, temporal }, count) {
  const kernel = temporal[0].map((_, t) =>
    spatial[0].map((_, at) =>
      values.slice(0, count).reduce((sum, value, k) => sum + value * temporal[k][t] * spatial[k][at], 0),
    ),
  );
  const square = (numbers) => numbers.reduce((sum, n) => sum + n * n, 0);
  return { kernel, error: Math.sqrt(square(values.slice(count)) / square(values)) };
}

/** How many pairs the kernel takes in all. */
export const rank = (values) => values.filter((value) => value > 1e-6 * values[0]).length;

function render({ model, el }) {
  const root = begin(el, "pairs");
  const drawing = make("canvas", { role: "img", class: "drawing" });
  const said = make("p", { class: "said", "aria-live": "polite" });
  let shown = 3; // the frame that the two large pictures show
  const run = player((seconds) => ((shown = (shown + 8 * seconds) % SIZE), redraw()));
  root.append(
    choice(model, "motion", { label: "the kernel looks for a", options: MOTIONS.map((name) => [name, name]) }),
    slider(model, "speed", { label: "speed", min: 0, max: 6, step: 0.25, say: (n) => n.toFixed(2), kind: "time" }),
    slider(model, "midplanes", { label: "M, pairs", min: 1, max: SIZE }),
    make("div", { class: "beside" }, run),
    drawing,
    said,
  );

  const draw = (ink) => {
    const [motion, speed, count] = ["motion", "speed", "midplanes"].map((name) => model.get(name));
    const kernel = motionKernel(motion, speed);
    const parts = svd(kernel);
    const again = approximation(parts, count);
    drawAll(drawing, kernel, again.kernel, parts, count, Math.floor(shown), ink);
    const most = rank(parts.values);
    const share = `${Math.round(100 * again.error)} %`;
    said.textContent =
      `The kernel of a ${motion} takes ${most} ${most === 1 ? "pair" : "pairs"}. With ${count}, the relative error is ${share}` +
      (count >= most ? ": the sum is exact." : ".");
    drawing.setAttribute(
      "aria-label",
      `The kernel frame by frame, below it the sum of ${count} pairs, then the spatial and the temporal part of each pair, and the ` +
        `singular values, relative to the norm: ${parts.values.map((n) => (n / Math.hypot(...parts.values)).toFixed(2)).join(", ")}.`,
    );
  };
  const { redraw, stop } = keepDrawn(root, model, ["motion", "speed", "midplanes"], draw);

  return stop;
}

const shades = (numbers, limit) =>
  picture(SIZE, SIZE, (row, column) => 127.5 + (127.5 * numbers[row * SIZE + column]) / limit);
const largest = (numbers) => Math.max(...numbers.map(Math.abs)) || 1;

function drawAll(canvas, kernel, again, { values, spatial, temporal }, count, shown, ink) {
  const width = canvas.clientWidth;
  const step = width / (SIZE + 1.4); // seven frames, and the one that plays
  const side = step * 0.9;
  const line = side + 26;
  const context = sized(canvas, width, 5 * line);
  context.imageSmoothingEnabled = false;
  context.font = "13px system-ui, sans-serif";
  const title = (row, text, colour) => ((context.fillStyle = colour), context.fillText(text, 0, row * line + 14));
  const show = (image, x, y, size) => {
    context.drawImage(image, x, y, size, size);
    context.strokeStyle = ink.ink;
    context.strokeRect(x, y, size, size);
  };
  const limit = largest(kernel.flat());
  const left = SIZE * step + 0.3 * step;
  [
    [kernel, "the kernel, frame by frame"],
    [again, `the sum of ${count} of its pairs`],
  ].forEach(([frames, text], row) => {
    title(row, text, ink.ink);
    frames.forEach((numbers, t) => show(shades(numbers, limit), t * step, row * line + 20, side));
    show(shades(frames[shown], limit), left, row * line + 20, side);
    context.strokeStyle = ink.time;
    context.lineWidth = 2;
    context.strokeRect(shown * step, row * line + 20, side, side);
    context.lineWidth = 1;
  });
  title(2, "in space: the spatial filters", ink.space);
  title(3, "in time: the temporal filters", ink.time);
  const used = Math.min(count, rank(values));
  for (let k = 0; k < used; k++) {
    show(shades(spatial[k], largest(spatial[k])), k * step, 2 * line + 20, side);
    drawProfile(context, temporal[k], k * step, 3 * line + 20, side, ink);
  }
  title(4, "singular values, relative to the norm", ink.ink);
  const norm = Math.hypot(...values);
  values.forEach((value, k) => {
    const height = (side * value) / norm;
    context.fillStyle = k < count ? ink.answer : ink.pale;
    context.fillRect(k * step + 0.15 * side, 4 * line + 20 + side - height, 0.7 * side, height);
    context.fillStyle = ink.ink;
    context.fillText((value / norm).toFixed(2), k * step + 0.2 * side, 4 * line + 18 + side - height);
  });
}

function drawProfile(context, numbers, x, y, side, ink) {
  const limit = largest(numbers);
  const at = (n, t) => [x + ((t + 0.5) * side) / numbers.length, y + side / 2 - (0.45 * side * n) / limit];
  context.strokeStyle = ink.pale;
  context.strokeRect(x, y, side, side);
  context.beginPath();
  context.moveTo(x, y + side / 2);
  context.lineTo(x + side, y + side / 2);
  context.stroke();
  context.strokeStyle = context.fillStyle = ink.time;
  context.beginPath();
  numbers.forEach((n, t) => context.lineTo(...at(n, t)));
  context.stroke();
  numbers.forEach((n, t) => (context.beginPath(), context.arc(...at(n, t), 2.5, 0, 7), context.fill()));
}

export default { render };
