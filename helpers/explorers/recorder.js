// The reader's camera in a notebook: recordings and live clips for the kernel, which stay on the machine that runs it.

import { film, hasCamera, keeper, pause, record } from "./camera.js";
import { begin, make } from "./common.js";

/** A video's frame as the kernel gets it: scaled by the browser to the height that is wanted, red, green and blue. */
function smaller(video, height) {
  const canvas = (video.small ||= document.createElement("canvas"));
  [canvas.width, canvas.height] = [Math.round((height * video.videoWidth) / video.videoHeight), height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Frames as bytes (T, H, W, 3). */
export function bytesOf(frames) {
  const [{ width, height }] = frames;
  const bytes = new Uint8Array(3 * width * height * frames.length);
  let at = 0;
  for (const { data } of frames)
    for (let k = 0; k < data.length; k += 4)
      [bytes[at++], bytes[at++], bytes[at++]] = [data[k], data[k + 1], data[k + 2]];
  return bytes;
}

function render({ model, el }) {
  const root = begin(el, "recorder");
  const [stage, count, said] = [
    make("div", { class: "stage" }),
    make("p", { class: "countdown", "aria-live": "assertive" }),
    make("p", { class: "said", role: "status" }),
  ];
  const buttons = make("div", { class: "beside" });
  root.append(buttons, stage, count, said);
  said.textContent = hasCamera()
    ? "The camera is off. What it records goes to the machine that runs this notebook, and nowhere else."
    : "This page has no camera: browsers give one to https and localhost only.";
  let [busy, watching] = [false, null];
  const button = (text, act) => {
    const made = make("button", { type: "button" }, text);
    made.disabled = !hasCamera();
    made.addEventListener("click", async () => {
      try {
        await act(made);
      } catch (error) {
        said.textContent = error.message;
      }
    });
    buttons.append(made);
    return made;
  };
  const cameras = keeper((camera) => {
    stage.replaceChildren(...(camera ? [camera.video] : []));
    off.hidden = !camera;
    if (!camera && watching) watching.stopped = true;
  });
  const recordOne = (label) => async () => {
    if (busy) return;
    busy = true;
    try {
      const camera = await cameras.open();
      for (const number of [3, 2, 1]) {
        count.textContent = number;
        await pause(700);
      }
      count.textContent = "●";
      const { file } = await record(camera, Math.round(model.get("seconds") * model.get("fps")), model.get("fps"));
      const blob = await file();
      model.set("said", "Sent to the kernel ..."); // so that the answer is news, also when it is that of last time
      model.set("film", new DataView(await blob.arrayBuffer()));
      model.set("kind", blob.type.split("/")[1]);
      model.set("label", label);
      model.set("number", model.get("number") + 1);
      model.save_changes();
    } finally {
      [busy, count.textContent] = [false, ""];
    }
  };
  const counted = (label) => (label ? `record ${label} (${model.get("counts")[label] || 0})` : "record");
  const recording = (model.get("labels").length ? model.get("labels") : [""]).map((label) => [
    label,
    model.get("live") ? null : button(counted(label), recordOne(label)),
  ]);
  const watch = async (made) => {
    if (watching) return (watching.stopped = true);
    const mine = (watching = { stopped: false });
    made.textContent = "stop";
    const last = [];
    const tell = (frame) => {
      last.push(frame);
      if (last.length > model.get("frames")) last.shift();
      if (last.length < model.get("frames") || model.get("asked") !== model.get("answered")) return;
      model.set("shape", [last.length, frame.height, frame.width, 3]);
      model.set("clip", new DataView(bytesOf(last).buffer));
      model.set("asked", model.get("asked") + 1);
      model.save_changes();
    };
    try {
      const take = (video) => smaller(video, 128);
      await film(await cameras.open(), Infinity, model.get("fps"), { take, tell, signal: mine });
    } finally {
      watching = null;
      made.textContent = "recognize";
    }
  };
  if (model.get("live")) button("recognize", watch);
  const off = button("turn the camera off", cameras.close);
  off.hidden = true;
  model.on("change:said", () => (said.textContent = model.get("said")));
  model.on("change:counts", () => recording.forEach(([label, made]) => made && (made.textContent = counted(label))));
  return cameras.close;
}

export default { render };
