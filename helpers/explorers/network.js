// Notebooks 04 and 05: one clip on its way through R(2+1)D-18: shapes, costs, memory, what a position sees, and feature maps.

import {
  begin,
  by,
  change,
  keepDrawn,
  commas,
  cuts,
  make,
  megabytes,
  millions,
  picture,
  player,
  sized,
  slider,
} from "./common.js";
import { fromMosaic } from "./film.js";
import { R2PLUS1D, layers } from "./resnet.js";

const PARTS = ["clip", "stem", "layer1", "layer2", "layer3", "layer4", "avgpool", "fc"];

/** The convolutions of a part, or its one layer, each with what belongs to it: its batch norm and its ReLU. */
export function rowsOf(part, all) {
  const rows = [];
  for (const layer of all.filter(({ name }) => name.split(".")[0] === part)) {
    if (layer.kernel || !layer.name.includes(".")) rows.push({ ...layer, answer: layer.name });
    else {
      const row = layer.name.endsWith(".relu") ? rows.findLast(({ name }) => name.includes("conv2")) : rows.at(-1);
      row.parameters += layer.parameters;
      row.bytes += layer.bytes;
      if (layer.kind === "ReLU") row.answer = layer.name; // whose output is what the convolution has to say
    }
  }
  return rows;
}

function render({ model, el }) {
  const root = begin(el, "network");
  const parts = make("div", { class: "parts", role: "group", "aria-label": "parts of the network" });
  const table = make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "layers of this part" });
  const said = make("p", { class: "said", "aria-live": "polite" });
  const inside = insides(model);
  root.append(
    make(
      "div",
      { class: "controls" },
      slider(model, "frames", { label: "frames", min: 1, max: 64, kind: "time" }),
      slider(model, "size", { label: "rows, columns", min: 32, max: 256, step: 16, kind: "space" }),
    ),
    parts,
    table,
    said,
    inside.part,
  );

  const draw = (ink) => {
    const now = Object.fromEntries(
      ["frames", "size", "width", "classes", "part", "layer"].map((name) => [name, model.get(name)]),
    );
    const all = layers({ ...R2PLUS1D, ...now });
    drawParts(parts, all, now, model);
    const rows = rowsOf(now.part, all);
    drawTable(table, rows, now, model);
    const total = (name, of) => of.reduce((sum, layer) => sum + layer[name], 0);
    const numbers = (of) =>
      `${commas(total("parameters", of))} parameters, ${millions(total("multiplyAdds", of))} multiply-adds, ` +
      `${megabytes(total("bytes", of))} of saved activations`;
    said.textContent =
      (now.part === "clip" ? "" : `${now.part}: ${numbers(rows)}. `) + `The whole network: ${numbers(all)}.`;
    inside.draw(now, rows, ink);
  };
  const { redraw, stop } = keepDrawn(root, model, ["frames", "size", "part", "layer", "moment"], draw);
  inside.ready.then(redraw);
  return stop;
}

function drawParts(parts, all, { frames, size, part }, model) {
  const lastOf = (name) =>
    name === "clip"
      ? { output: [3, frames, size, size] }
      : all.filter((layer) => layer.name.split(".")[0] === name).at(-1);
  if (!parts.children.length)
    for (const name of PARTS) {
      const button = make(
        "button",
        { type: "button" },
        make("span", { class: "box" }),
        make("strong", {}, name),
        make("span", {}),
      );
      button.addEventListener("click", () => change(model, { part: name, layer: "" }));
      parts.append(button);
    }
  PARTS.forEach((name, k) => {
    const { output } = lastOf(name);
    const button = parts.children[k];
    const [box, , shape] = button.children;
    button.setAttribute("aria-pressed", name === part);
    box.style.height = `${name === "fc" ? 12 : Math.max(10, 70 * ((output[2] ?? 1) / size) ** 0.5)}px`;
    box.style.width = `${Math.max(8, 5 * Math.log2(output[0]) - 4)}px`;
    shape.textContent = output.join("×");
  });
}

function drawTable(table, rows, { part, layer }, model) {
  table.hidden = rows.length === 0;
  const head = ["layer", "kernel", "output", "parameters", "multiply-adds", "saved", "receptive field"];
  const chosen = rows.find(({ name }) => name === layer) || rows.at(-1);
  const line = (row) => {
    const pick = make(
      "button",
      { type: "button", "aria-pressed": String(row === chosen) },
      row.name.replace(`${part}.`, ""),
    );
    pick.addEventListener("click", () => change(model, { layer: row.name }));
    const kind = !row.kernel ? "" : row.kernel[0] > 1 ? "time" : row.kernel[1] > 1 ? "space" : "";
    const cells = [
      make("span", { class: kind }, row.kernel ? by(row.kernel) : row.kind === "Linear" ? "matrix" : "mean"),
      by(row.output),
      commas(row.parameters),
      millions(row.multiplyAdds),
      megabytes(row.bytes),
      row.name.includes("downsample") || !row.kernel ? "" : by(row.field),
    ];
    return make(
      "tr",
      row === chosen ? { class: "chosen" } : {},
      make("th", { scope: "row" }, pick),
      ...cells.map((cell) => make("td", {}, cell)),
    );
  };
  const focused = table.contains(document.activeElement) ? document.activeElement.textContent : null;
  table.replaceChildren(
    make(
      "table",
      {},
      make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows.map(line)),
    ),
  );
  if (focused) [...table.querySelectorAll("button")].find((button) => button.textContent === focused)?.focus();
}

/** The lower part: the clip with what a position sees of it, and the feature maps of the chosen layer, as films. */
function insides(model) {
  const part = make("div", { class: "insides" });
  const field = make("canvas", { role: "img" });
  const maps = make("canvas", { role: "img" });
  const title = make("p", { class: "said" });
  const films = {};
  let clip = null;
  const run = player((seconds) => change(model, { moment: (model.get("moment") + 10 * seconds) % clip.shape[0] }));
  const ready = (async () => {
    if (!model.get("film").byteLength) return;
    const film = await fromMosaic(model.get("film"), model.get("shape"));
    for (const [name, sent] of Object.entries(model.get("maps"))) films[name] = await fromMosaic(sent.film, sent.shape);
    part.append(title, make("div", { class: "beside top" }, field, maps), make("div", { class: "beside" }, run));
    clip = film; // from now on there is something to draw
  })();

  const draw = (now, rows, ink) => {
    if (!clip) return;
    const row = rows.find(({ name }) => name === now.layer) || rows.at(-1);
    drawField(
      field,
      clip,
      row?.kernel && !row.name.includes("downsample") ? row.field : null,
      model.get("moment"),
      ink,
    );
    const known = row && model.get("maps")[row.answer];
    const numbers = now.part === "avgpool" ? model.get("pooled") : now.part === "fc" ? model.get("predictions") : null;
    if (known) drawMaps(maps, films[row.answer], known, model.get("moment") / clip.shape[0], ink);
    else drawNumbers(maps, numbers || [], ink);
    title.textContent =
      `Inside a trained network of ${model.get("inside")} channels, for a clip of ${by(clip.shape)}: ` +
      (known
        ? `${row.answer}, the ${known.channels.length} channels that vary most, each scaled to its own maximum. ` +
          `${Math.round(100 * known.zero)} % of all values are zero.`
        : numbers
          ? { avgpool: "global average pooling: the mean of each channel.", fc: "the five most probable actions." }[now.part]
          : "the input.");
    field.setAttribute(
      "aria-label",
      row?.kernel
        ? `A frame, and its middle row over time, with a box of ${by(row.field)}: the receptive field of one position.`
        : "A frame of the clip, and its middle row over time.",
    );
    maps.setAttribute("aria-label", known ? `Feature maps of ${row.answer} at this moment.` : "Numbers as bars.");
  };
  return { part, ready, draw };
}

/** A frame and, right of it, the clip's middle row over time; on both what one position in the middle can see. */
function drawField(canvas, clip, field, moment, ink) {
  const [T, H, W] = clip.shape;
  const width = Math.min(270, canvas.parentElement.clientWidth);
  canvas.style.width = `${width}px`;
  const [side, gap] = [(width - 12) / 2, 12];
  const context = sized(canvas, width, side);
  const [frame, row] = cuts(clip.shape, [Math.floor(moment), H >> 1, W >> 1], clip.pixel);
  context.imageSmoothingEnabled = false;
  context.drawImage(frame, 0, 0, side, side);
  context.drawImage(row, side + gap, 0, side, side);
  if (!field) return;
  const box = (left, along, down, colour) => {
    const [w, h] = [Math.min(1, along) * side - 2, Math.min(1, down) * side - 2];
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.strokeRect(left + (side - w) / 2, (side - h) / 2, w, h);
  };
  box(0, field[2] / W, field[1] / H, ink.space);
  box(side + gap, field[2] / W, field[0] / T, ink.time);
}

function drawMaps(canvas, film, { channels }, share, ink) {
  const width = Math.min(405, canvas.parentElement.clientWidth);
  canvas.style.width = `${width}px`;
  const [T, H, W] = film.shape; // the maps of all channels, one below the other in each frame
  const [side, high] = [width / channels.length - 8, H / channels.length];
  const context = sized(canvas, width, side + 18);
  context.imageSmoothingEnabled = false;
  context.font = "12px system-ui, sans-serif";
  channels.forEach((channel, k) => {
    const image = picture(high, W, (row, column) => film.pixel(Math.floor(share * T), k * high + row, column));
    context.drawImage(image, k * (side + 8), 16, side, side);
    context.fillStyle = ink.ink;
    context.fillText(`channel ${channel}`, k * (side + 8), 11);
  });
}

/** Bars of numbers, or of pairs of a name and a number. */
function drawNumbers(canvas, numbers, ink) {
  const width = Math.min(405, canvas.parentElement.clientWidth);
  canvas.style.width = `${width}px`;
  const named = numbers.length > 0 && Array.isArray(numbers[0]);
  const context = sized(canvas, width, numbers.length ? 130 : 1);
  context.font = "13px system-ui, sans-serif";
  const most = Math.max(...numbers.map((n) => (named ? n[1] : n)), 1e-9);
  numbers.forEach((number, k) => {
    context.fillStyle = ink.answer;
    if (named) {
      context.fillRect(130, 24 * k + 4, ((width - 190) * number[1]) / most, 16);
      context.fillStyle = ink.ink;
      context.fillText(number[0], 0, 24 * k + 17);
      context.fillText(`${Math.round(100 * number[1])} %`, 136 + ((width - 190) * number[1]) / most, 24 * k + 17);
    } else
      context.fillRect(
        (k * width) / numbers.length,
        125 - (120 * number) / most,
        width / numbers.length - 0.5,
        (120 * number) / most,
      );
  });
}

export default { render };
