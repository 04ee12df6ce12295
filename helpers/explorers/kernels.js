// Notebook 02: the kernels of a 3D and of a (2+1)D convolution inside a clip, what they cost, and what they compute.

import {
  begin,
  by,
  change,
  choice,
  keepDrawn,
  commas,
  cuts,
  drawRoom,
  faces,
  facesReader,
  make,
  midplanes,
  newId,
  onWall,
  paint,
  picture,
  player,
  projection,
  sized,
  slider,
  turnable,
} from "./common.js";
import { CLIP, convolution, costs, position, rank, shrunk, weights } from "./convolution.js";

const FILTERS = [
  ["edge", "edge"],
  ["moving edge", "moving edge"],
  ["blur", "blur over time"],
  ["difference", "difference over time"],
  ["own", "your own weights"],
];
const MOST_CELLS = 75; // of a kernel whose numbers are shown one by one

function render({ model, el }) {
  const root = begin(el, "kernels");
  const bytes = new Uint8Array(model.get("clip").buffer, model.get("clip").byteOffset);
  const names = "t d stride_t stride_s padding inplanes planes midplanes frames size filter own place yaw pitch".split(
    " ",
  );
  const state = () => Object.fromEntries(names.map((name) => [name, model.get(name)]));

  const scene = make("canvas", { role: "img", class: "scene" });
  turnable(scene, model);
  const bars = make("div", { class: "bars" });
  const said = make("p", { class: "said", "aria-live": "polite" });
  const computed = computation(model);
  const middle = middleSlider(model);
  const place = slider(model, "place", { label: "position", min: 0, max: 1, say: (n) => commas(n + 1), kind: "wide" });
  const run = player((seconds) => {
    const { output } = costs(state());
    const count = output[1] * output[2] * output[3];
    change(model, { place: (model.get("place") + Math.max(1, Math.round(30 * seconds))) % count });
  }, "move");
  root.append(scene, make("div", { class: "beside" }, place, run), controls(model, middle), bars, said, computed.part);

  let cached = {}; // what only changes when the kernel or the clip does
  const recompute = (now) => {
    const key = JSON.stringify({ ...now, place: 0, yaw: 0, pitch: 0 });
    if (cached.key === key) return cached;
    const cost = costs(now);
    const clip = shrunk(bytes, now.frames, now.size);
    const numbers = weights(now);
    const conv = convolution(clip, numbers, now);
    cached = { key, cost, clip, numbers, conv, grey: greyOf(numbers), rank: rank(numbers, now.t) };
    return cached;
  };

  const draw = (ink) => {
    const now = state();
    const made = recompute(now);
    const { cost } = made;
    const count = cost.fits ? cost.output[1] * cost.output[2] * cost.output[3] : 1;
    place.input.max = count - 1;
    place.show();
    place.input.disabled = run.disabled = !cost.fits;
    middle.show();
    drawScenes(scene, now, made, ink);
    drawBars(bars, cost);
    said.textContent = sentence(now, cost);
    computed.draw(now, made, ink);
  };
  const { stop } = keepDrawn(root, model, names, draw);

  return stop;
}

function controls(model, middle) {
  const odd = { values: [1, 3, 5, 7] };
  const channels = { values: [3, 16, 32, 64, 128, 256, 512] };
  const group = (title, ...rows) => make("fieldset", {}, make("legend", {}, title), ...rows);
  return make(
    "div",
    { class: "controls" },
    group(
      "kernel",
      slider(model, "t", { label: "t, frames", ...odd, kind: "time" }),
      slider(model, "d", { label: "d, pixels", ...odd, kind: "space" }),
    ),
    group(
      "channels",
      slider(model, "inplanes", { label: "in", ...channels }),
      slider(model, "planes", { label: "out", ...channels }),
      middle,
    ),
    group(
      "moves",
      slider(model, "stride_t", { label: "stride, time", min: 1, max: 3, kind: "time" }),
      slider(model, "stride_s", { label: "stride, space", min: 1, max: 3, kind: "space" }),
      choice(model, "padding", {
        label: "padding",
        options: [
          ["half", "half a kernel"],
          ["none", "none"],
        ],
      }),
    ),
    group(
      "clip",
      slider(model, "frames", { label: "frames", values: [2, 4, 8, 16], kind: "time" }),
      slider(model, "size", { label: "rows, columns", values: [14, 28, 56], kind: "space" }),
    ),
  );
}

/** M, from an eighth to four times the paper's, in steps of which ten double it. In the middle mark it follows the paper's. */
function middleSlider(model) {
  const paper = () => midplanes(model.get("inplanes"), model.get("planes"), model.get("t"), model.get("d"));
  const id = newId();
  const input = make("input", { type: "range", id, min: -30, max: 20, step: 1, list: `${id}-marks` });
  const output = make("output", { for: id });
  const marks = make("datalist", { id: `${id}-marks` }, make("option", { value: 0 }));
  const row = make("div", { class: "slider" }, make("label", { for: id }, "M, intermediate"), input, output, marks);
  row.show = () => {
    const own = model.get("midplanes");
    input.value = own ? Math.round(10 * Math.log2(own / paper())) : 0;
    output.textContent = own ? commas(own) : `${commas(paper())}, paper`;
    input.setAttribute(
      "aria-valuetext",
      own ? `${own}, where the paper has ${paper()}` : `${paper()}, as in the paper`,
    );
  };
  input.addEventListener("input", () => {
    const steps = Number(input.value);
    change(model, { midplanes: steps === 0 ? 0 : Math.max(1, Math.round(paper() * 2 ** (steps / 10))) });
  });
  row.show();
  return row;
}

/** From a number of the output to a shade: zero is black if the kernel has no negative numbers, else grey. */
function greyOf(numbers) {
  const [up, down] = [1, -1].map((sign) => numbers.reduce((sum, n) => sum + Math.max(0, sign * n), 0));
  return down === 0 ? (value) => (255 * value) / (up || 1) : (value) => 127.5 + (127.5 * value) / Math.max(up, down);
}

function drawScenes(canvas, now, made, ink) {
  const { cost, conv } = made;
  const width = canvas.parentElement.clientWidth;
  const columns = width > 560 ? 4 : 2;
  const [w, h] = [width / columns, (width / columns) * 1.05];
  const context = sized(canvas, width, (h * 4) / columns);
  const project = projection(now.yaw, now.pitch);
  const at = cost.fits ? position(now.place, cost.output) : null;
  const [f, y, x] = at ? conv.corner(...at) : [0, 0, 0];
  const [before, around] = [Math.floor(now.t / 2), Math.floor(now.d / 2)];
  const clip = [now.frames, now.size, now.size];
  const maps = [now.frames, cost.output[2], cost.output[2]]; // between the two convolutions
  const mapped = (t, j, k) =>
    255 *
    conv.pixel(
      t,
      ...conv
        .corner(0, j, k)
        .slice(1)
        .map((n) => n + around),
    );
  const shown = (t, row, column) => 255 * conv.pixel(t, row, column);
  const scenes = [
    ["3D", `${now.t} × ${now.d} × ${now.d}`, clip, shown, [f, y, x], [now.t, now.d, now.d]],
    ["(2+1)D: first space", `1 × ${now.d} × ${now.d}`, clip, shown, [f + before, y, x], [1, now.d, now.d]],
    [`then time, M = ${commas(cost.middle)}`, `${now.t} × 1 × 1`, maps, mapped, at && [f, at[1], at[2]], [now.t, 1, 1]],
    [
      "output",
      by(cost.output),
      cost.output.slice(1),
      (...place) => made.grey(conv.output(...place)),
      at,
      [1, 1, 1],
    ],
  ];
  scenes.forEach(([title, below, shape, grey, low, kernel], k) => {
    const corner = [(k % columns) * w, Math.floor(k / columns) * h];
    context.textAlign = "left";
    context.fillStyle = ink.ink;
    context.font = "600 13px system-ui, sans-serif";
    context.fillText(title, corner[0] + 4, corner[1] + 14);
    context.font = "12px system-ui, sans-serif";
    context.fillText(at ? below : "does not fit", corner[0] + 4, corner[1] + 30);
    const centre = [corner[0] + w / 2, corner[1] + h / 2 + 16];
    if (!at) return;
    const cell = [(w * 0.5) / CLIP[0], (w * 0.56) / now.size, (w * 0.56) / now.size];
    const pictures = cuts(
      shape,
      low.map((n, axis) => n + Math.floor(kernel[axis] / 2)),
      grey,
    );
    const { place, far } = drawRoom(context, project, centre, cell, shape, pictures, ink);
    for (const wall of far)
      paint(context, onWall(wall, low, kernel, shape), place, {
        line: wall.axis === 0 ? ink.space : ink.time,
        width: 1.5,
      });
    for (const face of faces(low, kernel).filter((face) => facesReader(face, project)))
      paint(context, face, place, { fill: face.axis === 0 ? ink.space : ink.time, line: "white" });
  });
  canvas.setAttribute("aria-label", sceneInWords(now, cost, at));
}

function sceneInWords({ t, d, frames, size }, { output, middle, fits }, at) {
  const clip = `a clip of ${frames} frames of ${size} × ${size}`;
  if (!fits) return `The kernel of ${t} × ${d} × ${d} is larger than ${clip}, so it has no output position.`;
  const where = `frame ${at[0]}, row ${at[1]}, column ${at[2]} of the output`;
  return (
    `Four blocks that turn with the arrow keys. Inside ${clip} a 3D kernel of ${t} × ${d} × ${d}; inside the same clip a spatial one of ` +
    `1 × ${d} × ${d}; inside ${middle} feature maps a temporal one of ${t} × 1 × 1; and the output, ${by(output)}. They stand at ${where}.`
  );
}

function drawBars(bars, { parameters, multiplyAdds, fits }) {
  const line = (name, parts, longest) =>
    make(
      "div",
      { class: "bar" },
      make("span", {}, name),
      make(
        "span",
        { class: "track" },
        ...parts.map(([kind, n]) => make("span", { class: kind, style: `width: ${(100 * n) / longest}%` })),
      ),
      make("span", { class: "number" }, commas(parts.reduce((sum, [, n]) => sum + n, 0))),
    );
  const pair = (title, { three, space, time }) => {
    const longest = Math.max(three, space + time);
    return make(
      "div",
      {},
      make("strong", {}, title),
      line("3D", [["three", three]], longest),
      line(
        "(2+1)D",
        [
          ["space", space],
          ["time", time],
        ],
        longest,
      ),
    );
  };
  bars.replaceChildren(pair("parameters", parameters), fits ? pair("multiply-adds", multiplyAdds) : "");
}

function sentence(now, { parameters, multiplyAdds, output, middle, paper, fits }) {
  if (!fits) return "The kernel is larger than the clip: it has no output position. Add padding, or take a smaller kernel.";
  const ratio = (counts) => ((counts.space + counts.time) / counts.three).toFixed(3);
  const width =
    middle === paper
      ? `M = ${commas(paper)}, the paper's`
      : `M = ${commas(middle)}, where the paper has ${commas(paper)}`;
  return (
    `${by([now.inplanes, now.frames, now.size, now.size])} becomes ${by(output)}. With ${width}, (2+1)D has ` +
    `${ratio(parameters)} times the parameters of 3D and ${ratio(multiplyAdds)} times its multiply-adds.`
  );
}

/** The lower part: choose or type a kernel, and see the sum that makes one number of the output. */
function computation(model) {
  const frames = make("div", { class: "frames" });
  const output = make("canvas", { class: "output", role: "img" });
  const sum = make("p", { class: "said" });
  const filters = choice(model, "filter", { label: "the kernel's weights (one channel)", options: FILTERS });
  const result = make("div", { class: "result" }, make("span", {}, "output"), output);
  const part = make(
    "div",
    { class: "computation" },
    filters,
    make("div", { class: "beside top" }, frames, result),
    sum,
  );
  output.addEventListener("pointerdown", (event) => {
    const { output: shape } = costs(
      Object.fromEntries(
        "t d stride_t stride_s padding inplanes planes midplanes frames size".split(" ").map((n) => [n, model.get(n)]),
      ),
    );
    const [, after, side] = shape;
    const box = output.getBoundingClientRect();
    const cell = (at, length) => Math.min(side - 1, Math.max(0, Math.floor((at / length) * side)));
    const [j, k] = [cell(event.clientY - box.top, box.height), cell(event.clientX - box.left, box.width)];
    const [i] = position(model.get("place"), shape);
    if (after > 0) change(model, { place: (i * side + j) * side + k });
  });
  let built = "";
  const build = ({ t, d }, numbers) => {
    const typed = numbers.length <= MOST_CELLS;
    frames.replaceChildren(
      ...Array.from({ length: t }, (_, a) => {
        const grid = make("div", { class: "cells", style: `grid-template-columns: repeat(${d}, 1fr)` });
        for (let at = a * d * d; typed && at < (a + 1) * d * d; at++) {
          const name = `weight in frame ${a + 1} of ${t}, row ${Math.floor((at % (d * d)) / d) + 1}, column ${(at % d) + 1}`;
          const input = make("input", { type: "number", step: "0.1", "aria-label": name });
          input.addEventListener("change", () => {
            const changed = weights({ filter: model.get("filter"), t, d, own: model.get("own") });
            changed[at] = Number(input.value) || 0;
            change(model, { own: { t, d, numbers: changed }, filter: "own" });
          });
          grid.append(input);
        }
        const products = make("div", { class: "cells products", style: `grid-template-columns: repeat(${d}, 1fr)` });
        return make("div", { class: "frame" }, make("div", { class: "caption" }), make("canvas", {}), grid, products);
      }),
    );
  };
  const draw = (now, { conv, numbers, cost, grey, rank: pairs }, ink) => {
    part.hidden = !cost.fits;
    if (!cost.fits) return;
    if (built !== `${now.t} ${now.d}`) build(now, numbers);
    built = `${now.t} ${now.d}`;
    const at = position(now.place, cost.output);
    const sums = [...frames.children].map((figure, a) => drawFrame(figure, a, now, conv, numbers, at, ink));
    drawOutput(output, cost.output, conv, grey, at, ink);
    const value = conv.output(...at);
    const added = sums
      .map((n) => n.toFixed(2))
      .join(" + ")
      .replaceAll("+ -", "− ")
      .replace(/^-/, "−");
    const parts =
      pairs === 0
        ? "All weights are zero."
        : pairs === 1
          ? "This kernel is a spatial filter times a temporal filter: one pair of a 1 × d × d and a t × 1 × 1 kernel computes the same."
          : `No single spatial filter times a temporal filter gives this kernel. It takes ${pairs} such pairs: M = ${pairs} for one channel.`;
    sum.textContent = `${added} = ${value.toFixed(2).replace("-", "−")} at frame ${at[0]}, row ${at[1]}, column ${at[2]}. ${parts}`;
  };
  return { part, draw };
}

/** One frame under the kernel: the frame with the window on it, the weights, and the products; the sum of these. */
function drawFrame(figure, a, { t, d, frames, size }, conv, numbers, at, ink) {
  const [caption, canvas, grid, products] = figure.children;
  const [f, y, x] = conv.corner(...at);
  const inside = f + a >= 0 && f + a < frames;
  caption.textContent = inside ? `frame ${f + a}` : "padding";
  const length = 84;
  const margin = Math.floor(d / 2);
  const cell = length / (size + 2 * margin);
  const context = sized(canvas, length, length);
  canvas.style.width = `${length}px`;
  context.fillStyle = "black";
  context.fillRect(0, 0, length, length);
  context.imageSmoothingEnabled = false;
  context.drawImage(
    picture(size, size, (r, c) => 255 * conv.pixel(f + a, r, c)),
    margin * cell,
    margin * cell,
    size * cell,
    size * cell,
  );
  context.strokeStyle = ink.space;
  context.lineWidth = 2;
  context.strokeRect((x + margin) * cell - 1, (y + margin) * cell - 1, d * cell + 2, d * cell + 2);
  let sum = 0;
  const shown = [];
  for (let b = 0, n = a * d * d; b < d; b++)
    for (let c = 0; c < d; c++, n++) {
      const pixel = conv.pixel(f + a, y + b, x + c);
      sum += numbers[n] * pixel;
      shown.push([pixel, numbers[n]]);
      const input = grid.children[b * d + c];
      if (input && input !== document.activeElement) input.value = Number(numbers[n].toFixed(2));
    }
  const shade = (pixel) =>
    `background: rgb(${[0, 0, 0].fill(Math.round(255 * pixel))}); color: ${pixel > 0.46 ? "black" : "white"}`;
  const small = numbers.length <= MOST_CELLS;
  products.replaceChildren(
    ...shown.map(([pixel, weight]) => make("span", { style: shade(pixel) }, small ? (weight * pixel).toFixed(2) : "")),
  );
  return sum;
}

/** The frame of the output that is being computed: what the kernel has passed is strong, what is to come is pale. */
function drawOutput(canvas, [, , side], conv, grey, [i, j, k], ink) {
  const length = 132;
  const context = sized(canvas, length, length);
  canvas.style.width = `${length}px`;
  const image = picture(side, side, (row, column) => grey(conv.output(i, row, column)));
  const cell = length / side;
  context.imageSmoothingEnabled = false;
  context.globalAlpha = 0.25;
  context.drawImage(image, 0, 0, length, length);
  context.globalAlpha = 1;
  context.save();
  context.beginPath();
  context.rect(0, 0, length, j * cell);
  context.rect(0, j * cell, (k + 1) * cell, cell);
  context.clip();
  context.drawImage(image, 0, 0, length, length);
  context.restore();
  context.strokeStyle = ink.answer;
  context.lineWidth = 2;
  context.strokeRect(k * cell - 1, j * cell - 1, cell + 2, cell + 2);
  canvas.setAttribute(
    "aria-label",
    `Frame ${i} of the output; the kernel is at row ${j}, column ${k}. A click moves it.`,
  );
}

export default { render };
