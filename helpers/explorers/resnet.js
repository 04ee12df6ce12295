// The layers of a video ResNet, of any mixture of convolutions: notebooks 04, 05 and 08.

import { midplanes, outputSize } from "./common.js";

const BLOCKS = { 18: [2, 2, 2, 2], 34: [3, 4, 6, 3] };

/** What R(2+1)D-18 is among them. */
export const R2PLUS1D = { kinds: ["(2+1)D", "(2+1)D", "(2+1)D", "(2+1)D", "(2+1)D"], depth: 18 };

const half = (kernel) => Math.floor(kernel / 2);

/** How many of a kernel's taps along an axis ever read something else than padding, and so can learn. */
export function liveTaps(n, kernel, stride) {
  const places = outputSize(n, kernel, stride, half(kernel));
  let live = 0;
  for (let tap = 0; tap < kernel; tap++) {
    const first = tap - half(kernel); // what this tap reads at the first place; at the others it is `stride` further on
    const reached = first < 0 ? Math.ceil(-first / stride) : 0;
    if (reached < places && first + reached * stride < n) live++;
  }
  return live;
}

/**
 * Every layer in the order of the calls, for one clip: name, kind, kernel, output (C, T, H, W), parameters, how many of these
 * are live, multiply-adds, bytes that training keeps, and the receptive field (T, H, W) of the convolutions up to it.
 * `kinds` are those of the stem and of the four stages: "2D", "3D", "(2+1)D", and "R2D" for a stem that stacks all frames.
 */
export function layers({ kinds, depth, frames, size, width, classes }) {
  const all = [];
  let shape = kinds[0] === "R2D" ? [3 * frames, 1, size, size] : [3, frames, size, size];
  let [field, step] = [
    [1, 1, 1],
    [1, 1, 1],
  ];
  const note = (name, kind, kernel, output, parameters, multiplyAdds, live = parameters) => {
    const keeps = kind === "Conv3d" || kind === "ReLU";
    const bytes = keeps ? 4 * output.reduce((product, n) => product * n, 1) : 0;
    all.push({ name, kind, kernel, output, parameters, multiplyAdds, bytes, field, live });
  };
  const convolved = (name, from, planes, kernel, stride) => {
    const output = [planes, ...[0, 1, 2].map((k) => outputSize(from[k + 1], kernel[k], stride[k], half(kernel[k])))];
    const pairs = from[0] * planes;
    const live = [0, 1, 2].reduce((product, k) => product * liveTaps(from[k + 1], kernel[k], stride[k]), pairs);
    const weights = pairs * kernel[0] * kernel[1] * kernel[2];
    note(name, "Conv3d", kernel, output, weights, weights * output[1] * output[2] * output[3], live);
    return output;
  };
  const conv = (name, planes, kernel, stride) => {
    field = field.map((n, k) => n + (kernel[k] - 1) * step[k]);
    step = step.map((n, k) => n * stride[k]);
    shape = convolved(name, shape, planes, kernel, stride);
  };
  const norm = (name) => note(name, "BatchNorm3d", null, shape, 2 * shape[0], 0);
  const relu = (name) => note(name, "ReLU", null, shape, 0, 0);
  const pair = (name, planes, middle, d, spatial, temporal) => {
    conv(`${name}.0`, middle, [1, d, d], [1, spatial, spatial]);
    norm(`${name}.1`);
    relu(`${name}.2`);
    conv(`${name}.3`, planes, [3, 1, 1], [temporal, 1, 1]);
  };
  const convolution = (name, kind, planes, middle, stride) => {
    if (kind === "(2+1)D") pair(name, planes, middle, 3, stride, stride);
    else conv(name, planes, [kind === "3D" ? 3 : 1, 3, 3], [kind === "3D" ? stride : 1, stride, stride]);
  };
  const shortcut = (name, kind, planes, stride) => {
    const output = convolved(
      `${name}.downsample.0`,
      shape,
      planes,
      [1, 1, 1],
      [kind === "2D" ? 1 : stride, stride, stride],
    );
    note(`${name}.downsample.1`, "BatchNorm3d", null, output, 2 * planes, 0);
  };

  if (kinds[0] === "(2+1)D") {
    pair("stem", width, Math.floor((45 * width) / 64), 7, 2, 1);
    norm("stem.4");
    relu("stem.5");
  } else {
    conv("stem.0", width, [kinds[0] === "3D" ? 3 : 1, 7, 7], [1, 2, 2]);
    norm("stem.1");
    relu("stem.2");
  }
  BLOCKS[depth].forEach((blocks, k) => {
    const kind = kinds[k + 1];
    const planes = width * 2 ** k;
    for (let block = 0; block < blocks; block++) {
      const name = `layer${k + 1}.${block}`;
      const stride = k > 0 && block === 0 ? 2 : 1;
      const middle = midplanes(shape[0], planes, 3, 3);
      if (stride === 2) shortcut(name, kind, planes, stride);
      convolution(`${name}.conv1.0`, kind, planes, middle, stride);
      norm(`${name}.conv1.1`);
      relu(`${name}.conv1.2`);
      convolution(`${name}.conv2.0`, kind, planes, middle, 1);
      norm(`${name}.conv2.1`);
      relu(`${name}.relu`);
    }
  });
  note("avgpool", "AdaptiveAvgPool3d", null, [shape[0], 1, 1, 1], 0, 0);
  note("fc", "Linear", null, [classes], (shape[0] + 1) * classes, shape[0] * classes);
  return all;
}
