// A linear classifier on features: softmax regression with a small weight decay, trained on all examples at once.

import { softmax } from "./clips.js";

const DECAY = 0.05;

/** The mean and the standard deviation of each feature. */
function scaleOf(features) {
  const size = features[0].length;
  const mean = Float64Array.from(
    { length: size },
    (_, k) => features.reduce((sum, x) => sum + x[k], 0) / features.length,
  );
  const variance = (k) => features.reduce((sum, x) => sum + (x[k] - mean[k]) ** 2, 0) / features.length;
  return { mean, deviation: Float64Array.from({ length: size }, (_, k) => Math.sqrt(variance(k)) || 1) };
}

/** How steep the loss can be at most, half the largest eigenvalue of the inputs' weighted second moments: by power iteration. */
function steepness(inputs, shares) {
  const size = inputs[0].length;
  let [vector, value] = [new Float64Array(size).fill(1 / Math.sqrt(size)), 0];
  for (let k = 0; k < 30; k++) {
    const next = new Float64Array(size);
    inputs.forEach((x, n) => {
      const along = shares[n] * x.reduce((sum, part, k) => sum + part * vector[k], 0);
      for (let k = 0; k < size; k++) next[k] += along * x[k];
    });
    value = Math.hypot(...next);
    vector = next.map((part) => part / value);
  }
  return 0.5 * 1.1 * (value + 1); // a little more, since 30 rounds come close only, and the bias is an input that is 1
}

/**
 * Train on features (arrays of numbers) and their labels, 0 to classes - 1: minimise the mean cross-entropy plus half of the
 * decay times the squared weights. Every class counts as much as any other, however many examples it has. Gives back a
 * function from features to probabilities.
 */
export function train(features, labels, classes, steps = 500) {
  const { mean, deviation } = scaleOf(features);
  const scaled = (x) => Float64Array.from(x, (value, k) => (value - mean[k]) / deviation[k]);
  const inputs = features.map(scaled);
  const size = mean.length;
  const weights = Array.from({ length: classes }, () => new Float64Array(size + 1)); // the last one is the bias
  const ahead = weights.map((row) => row.slice()); // Nesterov's momentum: gradients are taken a little ahead
  const logits = (rows, x) => rows.map((row) => x.reduce((sum, value, k) => sum + row[k] * value, row[size]));
  const examples = Array.from({ length: classes }, (_, c) => labels.filter((label) => label === c).length);
  const there = examples.filter(Boolean).length;
  const shares = labels.map((label) => 1 / (there * examples[label]));
  const rate = 1 / (steepness(inputs, shares) + DECAY);
  const momentum = (1 - Math.sqrt(DECAY * rate)) / (1 + Math.sqrt(DECAY * rate));
  for (let step = 0; step < steps; step++) {
    const gradient = weights.map(() => new Float64Array(size + 1));
    inputs.forEach((x, n) => {
      softmax(logits(ahead, x)).forEach((prob, c) => {
        const error = (prob - (c === labels[n] ? 1 : 0)) * shares[n];
        for (let k = 0; k < size; k++) gradient[c][k] += error * x[k];
        gradient[c][size] += error;
      });
    });
    weights.forEach((row, c) => {
      for (let k = 0; k <= size; k++) {
        const next = ahead[c][k] - rate * (gradient[c][k] + (k < size ? DECAY * ahead[c][k] : 0));
        ahead[c][k] = next + momentum * (next - row[k]);
        row[k] = next;
      }
    });
  }
  return (x) => softmax(logits(weights, scaled(x)));
}

const mean = (rows) => rows[0].map((_, k) => rows.reduce((sum, row) => sum + row[k], 0) / rows.length);
export const indexOfMost = (probs) => probs.indexOf(Math.max(...probs));

/**
 * How many recordings { label, features } are right when each is set aside once and the classifier learns from all others;
 * `features` holds several examples of a recording. Null if `goOn`, which is awaited before each training, says false.
 */
export async function leaveOneOut(recordings, classes, goOn = async () => true) {
  let right = 0;
  for (const aside of recordings) {
    if (!(await goOn())) return null;
    const others = recordings.filter((recording) => recording !== aside);
    const predict = trainOn(others, classes);
    right += indexOfMost(mean(aside.features.map(predict))) === aside.label;
  }
  return right;
}

/** The classifier of recordings. */
export function trainOn(recordings, classes) {
  const features = recordings.flatMap((recording) => recording.features);
  return train(
    features,
    recordings.flatMap(({ label, features }) => features.map(() => label)),
    classes,
  );
}
