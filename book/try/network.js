// A trained network in the reader's browser: onnxruntime-web runs it, on the GPU where the browser lets it, else in WebAssembly.

import { normalize } from "./clips.js";

const here = (name) => new URL(name, import.meta.url).href;
const RUNTIME = {
  webgpu: ["ort/ort.webgpu.bundle.min.mjs", "ort/ort-wasm-simd-threaded.asyncify.wasm"],
  wasm: ["ort/ort.wasm.bundle.min.mjs", "ort/ort-wasm-simd-threaded.wasm"],
};

/** The addresses of the runtime's files; a new version has new ones, so that a browser does not mix them. */
function runtimeOf({ runtime, version }) {
  const files = (kind) => RUNTIME[kind].map((name) => `${here(name)}?${version}`);
  const parts = (kind) => ({ script: files(kind)[0], wasm: { address: files(kind)[1], size: runtime[kind] } });
  return { webgpu: parts("webgpu"), wasm: parts("wasm") };
}

/** What the page knows of its network before it loads it: the contents of network.json. */
export async function describe(name = "network/network.json") {
  const answer = await fetch(here(name)).catch(() => ({ ok: false, status: "no connection" }));
  if (!answer.ok) throw new Error(`${name} cannot be had (${answer.status}).`);
  return answer.json();
}

/**
 * Load a network. `page` is what the page's network.json says, `about` that of the network; `model` the bytes of a network.onnx
 * of the reader's own, or null for the one of this page; `tell` is called with the bytes that have come. Gives back
 * { about, backend, predict, close }. After `close` every question is refused.
 */
export async function load(page, about, model, tell, backend = "auto") {
  const worker = new Worker(here("worker.js"), { type: "module" });
  const waiting = new Map();
  let [count, ended] = [0, null];
  const stop = (why) => {
    ended = why;
    worker.terminate();
    for (const { failed } of waiting.values()) failed(new Error(why));
    waiting.clear();
  };
  worker.onmessage = ({ data }) => {
    if (data.progress) return tell(data.progress);
    const { done, failed } = waiting.get(data.id);
    waiting.delete(data.id);
    data.failed ? failed(new Error(data.failed)) : done(data.done);
  };
  worker.onerror = (event) => stop(event.message || "The thread that computes has ended.");
  const ask = (what) =>
    new Promise((done, failed) => {
      if (ended) return failed(new Error(ended));
      waiting.set(++count, { done, failed });
      worker.postMessage({ ...what, id: count });
    });
  const address = `${here("network/network.onnx")}?${about.sha256.slice(0, 12)}`;
  const network = model ? { bytes: model } : { address, size: about.bytes };
  let ready;
  try {
    ready = await ask({ runtime: runtimeOf(page), network, backend });
  } catch (error) {
    stop(error.message);
    throw error;
  }
  const shape = [1, 3, about.frames, about.crop, about.crop];
  /** Outputs by name, each with `data` and `shape`, of frames that the network sees; and the milliseconds that it took. */
  const predict = (frames, names = ["logits"]) => ask({ clip: normalize(frames, about), shape, names });
  return {
    about,
    predict,
    backend: ready.backend,
    refused: ready.refused,
    close: () => stop("Another network has taken its place."),
  };
}
