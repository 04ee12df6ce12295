// What a convolution costs and computes: notebook 02.

import { midplanes, outputSize } from "./common.js";

export const CLIP = [16, 56, 56]; // frames, rows, columns that the model's bytes hold

/** Parameters, multiply-adds and shapes of a 3D convolution and of the two halves of a (2+1)D one. */
export function costs({ t, d, stride_t, stride_s, padding, inplanes, planes, midplanes: own, frames, size }) {
  const after = outputSize(frames, t, stride_t, padding === "half" ? Math.floor(t / 2) : 0);
  const side = outputSize(size, d, stride_s, padding === "half" ? Math.floor(d / 2) : 0);
  const paper = midplanes(inplanes, planes, t, d);
  const middle = own || paper;
  const parameters = {
    three: t * d * d * inplanes * planes,
    space: d * d * inplanes * middle,
    time: t * middle * planes,
  };
  const places = { three: after * side * side, space: frames * side * side, time: after * side * side };
  const multiplyAdds = Object.fromEntries(Object.keys(places).map((half) => [half, parameters[half] * places[half]]));
  const fits = after > 0 && side > 0;
  return {
    paper,
    middle,
    parameters,
    multiplyAdds,
    fits,
    between: [middle, frames, side, side],
    output: [planes, after, side, side],
  };
}

/** The t · d · d numbers of a filter, frame by frame. */
export function filter(name, t, d) {
  const [before, centre] = [Math.floor(t / 2), Math.floor(d / 2)];
  const value = {
    edge: (a, y, x) => (a === before ? Math.sign(x - centre) : 0),
    "moving edge": (a, y, x) => Math.sign(x - centre - (a - before)),
    blur: (a, y, x) => (y === centre && x === centre ? 1 / t : 0),
    difference: (a, y, x) => (y === centre && x === centre ? (a === t - 1) - (a === 0) : 0),
  }[name];
  const numbers = [];
  for (let a = 0; a < t; a++) for (let y = 0; y < d; y++) for (let x = 0; x < d; x++) numbers.push(value(a, y, x));
  return numbers;
}

/** The kernel's numbers as the model has them: a filter's, or the reader's own, cut or filled up with zeros to t × d × d. */
export function weights({ filter: name, t, d, own }) {
  if (name !== "own") return filter(name, t, d);
  const [a0, y0] = [Math.floor(t / 2) - Math.floor(own.t / 2), Math.floor(d / 2) - Math.floor(own.d / 2)];
  const numbers = [];
  for (let a = 0; a < t; a++)
    for (let y = 0; y < d; y++)
      for (let x = 0; x < d; x++) {
        const [b, v, u] = [a - a0, y - y0, x - y0];
        const inside = b >= 0 && b < own.t && v >= 0 && v < own.d && u >= 0 && u < own.d;
        numbers.push(inside ? own.numbers[(b * own.d + v) * own.d + u] : 0);
      }
  return numbers;
}

/** The rank of a kernel as a matrix of t rows and d · d columns: how many pairs of a spatial and a temporal part it takes. */
export function rank(numbers, t) {
  const width = numbers.length / t;
  const rows = Array.from({ length: t }, (_, a) => numbers.slice(a * width, (a + 1) * width));
  const small = 1e-9 * Math.max(...numbers.map(Math.abs));
  let found = 0;
  for (let column = 0; column < width && found < t; column++) {
    const pivot = rows
      .slice(found)
      .reduce((best, row, k) => (Math.abs(row[column]) > Math.abs(rows[best][column]) ? found + k : best), found);
    if (Math.abs(rows[pivot][column]) <= small) continue;
    [rows[found], rows[pivot]] = [rows[pivot], rows[found]];
    for (let below = found + 1; below < t; below++) {
      const factor = rows[below][column] / rows[found][column];
      rows[below] = rows[below].map((n, k) => n - factor * rows[found][k]);
    }
    found++;
  }
  return found;
}

/** The clip with so many frames and pixels, in numbers from 0 to 1: frames are left out, pixels averaged. */
export function shrunk(bytes, frames, size) {
  const [T, H, W] = CLIP;
  const [skip, k] = [T / frames, H / size];
  const small = new Float64Array(frames * size * size);
  for (let f = 0; f < frames; f++)
    for (let y = 0; y < H; y++)
      for (let x = 0; x < W; x++)
        small[(f * size + Math.floor(y / k)) * size + Math.floor(x / k)] +=
          bytes[(f * skip * H + y) * W + x] / (255 * k * k);
  return small;
}

/** A function that gives one number of the output of a convolution of one channel, and what it is the sum of. */
export function convolution(clip, numbers, { t, d, stride_t, stride_s, padding, frames, size }) {
  const [before, around] = padding === "half" ? [Math.floor(t / 2), Math.floor(d / 2)] : [0, 0];
  const pixel = (f, y, x) =>
    f < 0 || f >= frames || y < 0 || y >= size || x < 0 || x >= size ? 0 : clip[(f * size + y) * size + x];
  const corner = (i, j, k) => [i * stride_t - before, j * stride_s - around, k * stride_s - around];
  const output = (i, j, k) => {
    const [f, y, x] = corner(i, j, k);
    let sum = 0;
    for (let a = 0, at = 0; a < t; a++)
      for (let b = 0; b < d; b++) for (let c = 0; c < d; c++, at++) sum += numbers[at] * pixel(f + a, y + b, x + c);
    return sum;
  };
  return { pixel, corner, output };
}

/** The output position with this number, in the order in which a kernel moves: columns first, then rows, then frames. */
export const position = (place, [, after, side]) => {
  const n = Math.min(place, after * side * side - 1);
  return [Math.floor(n / (side * side)), Math.floor(n / side) % side, n % side];
};
