// Notebook 08: any mixture of convolutions, what it costs, and how many of its weights can learn.

import { begin, by, change, choice, keepDrawn, commas, make, megabytes, millions, newId, slider } from "./common.js";
import { layers } from "./resnet.js";

const STAGES = ["stem", "layer1", "layer2", "layer3", "layer4"];

/** The name under which the paper knows a mixture, or undefined. */
export const nameOf = (kinds, family) =>
  Object.keys(family).find((name) => family[name].every((kind, k) => kind === kinds[k]));

/** Parameters, live weights, multiply-adds, bytes kept and the last output of each stage, of the last layer, and in all. */
export function totals(all) {
  const parts = [...STAGES, "fc"].map((name) => [name, all.filter((layer) => layer.name.split(".")[0] === name)]);
  const sum = (of, what) => of.reduce((total, layer) => total + layer[what], 0);
  const row = (name, of, output) => ({
    name,
    output,
    ...Object.fromEntries(["parameters", "live", "multiplyAdds", "bytes"].map((what) => [what, sum(of, what)])),
  });
  return [...parts.map(([name, of]) => row(name, of, of.at(-1).output)), row("in all", all, [])];
}

function render({ model, el }) {
  const root = begin(el, "family");
  const family = model.get("family");
  const names = Object.keys(family);
  const picker = make("select", { id: newId() });
  picker.append(
    ...names.map((name) => make("option", { value: name }, model.get("names")[name])),
    make("option", { value: "" }, "a mixture of your own"),
  );
  picker.addEventListener("change", () => picker.value && change(model, { kinds: family[picker.value] }));
  const kinds = make("div", { class: "kinds" });
  const table = make("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "costs by stage" });
  const said = make("p", { class: "said", "aria-live": "polite" });

  const stages = STAGES.map((stage, k) => {
    const own = {
      // the k-th kind, as if it were a value of the model by itself
      get: () => model.get("kinds")[k],
      set: (_, kind) =>
        model.set(
          "kinds",
          model.get("kinds").map((other, at) => (at === k ? kind : other)),
        ),
      on: (_, call) => model.on("change:kinds", call),
      save_changes: () => model.save_changes(),
    };
    const options = (k === 0 ? ["R2D", "2D", "3D", "(2+1)D"] : ["2D", "3D", "(2+1)D"]).map((kind) => [
      kind,
      kind === "R2D" ? "2D, all frames at once" : kind,
    ]);
    return choice(own, "kind", { label: stage, options });
  });
  kinds.append(...stages);
  root.append(
    make(
      "div",
      { class: "beside" },
      make("label", { for: picker.id }, "network"),
      picker,
      choice(model, "depth", {
        label: "layers",
        options: [
          [18, "18"],
          [34, "34"],
        ],
      }),
    ),
    kinds,
    make(
      "div",
      { class: "controls" },
      slider(model, "frames", { label: "frames", min: 1, max: 64, kind: "time" }),
      slider(model, "size", { label: "rows, columns", min: 32, max: 256, step: 16, kind: "space" }),
    ),
    table,
    said,
  );

  const draw = () => {
    const now = Object.fromEntries(["kinds", "depth", "frames", "size"].map((name) => [name, model.get(name)]));
    const rows = totals(layers({ ...now, width: 64, classes: 400 }));
    const name = nameOf(now.kinds, family);
    picker.value = name ?? "";
    const head = ["", "output", "parameters", "with a gradient", "multiply-adds", "saved activations"];
    const line = (row) =>
      make(
        "tr",
        row.name === "in all" ? { class: "chosen" } : {},
        make("th", { scope: "row" }, row.name),
        ...[
          by(row.output),
          commas(row.parameters),
          `${((100 * row.live) / row.parameters).toFixed(1)} %`,
          millions(row.multiplyAdds),
          megabytes(row.bytes),
        ].map((cell) => make("td", {}, cell)),
      );
    table.replaceChildren(
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make("tr", {}, ...head.map((text) => (text ? make("th", { scope: "col" }, text) : make("td", {})))),
        ),
        make("tbody", {}, ...rows.map(line)),
      ),
    );
    said.textContent = sentence(name, now, model.get("accuracy"), model.get("names"));
  };
  const { stop } = keepDrawn(root, model, ["kinds", "depth", "frames", "size"], draw);

  return stop;
}

function sentence(name, { depth, frames }, accuracy, names) {
  if (!name) return "The paper has not trained this mixture.";
  const found = depth === 18 ? { 8: accuracy[name].slice(0, 2), 16: accuracy[name].slice(2) } : {};
  if (found[frames]) {
    const [clip, video] = found[frames];
    return `${names[name]}, 18 layers, ${frames} frames, in the paper's Table 2: ${clip.toFixed(1)} % clip accuracy and ${video.toFixed(1)} % video accuracy.`;
  }
  return `${names[name]}: the paper's Table 2 has it with 18 layers and clips of 8 or 16 frames.`;
}

export default { render };
