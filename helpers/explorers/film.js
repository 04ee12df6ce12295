// Films: those that Python sends as one picture, and the reader's own, from a file or from the camera.

import { film, openCamera } from "./camera.js";

/** A film that Python made a mosaic of, some frames a row: { shape: [T, H, W], pixel(t, row, column) as [red, green, blue] }. */
export async function fromMosaic(bytes, shape) {
  const image = await createImageBitmap(new Blob([bytes]));
  const [T, H, W] = shape;
  const columns = image.width / W;
  const { data } = drawn(image, image.width, image.height, 0, 0, image.width, image.height);
  const frames = Array.from({ length: T }, (_, t) => (row, column) => {
    const at = 4 * ((Math.floor(t / columns) * H + row) * image.width + (t % columns) * W + column);
    return [data[at], data[at + 1], data[at + 2]];
  });
  return { shape, pixel: (t, row, column) => frames[t](row, column) };
}

/** So many frames of a video element, from its beginning, so many a second, the middle square of each; fewer if it is shorter. */
export async function fromFile(file, [T, H, W], fps) {
  const video = document.createElement("video");
  video.muted = true;
  video.src = URL.createObjectURL(file);
  try {
    await once(video, "loadeddata");
    const frames = [];
    for (let t = 0; t < T && (t + 0.5) / fps < video.duration; t++) {
      const sought = once(video, "seeked");
      video.currentTime = t / fps + 1e-4; // a frame is shown from its time on
      await sought;
      frames.push(square(video, video.videoWidth, video.videoHeight, H, W));
    }
    return stacked(frames, [H, W]);
  } catch {
    throw new Error(`${file.name} is not a video that this browser can play.`);
  } finally {
    URL.revokeObjectURL(video.src);
  }
}

/** So many frames of the camera, so many a second; `tell` is called with the share that is filmed. */
export async function fromCamera([T, H, W], fps, tell) {
  const camera = await openCamera();
  try {
    const take = (video) => square(video, video.videoWidth, video.videoHeight, H, W);
    return stacked(await film(camera, T, fps, { take, tell: (_, number) => tell((number + 1) / T) }), [H, W]);
  } finally {
    camera.close();
  }
}

function once(video, event) {
  return new Promise((done, failed) => {
    video.addEventListener(event, done, { once: true });
    video.addEventListener("error", failed, { once: true });
  });
}

function drawn(image, width, height, ...from) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, ...from, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function square(video, width, height, H, W) {
  const side = Math.min(width, height);
  return drawn(video, W, H, (width - side) / 2, (height - side) / 2, side, side).data;
}

function stacked(frames, [H, W]) {
  const pixel = (t, row, column) => frames[t].subarray(4 * (row * W + column), 4 * (row * W + column) + 3);
  return { shape: [frames.length, H, W], pixel };
}
