// What the parts of the page share: lines that say what happens, and answers in bars and in words.

import { make } from "../explorers/common.js";

/** The address of a file beside the modules. */
export const here = (name) => new URL(name, import.meta.url).href;
export const percent = (share) => `${(100 * share).toFixed(0)} %`;
/** A line that says what happens, to screen readers, too. */
export const status = () => make("p", { class: "said", role: "status" });

/** A button that opens files: the label, with the input as its `input`. */
export function fileButton(text, attributes, chosen) {
  const input = make("input", { type: "file", class: "unseen", ...attributes });
  input.addEventListener("change", async () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be chosen again
    if (files.length) await chosen(files);
  });
  return Object.assign(make("label", { class: "button" }, input, make("span", {}, text)), { input });
}

/** Do something, and say in a line why it could not be done. */
export async function attempt(said, what) {
  try {
    return await what();
  } catch (error) {
    said.textContent = error.message;
  }
}

/** The most probable labels as bars, ten at most; those that reach the threshold are dark. */
export function showBars(list, labels, probs, threshold) {
  const best = [...probs.keys()].sort((a, b) => probs[b] - probs[a]).slice(0, 10);
  const row = (k) => {
    const fill = make("span", { class: "fill" });
    fill.style.width = `${100 * probs[k]}%`;
    const parts = [make("span", { class: "name" }, labels[k]), make("span", { class: "track" }, fill)];
    const number = make("span", { class: "number" }, `${(100 * probs[k]).toFixed(1)} %`);
    return make("li", { class: probs[k] >= threshold ? "sure" : "" }, ...parts, number);
  };
  list.replaceChildren(...best.map(row));
}

/** The answer: "none of these" where no probability reaches the threshold. The bars beside it say how sure it is. */
export function answer(labels, probs, threshold) {
  const best = probs.indexOf(Math.max(...probs));
  return probs[best] >= threshold ? labels[best] : "none of these";
}
