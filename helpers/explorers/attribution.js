// Notebook 11: a clip under the attribution map of a stage, frame by frame.

import { begin, change, choice, keepDrawn, make, picture, player, sized, slider } from "./common.js";
import { fromMosaic } from "./film.js";

function render({ model, el }) {
  const root = begin(el, "attribution");
  const [plain, under, bars] = ["plain", "under", "bars"].map((kind) => make("canvas", { role: "img", class: kind }));
  const said = make("p", { class: "said", "aria-live": "polite" });
  const [count] = model.get("shape");
  const films = {};
  const run = player((seconds) => {
    clock += 8 * seconds;
    if (clock >= 1) change(model, { moment: (model.get("moment") + Math.floor(clock)) % count });
    clock %= 1;
  });
  let clock = 0; // how much of the next frame's time has passed, of an eighth of a second
  root.append(
    choice(model, "stage", {
      label: "attribution by",
      options: Object.keys(model.get("under")).map((name) => [name, name]),
    }),
    slider(model, "moment", { label: "frame", min: 0, max: count - 1, kind: "time" }),
    make("div", { class: "beside" }, run),
    make("div", { class: "beside top" }, plain, under, bars),
    said,
  );

  const draw = (ink) => {
    const [stage, moment] = [model.get("stage"), model.get("moment")];
    const shares = model.get("fractions")[stage];
    if (films.plain) drawFrame(plain, films.plain, moment);
    if (films[stage]) drawFrame(under, films[stage], moment);
    drawShares(bars, shares, moment, ink);
    said.textContent = `frame ${moment}: ${Math.round(100 * shares[moment])} % of the attribution by ${stage}`;
    plain.setAttribute("aria-label", `Frame ${moment}.`);
    under.setAttribute("aria-label", `Frame ${moment} under the attribution map of ${stage}.`);
    bars.setAttribute(
      "aria-label",
      `The fraction of the attribution in each frame; frame ${shares.indexOf(Math.max(...shares))} has most.`,
    );
  };
  const { redraw, stop } = keepDrawn(root, model, ["stage", "moment"], draw);
  bars.addEventListener("pointerdown", (event) =>
    change(model, { moment: Math.min(count - 1, Math.floor((event.offsetX / bars.clientWidth) * count)) }),
  );
  const sent = { plain: model.get("film"), ...model.get("under") };
  for (const [name, bytes] of Object.entries(sent))
    fromMosaic(bytes, model.get("shape")).then((film) => ((films[name] = film), redraw()));
  return stop;
}

function drawFrame(canvas, film, t) {
  const [, H, W] = film.shape;
  canvas.style.width = "200px";
  const context = sized(canvas, 200, (200 * H) / W);
  context.drawImage(
    picture(H, W, (row, column) => film.pixel(t, row, column)),
    0,
    0,
    200,
    (200 * H) / W,
  );
}

/** Each frame's share of the attribution as a bar. */
function drawShares(canvas, shares, moment, ink) {
  const [width, height] = [240, 200];
  canvas.style.width = `${width}px`;
  const context = sized(canvas, width, height);
  const most = Math.max(...shares, 1e-9);
  shares.forEach((share, t) => {
    context.fillStyle = t === moment ? ink.answer : ink.pale;
    const high = ((height - 24) * share) / most;
    context.fillRect((t * width) / shares.length + 1, height - 18 - high, width / shares.length - 2, high);
  });
  context.fillStyle = ink.time;
  context.font = "13px system-ui, sans-serif";
  context.fillText("fraction in each frame →", 0, height - 3);
}

export default { render };
