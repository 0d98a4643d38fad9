// @ts-check
/** Operands that every contender gets alike, the product on the CPU, and fair timing. */

/**
 * @typedef {object} Task Y = X·Wᵀ (forward: x is rows × K) or X·W (backward: x is rows × N)
 * @property {'forward'|'backward'} direction
 * @property {number} rows
 * @property {number} n rows of W
 * @property {number} k columns of W
 * @property {Uint8Array} codes 0..15 of each weight, row after row
 * @property {Float32Array} scales one for each group of 32 along K; w = scale · (code − 8)
 * @property {Float32Array} weight W as f32: exactly the same numbers
 * @property {Float32Array} x
 */
/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {(copies: number) => Promise<void>} run start so many products, wait until all are done
 * @property {() => Promise<Float32Array>} read the last result
 * @property {() => void|Promise<void>} destroy
 * @property {number} [flops] of one run, where it is not the task's
 * @property {Task} [task] where its operands are its own
 */

export const GROUP = 32;
const CHECKED_ROWS = 4;
const SHORTEST_MS = 30;

/** Numbers that look random and are the same each time. @param {number} seed */
export function generator(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** @param {number} length @param {number} seed @returns {Float32Array} uniform in ±½ */
export function noise(length, seed) {
  const next = generator(seed);
  return Float32Array.from({ length }, () => next() - 0.5);
}

/**
 * @param {'forward'|'backward'} direction @param {number} rows @param {number} n @param {number} k
 * @returns {Task}
 */
export function makeTask(direction, rows, n, k) {
  const next = generator(n * 7 + k);
  const codes = new Uint8Array(n * k);
  for (let i = 0; i < codes.length; i++) codes[i] = next() * 16;
  const scales = new Float32Array(codes.length / GROUP);
  // Exact in f16, and so are eight times as much: all formats hold the same weights.
  for (let i = 0; i < scales.length; i++) scales[i] = (16 + Math.floor(next() * 16)) * 2 ** -12;
  const weight = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) weight[i] = scales[Math.floor(i / GROUP)] * (codes[i] - 8);
  const x = noise(rows * (direction === 'forward' ? k : n), 5);
  return { direction, rows, n, k, codes, scales, weight, x };
}

/**
 * Compare some rows of a result with the product in f64.
 * @param {Task} task @param {Float32Array} got
 * @returns {number} root of the squared differences over the squares of what is right
 */
export function relativeError(task, got) {
  const { direction, rows, n, k, weight, x } = task;
  const isForward = direction === 'forward';
  const [inner, width] = isForward ? [k, n] : [n, k];
  let wrong = 0;
  let all = 0;
  for (let check = 0; check < CHECKED_ROWS; check++) {
    const row = Math.round((check * (rows - 1)) / (CHECKED_ROWS - 1));
    const want = new Float64Array(width);
    for (let i = 0; i < n; i++) {
      if (isForward) {
        let sum = 0;
        for (let j = 0; j < k; j++) sum += x[row * inner + j] * weight[i * k + j];
        want[i] = sum;
      } else {
        const factor = x[row * inner + i];
        for (let j = 0; j < k; j++) want[j] += factor * weight[i * k + j];
      }
    }
    for (let j = 0; j < width; j++) {
      wrong += (got[row * width + j] - want[j]) ** 2;
      all += want[j] ** 2;
    }
  }
  return Math.sqrt(wrong / all);
}

/** @param {number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {Contender} contender @param {number} copies @returns {Promise<number>} ms a copy */
async function time(contender, copies) {
  const started = performance.now();
  await contender.run(copies);
  return (performance.now() - started) / copies;
}

/**
 * Warm all contenders up, then time them in turn, round after round, so that whatever else
 * happens on the machine happens to all. Short work is started several times before the wait.
 * @param {Contender[]} contenders @param {number} rounds
 * @returns {Promise<{ms: number, low: number, high: number}[]>} median, fastest, slowest
 */
export async function interleave(contenders, rounds) {
  const copies = [];
  for (const contender of contenders) {
    await time(contender, 1); // compiles
    const once = await time(contender, 1);
    const count = Math.max(1, Math.min(32, Math.ceil(SHORTEST_MS / once)));
    copies.push(count);
    if (count > 1) await time(contender, count);
  }
  /** @type {number[][]} */
  const times = contenders.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const index = (turn + round) % contenders.length; // nobody always runs after the same one
      times[index].push(await time(contenders[index], copies[index]));
    }
  }
  return times.map((all) => ({ ms: median(all), low: Math.min(...all), high: Math.max(...all) }));
}
