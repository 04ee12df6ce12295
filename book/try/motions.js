// Motions of the reader's own: recordings by the camera, a linear classifier on the network's features, and live answers.

import { film, frameOf, hasCamera, openCamera, pause, record } from "../explorers/camera.js";
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
    const folder = folderName(name);
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
  let [camera, classifier, busy, watching] = [null, null, false, null];
  const rows = make("div", { class: "motions" });
  const add = make("button", { type: "button" }, "one more motion");
  const off = make("button", { type: "button", hidden: "" }, "turn the camera off");
  const watch = make("button", { type: "button", disabled: "" }, "recognise");
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

  const open = async () => {
    if (camera) return;
    camera = await openCamera();
    stage.replaceChildren(camera.video);
    off.hidden = false;
    camera.video.srcObject.getVideoTracks()[0].addEventListener("ended", close);
  };
  const close = () => {
    if (watching) watching.stopped = true;
    camera?.close();
    [camera, off.hidden] = [null, true];
    stage.replaceChildren();
  };
  off.addEventListener("click", close);

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
    const recordings = all().filter(({ features }) => features);
    save.disabled = !recordings.length;
    const ready = motions.every((motion) => motion.recordings.length > 1) && motions.length >= FEWEST;
    watch.disabled = !ready;
    if (!ready) {
      learned.textContent = "Record each motion at least twice.";
      return;
    }
    const mine = (classifier = trainOn(recordings, motions.length));
    learned.textContent = "Setting each recording aside once ...";
    const right = await leaveOneOut(recordings, motions.length, () => pause(0));
    if (classifier !== mine) return; // there are other recordings by now
    const chance = Math.max(...motions.map((motion) => motion.recordings.length)) / recordings.length;
    learned.textContent =
      `Leave-one-out accuracy: ${right} of ${recordings.length} recordings` +
      ` (always naming the most frequent motion gives ${percent(chance)}).`;
  };

  const take = (video) => resize(frameOf(video), KEPT);
  const recordOne = (motion) =>
    attempt(said, async () => {
      if (busy) return;
      if (!shared.get("network")) throw new Error("Press Start at the top first: there is no network yet.");
      busy = true;
      if (watching) watching.stopped = true;
      try {
        await open();
        said.textContent = "Get ready.";
        for (const number of [3, 2, 1]) {
          count.textContent = number;
          await pause(700);
        }
        count.textContent = "●";
        const frames = Math.round(SECONDS * about().fps);
        const recording = await record(camera, frames, about().fps, { take });
        count.textContent = "";
        said.textContent = "The network looks at it ...";
        const [file, features] = [await recording.file(), await featuresOf(recording.frames)];
        motion.recordings.push({ frames: recording.frames, file, features });
        said.textContent = "Recorded.";
        show();
        learn();
      } finally {
        [busy, count.textContent] = [false, ""];
      }
    });

  const thumbnail = (motion, recording, k) => {
    const { width, height, data } = recording.frames[Math.floor(recording.frames.length / 2)];
    const picture = make("canvas", { width, height, role: "img", "aria-label": `recording ${k + 1}` });
    picture.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    const button = make("button", { type: "button", "aria-label": `delete recording ${k + 1}` }, "×");
    button.addEventListener("click", () => {
      motion.recordings.splice(k, 1);
      show();
      learn();
    });
    return make("span", { class: "thumbnail" }, picture, button);
  };
  const show = () => {
    for (const motion of motions)
      motion.thumbnails.replaceChildren(...motion.recordings.map((r, k) => thumbnail(motion, r, k)));
    add.disabled = motions.length >= MOST;
    motions.forEach(({ remove }) => (remove.disabled = motions.length <= FEWEST));
  };
  const addMotion = () => {
    const number = motions.length + 1;
    const input = make("input", {
      type: "text",
      placeholder: `motion ${number}`,
      "aria-label": `name of motion ${number}`,
      maxlength: 40,
    });
    const button = make("button", { type: "button" }, "record");
    const remove = make("button", { type: "button" }, "remove");
    const thumbnails = make("div", { class: "thumbnails" });
    const motion = { input, remove, thumbnails, recordings: [] };
    motion.row = make("div", { class: "motion" }, make("div", { class: "beside" }, input, button, remove), thumbnails);
    button.disabled = !hasCamera();
    button.addEventListener("click", () => recordOne(motion));
    remove.addEventListener("click", () => {
      motions.splice(motions.indexOf(motion), 1);
      motion.row.remove();
      show();
      learn();
    });
    motions.push(motion);
    rows.append(motion.row);
    show();
    learn();
  };
  add.addEventListener("click", addMotion);
  for (let k = 0; k < FEWEST; k++) addMotion();

  const recognise = async () => {
    await open();
    const mine = (watching = { stopped: false });
    watch.textContent = "stop";
    const last = [];
    let asking = false;
    const tell = async (frame) => {
      last.push(frame);
      const { frames, resized, crop } = about();
      if (last.length > frames) last.shift();
      if (asking || !classifier || last.length < frames) return;
      asking = true;
      await attempt(said, async () => {
        const clip = last.map((one) => centerCrop(resize(one, resized), crop));
        const { outputs } = await shared.get("network").predict(clip, ["features"]);
        const probs = classifier?.(Array.from(outputs.features.data));
        if (!probs || mine.stopped) return;
        showBars(bars, names(), probs, shared.get("certain"));
        said.textContent = `Now: ${answer(names(), probs, shared.get("certain"))}`;
      });
      asking = false;
    };
    try {
      await film(camera, Infinity, about().fps, { take, tell, signal: mine });
    } finally {
      [watching, watch.textContent] = [null, "recognise"];
      bars.replaceChildren();
    }
  };
  watch.addEventListener("click", () => (watching ? (watching.stopped = true) : attempt(said, recognise)));
  save.addEventListener("click", () =>
    attempt(said, async () => {
      const named = motions.map(({ recordings }, k) => ({ name: names()[k], recordings }));
      const link = make("a", { download: "motions.zip", href: URL.createObjectURL(await zipOf(named)) });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }),
  );
  shared.on("change:network", async () => {
    // Another network has other features.
    const recordings = all();
    recordings.forEach((recording) => (recording.features = null));
    await attempt(said, async () => {
      for (const recording of recordings) recording.features = await featuresOf(recording.frames);
      if (recordings.length) await learn();
    });
  });
}
