// The network, in a thread of its own, so that the page answers while it computes. See network.js.

let session, Tensor;

/** The bytes of an address, told as they come, and kept by the browser: a second time they need no network. */
async function bytes({ address, size }, tell) {
  const cache = await globalThis.caches?.open("try-it").catch(() => undefined); // only safe addresses have one
  const kept = await cache?.match(address).catch(() => undefined);
  if (kept) return new Uint8Array(await kept.arrayBuffer());
  const answer = await fetch(address).catch(() => ({ ok: false, status: "no connection" }));
  if (!answer.ok) throw new Error(`${new URL(address).pathname} cannot be had (${answer.status}).`);
  const parts = [];
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    tell(part.value.length);
  }
  const whole = new Blob(parts);
  if (whole.size !== size) throw new Error(`${new URL(address).pathname} has ${whole.size} bytes, not ${size}.`);
  const same = (request) => new URL(request.url).pathname === new URL(address).pathname;
  for (const old of (await cache?.keys()) ?? []) if (same(old)) await cache.delete(old); // of an earlier version
  await cache?.put(address, new Response(whole)).catch(() => undefined); // no room for it is no error
  return new Uint8Array(await whole.arrayBuffer());
}

/** Is there a GPU that a page may use? */
const adapter = async () => (await navigator.gpu?.requestAdapter().catch(() => null)) ?? null;

async function load({ runtime, network, backend }) {
  let come = 0;
  const tell = (count) => postMessage({ progress: (come += count) });
  const onGPU = backend !== "wasm" && (await adapter());
  const kind = onGPU ? runtime.webgpu : runtime.wasm;
  const [wasm, model] = await Promise.all([bytes(kind.wasm, tell), network.bytes ?? bytes(network, tell)]);
  const ort = await import(kind.script);
  Tensor = ort.Tensor;
  Object.assign(ort.env.wasm, { wasmBinary: wasm, numThreads: 1 });
  const create = (provider) => ort.InferenceSession.create(model, { executionProviders: [provider] });
  if (onGPU) {
    try {
      session = await create("webgpu");
      return { backend: "WebGPU" };
    } catch (error) {
      session = await create("wasm");
      return { backend: "WebAssembly", refused: String(error.message ?? error) };
    }
  }
  session = await create("wasm");
  return { backend: "WebAssembly" };
}

async function run({ clip, shape, names }) {
  const start = performance.now();
  const results = await session.run({ clips: new Tensor("float32", clip, shape) }, names);
  const outputs = {};
  for (const name of names) outputs[name] = { data: await results[name].getData(), shape: results[name].dims };
  return { outputs, milliseconds: performance.now() - start };
}

async function handle({ id, ...asked }) {
  try {
    postMessage({ id, done: await (asked.runtime ? load(asked) : run(asked)) });
  } catch (error) {
    postMessage({ id, failed: String(error.message ?? error) });
  }
}

// One question after another: a runtime that waits for the GPU has room for one.
let last = Promise.resolve();
onmessage = ({ data }) => (last = last.then(() => handle(data)));
