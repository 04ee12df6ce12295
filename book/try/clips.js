// Frames become the clip that the network reads: what helpers/transforms.py does in Python. A frame is an ImageData, or what
// has its `width`, `height` and `data` (red, green, blue, alpha).

const even = (x) => {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x); // halves to the even neighbour, as Python rounds
};

/** Scale a frame to [height, width], bilinear without antialiasing. */
export function resize(frame, [height, width]) {
  const { data } = frame;
  const along = (n, of) =>
    Array.from({ length: n }, (_, k) => {
      const place = Math.max(0, ((k + 0.5) * of) / n - 0.5);
      const low = Math.floor(place);
      return [low, Math.min(low + 1, of - 1), place - low];
    });
  const columns = along(width, frame.width);
  const scaled = new Uint8ClampedArray(4 * height * width); // rounds what it is given, halves to even
  let at = 0;
  for (const [top, bottom, down] of along(height, frame.height))
    for (const [left, right, across] of columns) {
      const corners = [top, top, bottom, bottom].map((row, k) => 4 * (row * frame.width + (k % 2 ? right : left)));
      for (let c = 0; c < 3; c++) {
        const [a, b, d, e] = corners.map((corner) => data[corner + c]);
        scaled[at + c] = (1 - down) * ((1 - across) * a + across * b) + down * ((1 - across) * d + across * e);
      }
      scaled[at + 3] = 255;
      at += 4;
    }
  return { width, height, data: scaled };
}

/** The square in the middle of a frame. */
export function centerCrop(frame, size) {
  const [top, left] = [even((frame.height - size) / 2), even((frame.width - size) / 2)];
  const data = new Uint8ClampedArray(4 * size * size);
  for (let row = 0; row < size; row++) {
    const start = 4 * ((top + row) * frame.width + left);
    data.set(frame.data.subarray(start, start + 4 * size), 4 * row * size);
  }
  return { width: size, height: size, data };
}

/** What the network sees of a frame. */
export const seen = (frame, { resized, crop }) => centerCrop(resize(frame, resized), crop);

/** Frames that the network sees, as a clip: (3, T, H, W), each channel with mean 0 and standard deviation 1. */
export function normalize(frames, { mean, std, crop }) {
  const pixels = crop * crop;
  const clip = new Float32Array(3 * frames.length * pixels);
  let at = 0;
  for (let c = 0; c < 3; c++)
    for (const { data } of frames)
      for (let k = 0; k < pixels; k++) clip[at++] = (data[4 * k + c] / 255 - mean[c]) / std[c];
  return clip;
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}

/** The frames of a clip in another order: "forwards", "backwards" or "shuffled", which is always the same shuffle. */
export function ordered(frames, order) {
  if (order === "backwards") return [...frames].reverse();
  if (order === "forwards") return frames;
  const shuffled = [...frames];
  for (let k = shuffled.length - 1, state = 1; k > 0; k--) {
    state = (state * 48271) % 2147483647; // a small generator of its own: the same order every time
    const other = state % (k + 1);
    [shuffled[k], shuffled[other]] = [shuffled[other], shuffled[k]];
  }
  return shuffled;
}

/** So many frames from the middle of a clip; of a shorter one, some twice. */
export function fitted(frames, count) {
  const start = Math.floor((frames.length - count) / 2);
  if (start >= 0) return frames.slice(start, start + count);
  return Array.from({ length: count }, (_, t) => frames[Math.floor((t * frames.length) / count)]);
}

/** A drawn clip: the frames of one picture, in which they lie side by side. */
export async function fromPicture(address, { width, height, count }) {
  const answer = await fetch(address).catch(() => ({ ok: false, status: "no connection" }));
  if (!answer.ok) throw new Error(`This clip cannot be had (${answer.status}). Try again, or choose another one.`);
  const image = await createImageBitmap(await answer.blob());
  const context = new OffscreenCanvas(image.width, image.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const columns = image.width / width;
  const place = (t) => [(t % columns) * width, Math.floor(t / columns) * height, width, height];
  return Array.from({ length: count }, (_, t) => context.getImageData(...place(t)));
}

/**
 * A video file of the reader's, opened: its `seconds`, `frames(start, count, fps)`, and `close`. The browser decodes it; the
 * file goes nowhere.
 */
export async function openFile(file) {
  const video = document.createElement("video");
  [video.muted, video.preload, video.playsInline] = [true, "auto", true];
  video.src = URL.createObjectURL(file);
  const close = () => (URL.revokeObjectURL(video.src), video.removeAttribute("src"));
  const until = (event) =>
    new Promise((done, failed) => {
      const heard = new AbortController();
      const no = () => (heard.abort(), failed(new Error(`${file.name} is not a video that this browser can play.`)));
      const late = setTimeout(no, 20_000); // a damaged file may make a browser wait for ever
      const ends = (go) => () => (clearTimeout(late), heard.abort(), go());
      video.addEventListener(event, ends(done), { signal: heard.signal });
      video.addEventListener("error", ends(no), { signal: heard.signal });
    });
  const seek = async (time) => {
    const there = until("seeked");
    video.currentTime = time;
    await there;
  };
  try {
    const metadata = until("loadedmetadata");
    video.load(); // on a telephone nothing is read before that
    await metadata;
    if (!video.videoWidth) throw new Error(`${file.name} has sound, but no picture.`);
    await seek(video.duration === Infinity ? 1e9 : 0); // what a browser has recorded does not say how long it is
  } catch (error) {
    close();
    throw error;
  }
  const seconds = Number.isFinite(video.duration) ? video.duration : video.currentTime;
  const context = new OffscreenCanvas(video.videoWidth, video.videoHeight).getContext("2d", {
    willReadFrequently: true,
  });
  const frames = async (start, count, fps) => {
    const taken = [];
    for (let t = 0; t < count; t++) {
      await seek(Math.min(Math.max(0, seconds - 1e-3), start + t / fps + 1e-4)); // a frame is shown from its time on
      context.drawImage(video, 0, 0);
      taken.push(context.getImageData(0, 0, video.videoWidth, video.videoHeight));
    }
    return taken;
  };
  return { seconds, frames, close };
}
