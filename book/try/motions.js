// Motions of the reader's own: recordings by the camera, a linear classifier on the network's features, and live answers.

import { film, frameOf, hasCamera, keeper, pause, record } from "../explorers/camera.js";
import { make, slider } from "../explorers/common.js";
import { leaveOneOut, trainOn } from "./classifier.js";
import { centerCrop, fitted, resize } from "./clips.js";
import { zipSync } from "./fflate.js";
import { answer, attempt, percent, showBars, status } from "./parts.js";

const KEPT = [128, 171]; // height and width of the frames that are kept
const SECONDS = 2;
const WINDOWS = 3; // clips of each recording that the classifier learns from
const [FEWEST, MOST] = [2, 6]; // motions

/** A name as the name of a folder. */
export const folderName = (name) => name.replace(/[\\/:*?"<>|\s]+/g, " ").replace(/^[. ]+|[. ]+$/g, "") || "motion";

/** A zip file with a folder for each motion, and a video for each recording; every recording is a group of its own. */
export async function zipOf(motions) {
  const files = {};
  for (const { name, recordings } of motions) {
    const wanted = folderName(name); // Windows and macOS take a folder that differs in case for the same
    const folder = Object.keys(files).find((other) => other.toLowerCase() === wanted.toLowerCase()) ?? wanted;
    const start = files[folder] ? Object.keys(files[folder]).length : 0;
    for (const [k, { file }] of recordings.entries()) {
      const number = String(start + k + 1).padStart(2, "0");
      const ending = file.type.split("/")[1];
      (files[folder] ||= {})[`v_${folder.replaceAll(" ", "")}_g${number}_c01.${ending}`] = new Uint8Array(
        await file.arrayBuffer(),
      );
    }
  }
  return new Blob([zipSync(files, { level: 0 })], { type: "application/zip" }); // videos are compressed already
}

export function motionsPart(root, shared) {
  const motions = [];
  let [classifier, busy, watching] = [null, false, null];
  const rows = make("div", { class: "motions" });
  const add = make("button", { type: "button" }, "one more motion");
  const off = make("button", { type: "button", hidden: "" }, "turn the camera off");
  const watch = make("button", { type: "button", disabled: "" }, "recognize");
  const save = make("button", { type: "button", disabled: "" }, "save as a zip file");
  const stage = make("div", { class: "stage" });
  const count = make("p", { class: "countdown", "aria-live": "assertive" });
  const bars = make("ol", { class: "answers", "aria-label": "probabilities of your motions" });
  const [said, learned] = [status(), make("p", { class: "said learned", role: "status" })];
  root.append(
    make("div", { class: "beside top" }, make("div", {}, stage, count, off), rows),
    make("div", { class: "beside" }, add, watch, save),
    slider(shared, "certain", { label: "none below", min: 0, max: 0.99, step: 0.01, say: percent }),
    learned,
    bars,
    said,
  );
  said.textContent = hasCamera()
    ? "The camera is off. Recordings stay on your machine."
    : "There is no camera here: browsers give one to https and localhost only. The rest of this page works without.";

  const all = () => motions.flatMap(({ recordings }, label) => recordings.map((r) => Object.assign(r, { label })));
  const names = () => motions.map(({ input }, k) => input.value.trim() || `motion ${k + 1}`);
  const about = () => shared.get("network").about;

  const stopWatching = () => watching && (watching.stopped = true);
  const cameras = keeper((camera) => {
    stage.replaceChildren(...(camera ? [camera.video] : []));
    off.hidden = !camera;
    if (!camera) stopWatching();
  });
  off.addEventListener("click", cameras.close);

  /** The features of some clips of a recording. */
  const featuresOf = async (frames) => {
    const { frames: length, resized, crop } = about();
    const clip = frames.map((frame) => centerCrop(resize(frame, resized), crop));
    const features = [];
    for (let k = 0; k < WINDOWS; k++) {
      const start = Math.round((k * Math.max(0, clip.length - length)) / (WINDOWS - 1));
      const { outputs } = await shared
        .get("network")
        .predict(fitted(clip.slice(start, start + length), length), ["features"]);
      features.push(Array.from(outputs.features.data));
    }
    return features;
  };

  const learn = async () => {
    classifier = null;
    const recordings = all();
    const ready =
      motions.every((motion) => motion.recordings.length > 1) && recordings.every(({ features }) => features);
    [save.disabled, watch.disabled] = [!ready, !ready];
    if (!ready) {
      stopWatching();
      learned.textContent = "Record each motion at least twice.";
      return;
    }
    const mine = (classifier = trainOn(recordings, motions.length));
    learned.textContent = "Setting each recording aside once ...";
    const goOn = async () => {
      do
        await pause(busy ? 100 : 0); // not while a recording runs
      while (busy);
      return classifier === mine;
    };
    const right = await leaveOneOut(recordings, motions.length, goOn);
    if (right === null) return; // there are other recordings by now
    const chance = Math.max(...motions.map((motion) => motion.recordings.length)) / recordings.length;
    learned.textContent =
      `Leave-one-out accuracy: ${right} of ${recordings.length} recordings` +
      ` (always naming the most frequent motion gives ${percent(chance)}).`;
  };

  const take = (video) => resize(frameOf(video), KEPT);
  /** Without features a recording counts as not there. */
  const look = async (recordings) => {
    said.textContent = "The network looks at it ...";
    for (const recording of recordings) recording.features = await featuresOf(recording.frames);
    said.textContent = `${all().length} recordings.`;
  };
  const recordOne = (motion) =>
    attempt(said, async () => {
      if (busy) return;
      if (!shared.get("network")) throw new Error("Press Start at the top first: there is no network yet.");
      busy = true;
      show();
      stopWatching();
      try {
        const camera = await cameras.open();
        said.textContent = "Get ready.";
        for (const number of [3, 2, 1]) {
          count.textContent = number;
          await pause(700);
        }
        count.textContent = "●";
        const { fps } = about();
        const recording = await record(camera, Math.round(SECONDS * fps), fps, { take });
        count.textContent = "";
        motion.recordings.push({ frames: recording.frames, file: await recording.file(), features: null });
        await look(motion.recordings.slice(-1));
      } finally {
        [busy, count.textContent] = [false, ""];
        show();
        attempt(said, learn);
      }
    });

  const thumbnail = (motion, name, recording, k) => {
    const { width, height, data } = recording.frames[Math.floor(recording.frames.length / 2)];
    const picture = make("canvas", { width, height, role: "img", "aria-label": `recording ${k + 1}` });
    picture.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    const button = make("button", { type: "button", "aria-label": `delete recording ${k + 1} of ${name}` }, "×");
    button.addEventListener("click", () => {
      motion.recordings.splice(k, 1);
      show();
      motion.button.focus(); // the one that had the focus is gone
      attempt(said, learn);
    });
    return make("span", { class: "thumbnail" }, picture, button);
  };
  const show = () => {
    add.disabled = busy || motions.length >= MOST;
    motions.forEach((motion, k) => {
      const name = names()[k];
      motion.input.placeholder = `motion ${k + 1}`;
      motion.input.setAttribute("aria-label", `name of motion ${k + 1}`);
      motion.button.setAttribute("aria-label", `record ${name}`);
      motion.remove.setAttribute("aria-label", `remove ${name}`);
      motion.remove.disabled = busy || motions.length <= FEWEST;
      motion.thumbnails.replaceChildren(...motion.recordings.map((r, n) => thumbnail(motion, name, r, n)));
    });
  };
  const addMotion = () => {
    const input = make("input", { type: "text", maxlength: 40 });
    const button = make("button", { type: "button" }, "record");
    const remove = make("button", { type: "button" }, "remove");
    const thumbnails = make("div", { class: "thumbnails" });
    const row = make("div", { class: "motion" }, make("div", { class: "beside" }, input, button, remove), thumbnails);
    const motion = { input, button, remove, thumbnails, recordings: [] };
    button.disabled = !hasCamera();
    button.addEventListener("click", () => recordOne(motion));
    input.addEventListener("change", show);
    remove.addEventListener("click", () => {
      motions.splice(motions.indexOf(motion), 1);
      row.remove();
      show();
      add.focus();
      attempt(said, learn);
    });
    motions.push(motion);
    rows.append(row);
    show();
    attempt(said, learn);
  };
  add.addEventListener("click", addMotion);
  for (let k = 0; k < FEWEST; k++) addMotion();

  const recognize = async () => {
    if (busy) return;
    const mine = (watching = { stopped: false });
    watch.textContent = "stop";
    const { frames, fps, resized, crop } = about();
    const last = [];
    let asking = false;
    const tell = async (frame) => {
      last.push(frame);
      if (last.length > frames) last.shift();
      if (asking || !classifier || last.length < frames) return;
      asking = true;
      await attempt(said, async () => {
        const { outputs } = await shared.get("network").predict([...last], ["features"]);
        const probs = classifier?.(Array.from(outputs.features.data));
        if (!probs || mine.stopped) return;
        showBars(bars, names(), probs, shared.get("certain"));
        const news = `Now: ${answer(names(), probs, shared.get("certain"))}`;
        if (said.textContent !== news) said.textContent = news; // what is the same is not read out again
      });
      asking = false;
    };
    try {
      const seen = (video) => centerCrop(resize(take(video), resized), crop);
      await film(await cameras.open(), Infinity, fps, { take: seen, tell, signal: mine });
    } finally {
      [watching, watch.textContent] = [null, "recognize"];
      bars.replaceChildren();
    }
  };
  watch.addEventListener("click", () => (watching ? stopWatching() : attempt(said, recognize)));
  save.addEventListener("click", () =>
    attempt(said, async () => {
      const named = motions.map(({ recordings }, k) => ({ name: names()[k], recordings }));
      const link = make("a", { download: "motions.zip", href: URL.createObjectURL(await zipOf(named)) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }),
  );
  shared.on("change:network", () =>
    attempt(said, async () => {
      const recordings = all(); // another network has other features
      recordings.forEach((recording) => (recording.features = null));
      if (!recordings.length) return;
      await learn();
      await look(recordings);
      await learn();
    }),
  );
}
