// The reader's camera, for JupyterLab and for the site. What it films goes where the caller puts it, and nowhere else.

/** Can this page ask for a camera? Browsers have it for https and for localhost only. */
export const hasCamera = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** The camera, opened: its `video`, which plays, and `close`. An Error says in a sentence why there is none. */
export async function openCamera() {
  if (!hasCamera()) throw new Error("This page has no camera: browsers give one to https and localhost only.");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, height: { ideal: 480 } } });
  } catch (error) {
    if (error.name === "NotAllowedError") throw new Error("This page may not use the camera: the browser was told so.");
    if (error.name === "NotReadableError") throw new Error("Another program uses the camera. Close it and try again.");
    throw new Error("There is no camera here.");
  }
  const video = document.createElement("video");
  [video.muted, video.playsInline, video.srcObject] = [true, true, stream];
  const close = () => stream.getTracks().forEach((track) => track.stop());
  try {
    await video.play();
  } catch (error) {
    close();
    throw new Error("The camera does not play here.");
  }
  return { video, close };
}

/**
 * One camera for all parts that ask: `open` gives the one that is open, or opening; `close` turns off that one, too. `show` is
 * called with the camera, and with null when it is off.
 */
export function keeper(show) {
  let opening = null;
  const close = () => {
    opening?.then((camera) => camera.close()).catch(() => {});
    opening = null;
    show(null);
  };
  const open = async () => {
    const mine = (opening ||= openCamera());
    try {
      const camera = await mine;
      if (opening !== mine) throw new Error("The camera was turned off.");
      camera.video.srcObject.getVideoTracks()[0].onended = close;
      show(camera);
      return camera;
    } catch (error) {
      if (opening === mine) opening = null;
      throw error;
    }
  };
  return { open, close };
}

/** A frame of a video element as it is now, whole, or what `take(video)` makes of it. */
export function frameOf(video) {
  const context = (video.pencil ||= document.createElement("canvas").getContext("2d", { willReadFrequently: true }));
  const [width, height] = [video.videoWidth, video.videoHeight];
  if (context.canvas.width !== width || context.canvas.height !== height)
    [context.canvas.width, context.canvas.height] = [width, height];
  context.drawImage(video, 0, 0);
  return context.getImageData(0, 0, width, height);
}

export const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/**
 * Frames of a camera, `fps` of them a second, until there are `count` or `signal.stopped`; `take(video)` makes each of them, and
 * `tell(frame, number)` is called with it. An Error if the camera goes away.
 */
export async function film({ video }, count, fps, { take = frameOf, tell = () => {}, signal = {} } = {}) {
  const [frames, step] = [[], 1000 / fps];
  let due = performance.now();
  for (let number = 0; number < count; number++) {
    await pause(due - performance.now());
    if (signal.stopped) break;
    if (!video.srcObject.active) throw new Error("The camera was taken away.");
    due = Math.max(due + step, performance.now() - step); // a page that was busy, or hidden, does not catch up
    const frame = take(video);
    if (count < Infinity) frames.push(frame);
    tell(frame, number);
  }
  return frames;
}

/** Frames as from `film`, and beside them a video file of the same seconds, as this browser writes it. */
export async function record(camera, count, fps, options = {}) {
  const kinds = ["video/webm;codecs=vp8", "video/webm", "video/mp4"];
  const mimeType = kinds.find((kind) => globalThis.MediaRecorder?.isTypeSupported(kind));
  if (!mimeType) throw new Error("This browser cannot record videos.");
  if (!camera.video.srcObject.active) throw new Error("The camera was turned off.");
  const recorder = new MediaRecorder(camera.video.srcObject, { mimeType, videoBitsPerSecond: 4_000_000 });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((done) => (recorder.onstop = done));
  recorder.start();
  const start = performance.now();
  try {
    const frames = await film(camera, count, fps, options);
    await pause(1000 / fps); // the last frame lasts, too
    if (performance.now() - start > (1000 * count) / fps + 1000)
      throw new Error("The recording was interrupted. Please record it again.");
    return { frames, file: async () => (await ended, new Blob(parts, { type: mimeType.split(";")[0] })) };
  } finally {
    if (recorder.state !== "inactive") recorder.stop();
  }
}
