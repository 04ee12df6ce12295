// A clip is chosen, and the network answers.

import { film, frameOf, hasCamera, keeper } from "../explorers/camera.js";
import { choice, make, player, slider } from "../explorers/common.js";
import { fitted, fromPicture, openFile, ordered, seen, softmax } from "./clips.js";
import { answer, attempt, fileButton, here, percent, showBars, status } from "./parts.js";

/** One digit, not smaller than the number. */
function roundedUp(x) {
  const unit = 10 ** Math.floor(Math.log10(x || 1));
  return (Math.ceil(x / unit) * unit).toPrecision(1);
}

export function clipPart(root, shared) {
  const drawn = make("select", { "aria-label": "a drawn clip" });
  const camera = make("button", { type: "button" }, "your camera");
  const view = make("canvas", { class: "view", role: "img", "aria-label": "the clip, as the network sees it" });
  const bars = make("ol", { class: "answers", "aria-label": "probabilities" });
  const [said, numbers] = [status(), make("p", { class: "numbers" })];
  const timer = player((seconds) => shared.set("second", shared.get("second") + seconds));
  const order = ["forwards", "backwards", "shuffled"].map((name) => [name, name]);
  const threshold = { label: "none below", min: 0, max: 0.99, step: 0.01, say: percent };
  root.append(
    make("div", { class: "beside" }, drawn, fileButton("a file of yours", { accept: "video/*" }, fromFile), camera),
    make("div", { class: "beside top" }, make("div", {}, view, timer), bars),
    make("div", { class: "controls" }, choice(shared, "order", { label: "frames", options: order }), make("div")),
    slider(shared, "threshold", threshold),
    numbers,
    said,
  );
  said.textContent = "Press Start above.";
  let [filming, turn] = [null, 0];
  const cameras = keeper(() => {});
  if (!hasCamera()) {
    camera.disabled = true;
    camera.after(make("span", {}, "(no camera here: browsers give one to https and localhost only)"));
  }

  const withNetwork = (what) =>
    attempt(said, () => {
      const network = shared.get("network");
      if (!network) throw new Error("Press Start above first: there is no network yet.");
      return what(network.about);
    });
  /** `logits` are those of PyTorch for this clip, where they are known. */
  const show = (frames, logits = null) => shared.set("clip", { frames, logits });
  const stopFilming = () => filming && (filming.stopped = true);

  const choose = () =>
    withNetwork(async (about) => {
      stopFilming();
      const [mine, index] = [++turn, drawn.selectedIndex];
      const clip = shared.get("clips")[index];
      const frames = fitted(await fromPicture(here(`clips/${clip.file}`), clip), about.frames);
      if (mine !== turn) return; // another one was chosen meanwhile
      const known = index === 0 ? about.logits : null;
      show(
        frames.map((frame) => seen(frame, about)),
        known,
      );
    });
  drawn.addEventListener("change", choose);

  function fromFile([file]) {
    return withNetwork(async (about) => {
      stopFilming();
      const mine = ++turn;
      said.textContent = "Reading the clip in the middle of the file ...";
      const opened = await openFile(file);
      try {
        const start = Math.max(0, (opened.seconds - about.frames / about.fps) / 2);
        const frames = (await opened.frames(start, about.frames, about.fps)).map((frame) => seen(frame, about));
        if (mine === turn) show(frames);
      } finally {
        opened.close();
      }
    });
  }

  async function live(about) {
    const mine = (filming = { stopped: false });
    turn++;
    camera.textContent = "stop the camera";
    const last = [];
    const tell = (frame) => {
      last.push(frame);
      if (last.length > about.frames) last.shift();
      if (last.length === about.frames && !shared.get("asking")) show([...last]);
    };
    try {
      const take = (video) => seen(frameOf(video), about);
      await film(await cameras.open(), Infinity, about.fps, { take, tell, signal: mine });
    } finally {
      cameras.close();
      filming = null;
      camera.textContent = "your camera";
    }
  }
  camera.addEventListener("click", () => (filming ? stopFilming() : withNetwork(live)));

  const ask = async () => {
    const [network, clip, order] = ["network", "clip", "order"].map((name) => shared.get(name));
    const frames = ordered(clip.frames, order);
    const names = [...new Set(["logits", "layer4", shared.get("stage")])];
    const { outputs, milliseconds } = await network.predict(frames, names);
    if (network !== shared.get("network")) return;
    const logits = Array.from(outputs.logits.data);
    const compared = order === "forwards" && clip.logits;
    const apart = compared ? Math.max(...logits.map((x, k) => Math.abs(x - compared[k]))) : null;
    shared.set("answered", { frames, outputs, probs: softmax(logits), milliseconds, apart });
  };
  /** One question at a time; what changes meanwhile is asked about afterwards. */
  let again = false;
  const keepAsking = async () => {
    again = true;
    if (shared.get("asking") || !shared.get("network") || !shared.get("clip")) return;
    shared.set("asking", true);
    while (again) {
      again = false;
      await attempt(said, ask);
    }
    shared.set("asking", false);
  };

  const tell = () => {
    const [network, answered] = [shared.get("network"), shared.get("answered")];
    if (!answered) return;
    const { labels } = network.about;
    showBars(bars, labels, answered.probs, shared.get("threshold"));
    const words = answer(labels, answered.probs, shared.get("threshold"));
    const proof =
      answered.apart === null
        ? ""
        : ` All ${labels.length} logits are within ${roundedUp(answered.apart)} of PyTorch's for this clip.`;
    numbers.textContent = `${network.backend}, ${answered.milliseconds.toFixed(0)} ms.${proof}`;
    const news = `The answer: ${words}.`;
    if (said.textContent !== news) said.textContent = news; // what is the same is not read out again
  };
  const draw = () => {
    const frames = shared.get("answered")?.frames;
    if (!frames) return;
    const now = frames[Math.floor(shared.get("second") * shared.get("network").about.fps) % frames.length];
    if (view.width !== now.width) [view.width, view.height] = [now.width, now.height];
    view.getContext("2d").putImageData(new ImageData(now.data, now.width, now.height), 0, 0);
  };
  for (const name of ["clip", "order", "stage"]) shared.on(`change:${name}`, keepAsking);
  for (const name of ["answered", "threshold"]) shared.on(`change:${name}`, tell);
  for (const name of ["answered", "second"]) shared.on(`change:${name}`, draw);
  shared.on("change:network", () => {
    stopFilming();
    shared.set("answered", null);
    shared.set("clip", null); // its frames are of the other network's size
    drawn.replaceChildren(...shared.get("clips").map(({ name }) => make("option", {}, name)));
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (!still && timer.getAttribute("aria-pressed") === "false") timer.click();
    choose();
  });
}
