// The feature maps of a stage over time, and the class activation map of the answer.

import { choice, make } from "../explorers/common.js";

const MOST = 16; // channels that are shown

/** The class activation map (t, h, w) of a class: the last stage's maps, weighted as the last layer weights them. */
export function activationMap({ data, shape: [, channels, ...size] }, weights) {
  const cells = size[0] * size[1] * size[2];
  const map = new Float32Array(cells);
  for (let c = 0; c < channels; c++) for (let k = 0; k < cells; k++) map[k] += weights[c] * data[c * cells + k];
  return { map, size };
}

/** The channels with the largest mean, `MOST` of them. */
export function strongest({ data, shape: [, channels, ...size] }) {
  const cells = size[0] * size[1] * size[2];
  const mean = (c) => data.subarray(c * cells, (c + 1) * cells).reduce((a, b) => a + b, 0);
  const means = Array.from({ length: channels }, (_, c) => mean(c));
  return [...means.keys()].sort((a, b) => means[b] - means[a]).slice(0, MOST);
}

/** A value of a map (t, h, w) between its cells, at a place whose parts are from 0 to 1. */
function between(map, [T, H, W], time, row, column) {
  const along = (x, n) => {
    const place = Math.min(n - 1, Math.max(0, x * n - 0.5));
    const low = Math.floor(place);
    return [low, Math.min(n - 1, low + 1), place - low];
  };
  const [t, y, x] = [along(time, T), along(row, H), along(column, W)];
  let sum = 0;
  for (let k = 0; k < 8; k++) {
    const [i, j, l] = [k >> 2, (k >> 1) & 1, k & 1];
    const share = (i ? t[2] : 1 - t[2]) * (j ? y[2] : 1 - y[2]) * (l ? x[2] : 1 - x[2]);
    if (share) sum += share * map[(t[i] * H + y[j]) * W + x[l]];
  }
  return sum;
}

export function lookPart(root, shared) {
  const stages = ["stem", "layer1", "layer2", "layer3", "layer4"].map((name) => [name, name]);
  const heat = make("canvas", { class: "view", role: "img", "aria-label": "class activation map over the clip" });
  const maps = make("canvas", { class: "maps", role: "img", "aria-label": "feature maps of the strongest channels" });
  const said = make("p", { class: "said" }, "Press Start above.");
  root.append(
    choice(shared, "stage", { label: "feature maps of", options: stages }),
    make(
      "div",
      { class: "beside top" },
      make("figure", {}, heat, make("figcaption", {}, "class activation map")),
      make("figure", {}, maps, make("figcaption", {}, `the ${MOST} strongest channels`)),
    ),
    said,
  );
  let [ready, drawn] = [null, null]; // what does not change while the clip plays, and the frame that is drawn

  const prepare = () => {
    const answered = shared.get("answered");
    const output = answered?.outputs[shared.get("stage")];
    if (!output) return (ready = null);
    const best = answered.probs.indexOf(Math.max(...answered.probs));
    const { weight, labels } = shared.get("network").about;
    const cam = activationMap(answered.outputs.layer4, weight[best]);
    const channels = strongest(output);
    const [, all, T, H, W] = output.shape;
    const cells = T * H * W;
    const peaks = channels.map((c) =>
      output.data.subarray(c * cells, (c + 1) * cells).reduce((a, b) => Math.max(a, b), 1e-9),
    );
    ready = { frames: answered.frames, output, channels, peaks, cam, peak: Math.max(1e-9, ...cam.map) };
    const size = `${all} channels of ${T} × ${H} × ${W}`;
    drawn = null;
    said.textContent = `${shared.get("stage")}: ${size}. The map is that of "${labels[best]}"; what speaks against it is left dark.`;
    draw();
  };

  const drawHeat = (frame, time) => {
    const { width, height, data } = frame;
    if (heat.width !== width) [heat.width, heat.height] = [width, height];
    const image = new ImageData(new Uint8ClampedArray(data), width, height);
    for (let row = 0, at = 0; row < height; row++)
      for (let column = 0; column < width; column++, at += 4) {
        const value = between(ready.cam.map, ready.cam.size, time, (row + 0.5) / height, (column + 0.5) / width);
        const share = Math.min(1, Math.max(0, value / ready.peak));
        const grey = 0.35 * ((data[at] + data[at + 1] + data[at + 2]) / 3); // the clip, dark, under the heat
        [image.data[at], image.data[at + 1], image.data[at + 2]] = [grey + 235 * share, grey + 150 * share, grey];
      }
    heat.getContext("2d").putImageData(image, 0, 0);
  };
  const drawMaps = (time) => {
    const { output, channels, peaks } = ready;
    const [, , T, H, W] = output.shape;
    const [t, columns, gap] = [Math.min(T - 1, Math.floor(time * T)), 4, Math.max(1, Math.round(H / 28))];
    const [width, height] = [columns * (W + gap) - gap, Math.ceil(channels.length / columns) * (H + gap) - gap];
    if (maps.width !== width || maps.height !== height) [maps.width, maps.height] = [width, height];
    const image = new ImageData(width, height);
    channels.forEach((c, k) => {
      const corner = Math.floor(k / columns) * (H + gap) * width + (k % columns) * (W + gap);
      for (let row = 0; row < H; row++)
        for (let column = 0; column < W; column++) {
          const value = output.data[((c * T + t) * H + row) * W + column] / peaks[k];
          const at = 4 * (corner + row * width + column);
          image.data[at] = image.data[at + 1] = image.data[at + 2] = 255 * value;
          image.data[at + 3] = 255;
        }
    });
    maps.getContext("2d").putImageData(image, 0, 0);
  };
  const draw = () => {
    if (!ready) return;
    const count = ready.frames.length;
    const now = Math.floor(shared.get("second") * shared.get("network").about.fps) % count;
    if (now === drawn) return;
    drawn = now;
    drawHeat(ready.frames[now], (now + 0.5) / count);
    drawMaps((now + 0.5) / count);
  };
  shared.on("change:answered", prepare);
  shared.on("change:second", draw);
}
