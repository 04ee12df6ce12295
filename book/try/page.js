// The page "Try it": what starts it, and its parts. What they share is a model with these values:
// network, clips (to choose from), clip (frames that the network sees, and PyTorch's logits where they are known), order,
// stage, threshold, asking, answered (frames in the order in which they were read, outputs, probs, milliseconds), second.

import { begin, make } from "../explorers/common.js";
import { clipPart } from "./clip.js";
import { lookPart } from "./look.js";
import { motionsPart } from "./motions.js";
import { fromPicture, seen } from "./clips.js";
import { describe, load } from "./network.js";
import { fileButton, here, status } from "./parts.js";
import { timelinePart } from "./timeline.js";

const place = (part) => begin(document.querySelector(`.try-it[data-part="${part}"]`), `try ${part}`);
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(0)} MB`;

/** What the two files of a folder of helpers.scale.export hold. */
async function readFolder(files) {
  const [json, onnx] = [".json", ".onnx"].map((ending) => files.find(({ name }) => name.endsWith(ending)));
  if (!json || !onnx) throw new Error("Choose both files of the folder at once, network.json and network.onnx.");
  const about = JSON.parse(await json.text().catch(() => ""));
  if (!about.labels || !about.weight) throw new Error(`${json.name} is not a file of helpers.scale.export.`);
  return [about, new Uint8Array(await onnx.arrayBuffer())];
}

/** The network, if its logits of the built-in clip are PyTorch's; else the same in WebAssembly: GPUs have faults of their own. */
async function checked(network, tell) {
  const { about } = network;
  const frames = await fromPicture(here(`clips/${about.clips[0].file}`), about.clips[0]);
  let refused = "it computes other logits than PyTorch";
  try {
    const { outputs } = await network.predict(frames.map((frame) => seen(frame, about)));
    if (outputs.logits.data.every((x, k) => Math.abs(x - about.logits[k]) < 0.1)) return network;
  } catch (error) {
    refused = error.message;
  }
  network.close();
  return { ...(await load(about, about, null, tell, "wasm")), refused };
}

function startPart(root, shared) {
  const button = make("button", { type: "button", class: "primary" }, "Start");
  const bar = make("progress", { max: 1, value: 0, "aria-label": "loading", hidden: "" });
  const [said, numbers] = [status(), make("span", { class: "numbers" })];
  let [about, busy] = [null, false];

  const begins = async (chosen = async () => [about, null]) => {
    if (busy) return;
    [busy, bar.hidden, bar.value] = [true, false, 0];
    said.textContent = "Loading ...";
    try {
      about ||= await describe();
      shared.set("clips", about.clips);
      const [described, model] = await chosen();
      const total = about.runtime.wasm + (model ? 0 : described.bytes);
      const tell = (come) => {
        bar.value = come / total;
        numbers.textContent = megabytes(come);
      };
      const backend = new URLSearchParams(location.search).get("backend") || "auto";
      let network = await load(about, described, model, tell, backend);
      if (network.backend === "WebGPU" && !model) network = await checked(network, tell);
      shared.get("network")?.close();
      shared.set("network", network);
      const refused = network.refused ? ` (not the GPU: ${network.refused})` : "";
      said.textContent = `${network.backend} runs the network${refused}. ${described.trained_on} ${described.score}`;
      button.textContent = "Load again";
    } catch (error) {
      said.textContent = `The network could not be loaded. ${error.message}`;
    } finally {
      [busy, bar.hidden, numbers.textContent] = [false, true, ""];
    }
  };
  button.addEventListener("click", () => begins());
  const own = fileButton("a network of your own", { multiple: "", accept: ".json,.onnx" }, (files) =>
    begins(() => readFolder(files)),
  );
  root.append(make("div", { class: "beside" }, button, own, bar, numbers), said);
  describe().then(
    (described) => {
      about = described;
      shared.set("clips", about.clips);
      const { wasm, webgpu } = about.runtime;
      said.textContent = `Start loads ${megabytes(about.bytes)} of weights and ${megabytes(wasm)} of runtime (${megabytes(webgpu)} for a GPU), once.`;
    },
    (error) => (said.textContent = error.message),
  );
}

/** Begin; `shared` is an empty model. */
export function begins(shared) {
  const values = { order: "forwards", stage: "layer1", threshold: 0.5, certain: 0.6, shortest: 1, second: 0 };
  for (const [name, value] of Object.entries(values)) shared.set(name, value);
  startPart(place("start"), shared);
  clipPart(place("clip"), shared);
  lookPart(place("look"), shared);
  timelinePart(place("timeline"), shared);
  motionsPart(place("motions"), shared);
}
