// Notebook 07: a video as the network reads it, and its predictions over time.

import { begin, change, keepDrawn, make, picture, player, sized, slider } from "./common.js";
import { fromMosaic } from "./film.js";

/** Which clip says most about a moment: the one whose middle is nearest to it. All in frames. */
export function clipAt(moment, starts, frames) {
  const apart = starts.map((start) => Math.abs(start + frames / 2 - moment - 0.5));
  return apart.indexOf(Math.min(...apart));
}

/** The labels that are ever likely, at most `count`, those with the highest probability anywhere first. */
export function lanes(probs, count) {
  const most = probs[0].map((_, label) => Math.max(...probs.map((row) => row[label])));
  return most
    .map((_, label) => label)
    .sort((a, b) => most[b] - most[a])
    .slice(0, count);
}

function render({ model, el }) {
  const root = begin(el, "timeline");
  const frame = make("canvas", { role: "img" });
  const bars = make("canvas", { role: "img" });
  const lanesDrawing = make("canvas", { role: "img", class: "drawing" });
  const said = make("p", { class: "said", "aria-live": "off" });
  const [fps, starts, probs, labels] = ["fps", "starts", "probs", "labels"].map((name) => model.get(name));
  const count = model.get("shape")[0];
  const chosen = lanes(probs, 6);
  let film = null;
  const move = (moment) => change(model, { moment: Math.min(count - 1, Math.max(0, moment)) });
  const time = slider(model, "moment", {
    label: "time",
    min: 0,
    max: count - 1,
    step: "any",
    say: (n) => `${(n / fps).toFixed(1)} s`,
    kind: "time wide",
  });
  const run = player((seconds) => move(model.get("moment") >= count - 1 ? 0 : model.get("moment") + seconds * fps));
  root.append(
    make("div", { class: "beside top" }, frame, bars),
    make("div", { class: "beside" }, time, run),
    lanesDrawing,
    said,
  );

  const draw = (ink) => {
    const moment = model.get("moment");
    const clip = clipAt(moment, starts, model.get("frames"));
    const best = probs[clip]
      .map((p, k) => [labels[k], p])
      .sort((a, b) => b[1] - a[1])
      .slice(0, 5);
    if (film) drawFrame(frame, film, Math.floor(moment));
    drawBars(bars, best, ink);
    drawLanes(
      lanesDrawing,
      { moment, clip, chosen, count, fps, starts, probs, labels, frames: model.get("frames") },
      ink,
    );
    said.textContent = `${(starts[clip] / fps).toFixed(1)} s: ${best[0][0]}, ${Math.round(100 * best[0][1])} %`;
    frame.setAttribute("aria-label", `The video at ${(moment / fps).toFixed(1)} seconds.`);
    bars.setAttribute(
      "aria-label",
      `Predictions: ${best.map(([label, p]) => `${label} ${Math.round(100 * p)} %`).join(", ")}.`,
    );
    lanesDrawing.setAttribute(
      "aria-label",
      `A lane for each of ${chosen.map((k) => labels[k]).join(", ")} over the seconds, dark where it is probable.`,
    );
  };
  const { redraw, stop } = keepDrawn(root, model, ["moment"], draw);
  lanesDrawing.addEventListener(
    "pointerdown",
    (event) => (lanesDrawing.setPointerCapture(event.pointerId), follow(event)),
  );
  lanesDrawing.addEventListener(
    "pointermove",
    (event) => lanesDrawing.hasPointerCapture(event.pointerId) && follow(event),
  );
  const follow = (event) => move(((event.offsetX - NAMES) / (lanesDrawing.clientWidth - NAMES)) * count);
  fromMosaic(model.get("film"), model.get("shape")).then((sent) => ((film = sent), redraw()));
  return stop;
}

const NAMES = 110; // pixels left of the lanes, for their names

function drawFrame(canvas, film, t) {
  const [, H, W] = film.shape;
  const width = Math.min(224, canvas.parentElement.clientWidth);
  canvas.style.width = `${width}px`;
  const context = sized(canvas, width, (width * H) / W);
  context.drawImage(
    picture(H, W, (row, column) => film.pixel(t, row, column)),
    0,
    0,
    width,
    (width * H) / W,
  );
}

function drawBars(canvas, best, ink) {
  const width = Math.min(360, canvas.parentElement.clientWidth);
  canvas.style.width = `${width}px`;
  const context = sized(canvas, width, 150);
  context.font = "13px system-ui, sans-serif";
  best.forEach(([label, p], k) => {
    const length = (width - NAMES - 50) * p;
    context.fillStyle = k === 0 ? ink.answer : ink.pale;
    context.fillRect(NAMES, 28 * k + 6, length, 18);
    context.fillStyle = ink.ink;
    context.fillText(label, 0, 28 * k + 20, NAMES - 6);
    context.fillText(`${Math.round(100 * p)} %`, NAMES + length + 6, 28 * k + 20);
  });
}

function drawLanes(canvas, { moment, clip, chosen, count, fps, starts, probs, labels, frames }, ink) {
  const width = canvas.clientWidth;
  const [high, left] = [22, NAMES];
  const x = (frame) => left + ((width - left) * frame) / count;
  const context = sized(canvas, width, high * chosen.length + 24);
  context.font = "13px system-ui, sans-serif";
  const middles = starts.map((start) => start + frames / 2);
  const border = (k) => (k === 0 ? 0 : k === starts.length ? count : (middles[k - 1] + middles[k]) / 2);
  chosen.forEach((label, lane) => {
    context.fillStyle = ink.ink;
    context.fillText(labels[label], 0, lane * high + 15, left - 6);
    context.fillStyle = ink.answer;
    probs.forEach((row, k) => {
      context.globalAlpha = row[label];
      context.fillRect(x(border(k)), lane * high + 2, x(border(k + 1)) - x(border(k)), high - 4);
    });
    context.globalAlpha = 1;
  });
  context.fillStyle = ink.ink;
  const every = Math.max(1, Math.ceil((45 * count) / fps / (width - left))); // seconds between two that are written
  for (let second = 0; second * fps < count; second += every)
    context.fillText(`${second} s`, x(second * fps), high * chosen.length + 18);
  context.strokeStyle = ink.time;
  context.lineWidth = 1.5;
  context.strokeRect(x(starts[clip]), 1, x(starts[clip] + frames) - x(starts[clip]), high * chosen.length - 1);
  context.fillStyle = ink.time;
  context.fillRect(x(moment) - 1, 0, 2, high * chosen.length);
}

export default { render };
