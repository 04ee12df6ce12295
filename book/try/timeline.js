// A file of any length: a clip every half a second, and segments of those that agree, as they come.

import { make, slider } from "../explorers/common.js";
import { openFile, seen, softmax } from "./clips.js";
import { attempt, fileButton, percent, status } from "./parts.js";

const STEP = 0.5; // seconds from clip to clip

/**
 * Segments { begin, end, label, prob } without gaps, of rows [start, probs] in order. The label of a clip holds around its middle,
 * half way to the middles beside it; it is -1, none, where no probability reaches the threshold. A segment shorter than
 * `shortest` seconds joins the one before it, or the one after it at the beginning.
 */
export function segments(rows, clipSeconds, threshold = 0, shortest = 0) {
  let found = [];
  rows.forEach(([start, probs], k) => {
    const best = probs.indexOf(Math.max(...probs));
    const label = probs[best] >= threshold ? best : -1;
    const border = k ? (rows[k - 1][0] + start + clipSeconds) / 2 : 0;
    const last = found.at(-1);
    if (last) last.end = border;
    found.push({ begin: border, end: start + clipSeconds, label, probs: [probs[best]] });
  });
  const join = () => {
    const joined = [];
    for (const segment of found) {
      const last = joined.at(-1);
      if (last?.label === segment.label) [last.end, last.probs] = [segment.end, [...last.probs, ...segment.probs]];
      else joined.push({ ...segment });
    }
    found = joined;
  };
  join();
  for (;;) {
    const short = found.findIndex(({ begin, end }) => end - begin < shortest - 1e-9);
    if (short < 0 || found.length < 2) break;
    const [gone] = found.splice(short, 1);
    if (short) found[short - 1].end = gone.end;
    else found[0].begin = gone.begin;
    join();
  }
  return found.map(({ probs, ...rest }) => ({ ...rest, prob: probs.reduce((a, b) => a + b) / probs.length }));
}

export function timelinePart(root, shared) {
  const stop = make("button", { type: "button", hidden: "" }, "stop");
  const list = make("ol", { class: "segments", "aria-label": "segments" });
  const strip = make("div", { class: "strip", "aria-hidden": "true" });
  const [said, numbers] = [status(), make("span", { class: "numbers" })];
  said.textContent = "Choose a file of some seconds or minutes. It stays on your machine.";
  root.append(
    make("div", { class: "beside" }, fileButton("a file of yours", { accept: "video/*" }, read), stop, numbers),
    slider(shared, "threshold", { label: "none below", min: 0, max: 0.99, step: 0.01, say: percent }),
    slider(shared, "shortest", { label: "at least", min: 0, max: 5, step: 0.5, say: (n) => `${n} s` }),
    strip,
    list,
    said,
  );
  let [rows, about, running, seconds] = [[], null, null, 0];
  stop.addEventListener("click", () => (running.stopped = true));

  const show = () => {
    if (!rows.length) return;
    const found = segments(rows, about.frames / about.fps, shared.get("threshold"), shared.get("shortest"));
    const name = ({ label }) => (label < 0 ? "none of these" : about.labels[label]);
    const whole = Math.max(seconds, found.at(-1).end);
    strip.replaceChildren(
      ...found.map((segment) => {
        const part = make("span", { class: segment.label < 0 ? "none" : `kind${segment.label % 6}` }, name(segment));
        part.style.width = `${(100 * (segment.end - segment.begin)) / whole}%`;
        return part;
      }),
    );
    list.replaceChildren(
      ...found.map((segment) => {
        const sure = segment.label < 0 ? "" : `, ${percent(segment.prob)}`;
        return make("li", {}, `${segment.begin.toFixed(1)} to ${segment.end.toFixed(1)} s: ${name(segment)}${sure}`);
      }),
    );
  };

  async function read([file]) {
    if (running) running.stopped = true;
    const mine = (running = { stopped: false });
    await attempt(said, async () => {
      const network = shared.get("network");
      if (!network) throw new Error("Press Start above first: there is no network yet.");
      said.textContent = "Opening the file ...";
      const opened = await openFile(file);
      if (mine !== running) return opened.close(); // another file was chosen meanwhile
      [rows, about, seconds, stop.hidden] = [[], network.about, opened.seconds, false];
      const length = about.frames / about.fps;
      try {
        for (let start = 0; !mine.stopped && (start === 0 || start + length <= seconds); start += STEP) {
          const frames = (await opened.frames(start, about.frames, about.fps)).map((frame) => seen(frame, about));
          const { outputs } = await network.predict(frames);
          if (mine !== running) return;
          rows.push([start, softmax(Array.from(outputs.logits.data))]);
          numbers.textContent = `${Math.min(seconds, start + length).toFixed(1)} of ${seconds.toFixed(1)} s`;
          show();
        }
        if (mine === running)
          said.textContent = `${file.name}: ${rows.length} clips${mine.stopped ? ", stopped" : ""}.`;
      } finally {
        opened.close();
      }
    });
    if (mine === running) [running, stop.hidden, numbers.textContent] = [null, true, ""];
  }
  shared.on("change:network", () => running && (running.stopped = true)); // its clips would be of two networks
  for (const name of ["threshold", "shortest"]) shared.on(`change:${name}`, show);
}
