// Notebook 01: a clip as a block, and its cuts: a frame, and what one row and one column show over time.

import {
  begin,
  change,
  keepDrawn,
  cuts,
  drawRoom,
  faces,
  make,
  paint,
  player,
  projection,
  sized,
  slider,
  turnable,
} from "./common.js";
import { hasCamera } from "./camera.js";
import { fromCamera, fromFile, fromMosaic } from "./film.js";

const FPS = 30;

function render({ model, el }) {
  const root = begin(el, "slices");
  const scene = make("canvas", { role: "img", class: "scene" });
  turnable(scene, model);
  const flat = make("canvas", { role: "img", class: "flat" });
  const said = make("p", { class: "said", "aria-live": "polite" });
  let film = null;

  const sliders = ["time", "row", "column"].map((name, axis) =>
    slider(model, name, { label: name, min: 0, max: model.get("shape")[axis] - 1, kind: axis ? "space" : "time" }),
  );
  const place = () => ["time", "row", "column"].map((name) => model.get(name));
  const move = (values) =>
    change(model, Object.fromEntries(["time", "row", "column"].map((name, k) => [name, values[k]])));
  const run = player(() => change(model, { time: (model.get("time") + 1) % film.shape[0] }));

  const draw = (ink) => {
    if (!film) return;
    const at = place();
    const pictures = cuts(film.shape, at, film.pixel);
    drawScene(scene, film.shape, at, pictures, projection(model.get("yaw"), model.get("pitch")), ink);
    drawFlat(flat, film.shape, at, pictures, ink);
    const words = `frame ${at[0]}, row ${at[1]} and column ${at[2]}`;
    scene.setAttribute("aria-label", `A clip as a block that turns with the arrow keys; its walls show ${words}.`);
    flat.setAttribute(
      "aria-label",
      `Three cuts, side by side: ${words}. The row and the column are shown over time. A click moves them.`,
    );
  };
  const { redraw, stop } = keepDrawn(root, model, ["time", "row", "column", "yaw", "pitch"], draw);

  const show = (other) => {
    film = other;
    sliders.forEach((row, axis) => ((row.input.max = film.shape[axis] - 1), row.show()));
    move(place().map((n, axis) => Math.min(n, film.shape[axis] - 1)));
    redraw();
  };
  pointAt(flat, () => film.shape, place, move);
  const buttons = make("div", { class: "beside" }, run, ...ownClip(model.get("shape"), show, said));
  root.append(make("div", { class: "beside top" }, scene, flat), ...sliders, buttons, said);
  fromMosaic(model.get("film"), model.get("shape")).then(show);
  return stop;
}

function drawScene(canvas, shape, at, pictures, project, ink) {
  const width = canvas.clientWidth;
  const context = sized(canvas, width, width * 0.9);
  const cell = [(width * 0.6) / shape[0], (width * 0.55) / shape[1], (width * 0.55) / shape[2]];
  const { place } = drawRoom(context, project, [width / 2, width * 0.45], cell, shape, pictures, ink);
  for (const axis of [0, 1, 2]) {
    const low = [0, 0, 0].map((n, k) => (k === axis ? at[axis] + 0.5 : n));
    const plane = faces(
      low,
      shape.map((n, k) => (k === axis ? 0 : n)),
    ).find((face) => face.axis === axis);
    paint(context, plane, place, { line: axis === 0 ? ink.time : ink.space, width: 1.5 });
  }
}

/** The frame, beside it its column over time, below it its row over time; where they lie, in shares of the canvas. */
const FRAME = [0, 0, 0.5, 0.5];
const Y_T = [0.52, 0, 0.48, 0.5];
const X_T = [0, 0.52, 0.5, 0.48];

function drawFlat(canvas, [T, H, W], [t, row, column], [frame, ofRow, ofColumn], ink) {
  const side = canvas.clientWidth;
  const context = sized(canvas, side, side);
  context.imageSmoothingEnabled = false;
  const box = (share) => share.map((n) => n * side);
  const line = (x, y, width, height, colour) => (
    (context.fillStyle = colour),
    context.fillRect(x - 0.8, y - 0.8, width + 1.6, height + 1.6)
  );
  const upright = ([x, y, width, height], share, colour) => line(x + share * width, y, 0, height, colour);
  const level = ([x, y, width, height], share, colour) => line(x, y + share * height, width, 0, colour);
  context.drawImage(frame, ...box(FRAME));
  context.drawImage(ofRow, ...box(X_T));
  const [x, y, width, height] = box(Y_T); // its picture has time downwards: turn it, so that time goes to the right
  context.save();
  context.transform(0, 1, 1, 0, x, y);
  context.drawImage(ofColumn, 0, 0, height, width);
  context.restore();
  upright(box(FRAME), (column + 0.5) / W, ink.space);
  level(box(FRAME), (row + 0.5) / H, ink.space);
  upright(box(Y_T), (t + 0.5) / T, ink.time);
  level(box(X_T), (t + 0.5) / T, ink.time);
  context.fillStyle = ink.ink;
  context.font = "13px system-ui, sans-serif";
  ["↑ the column over time", "← the row over time"].forEach((text, k) =>
    context.fillText(text, side * 0.54, side * 0.58 + 20 * k),
  );
}

/** A press or a drag on one of the three flat pictures moves the two of time, row and column that it shows. */
function pointAt(canvas, shape, place, move) {
  const follow = (event) => {
    const [x, y] = [event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight];
    const inside = ([left, top, width, height]) =>
      x >= left && x < left + width && y >= top && y < top + height && [(x - left) / width, (y - top) / height];
    const values = place();
    const put = (axis, share) => (values[axis] = Math.floor(share * shape()[axis]));
    const [onFrame, onColumn, onRow] = [FRAME, Y_T, X_T].map(inside);
    if (onFrame) (put(2, onFrame[0]), put(1, onFrame[1]));
    if (onColumn) (put(0, onColumn[0]), put(1, onColumn[1]));
    if (onRow) (put(2, onRow[0]), put(0, onRow[1]));
    move(values);
  };
  canvas.addEventListener("pointerdown", (event) => (canvas.setPointerCapture(event.pointerId), follow(event)));
  canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && follow(event));
}

/** A button for a file of the reader's own, and one for the camera where the page may have one. */
function ownClip(shape, show, said) {
  const attempt = async (work) => {
    try {
      show(await work());
      said.textContent = "";
    } catch (error) {
      said.textContent = error.message;
    }
  };
  const input = make("input", { type: "file", accept: "video/*", class: "unseen" });
  input.addEventListener("change", () => input.files[0] && attempt(() => fromFile(input.files[0], shape, FPS)));
  const buttons = [make("label", { class: "button" }, input, make("span", {}, "your own file"))];
  if (hasCamera()) {
    const camera = make("button", { type: "button" }, "your camera");
    const tell = (share) => (said.textContent = `Filming: ${Math.round(100 * share)} %`);
    camera.addEventListener("click", () => attempt(() => fromCamera(shape, FPS, tell)));
    buttons.push(camera);
  }
  return buttons;
}

export default { render };
