// Run the explorers of a page: the modules that JupyterLab runs, with an object in place of the kernel's model.

function modelOf(values) {
  const heard = {}; // functions by the name of what they wait for
  return {
    get: (name) => values[name],
    set(name, value) {
      values[name] = value;
      for (const call of heard[`change:${name}`] || []) call();
    },
    save_changes() {},
    on: (what, call) => (heard[what] ||= []).push(call),
    off: (what, call) => (heard[what] = (heard[what] || []).filter((other) => other !== call)),
  };
}

/** What JSON could not hold comes as { base64 }, at any depth. */
function revived(key, value) {
  if (typeof value?.base64 !== "string") return value;
  return new DataView(Uint8Array.from(atob(value.base64), (letter) => letter.charCodeAt(0)).buffer);
}

async function run(place) {
  const { module, model } = JSON.parse(place.firstElementChild.textContent, revived);
  const explorer = await import(URL.createObjectURL(new Blob([module], { type: "text/javascript" })));
  explorer.default.render({ model: (place.model = modelOf(model)), el: place });
}

/** For readers who asked for less motion, some frames of a moving picture side by side in its place. */
function standStill(image) {
  const root = document.documentElement.dataset.content_root;
  image.src = `${root}_static/strips/${image.src.split("/").pop()}`;
}

/** The page "Try it" has modules of its own, which a browser takes from a server only. */
async function tryIt(place) {
  if (location.protocol === "file:") {
    place.textContent =
      "Browsers run this page from a server only. In the folder of the site: python -m http.server, then open http://localhost:8000.";
    return;
  }
  const address = new URL(`${document.documentElement.dataset.content_root}_static/try/page.js`, location.href);
  try {
    const { begins } = await import(address);
    begins((place.model = modelOf({})));
  } catch (error) {
    place.textContent = `This page could not begin: ${error.message} Are you connected? A browser of the last years is needed.`;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches)
    document.querySelectorAll("img.moves").forEach(standStill);
  document.querySelectorAll(".runs-here").forEach(run);
  document.querySelectorAll('.try-it[data-part="start"]').forEach(tryIt);
});
