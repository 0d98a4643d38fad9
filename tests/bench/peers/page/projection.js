// @ts-check
/** A matrix with its adapter, forward and backward: what a LoRA step does 4 times a layer. */

import { interleave, makeTask, noise } from './measure.js';
import { Recorded, peakContenders, writeMatrix } from './ours.js';

/**
 * @typedef {object} Operands x (rows, k) · W (n, k) · A (rank, k) · B (n, rank) · dy (rows, n)
 * @property {number} rows
 * @property {number} n
 * @property {number} k
 * @property {number} rank
 * @property {number} scaling
 * @property {Float32Array} weight
 * @property {Float32Array} x
 * @property {Float32Array} dy
 * @property {Float32Array} a
 * @property {Float32Array} b
 */
/** @typedef {Record<'dx'|'da'|'db', ArrayLike<number>>} Gradients */
/**
 * @typedef {object} Stepper
 * @property {string} name
 * @property {() => Promise<void>} run
 * @property {() => Promise<Gradients>} read
 * @property {() => void} destroy
 */

/** out (m, q) = left (m, p) · right (p, q), each read by a function. */
function multiply(/** @type {[number, number, number]} */ [m, p, q], /** @type {any} */ left, /** @type {any} */ right) {
  const out = new Float64Array(m * q);
  for (let i = 0; i < m; i++) {
    for (let r = 0; r < p; r++) {
      const factor = left(i, r);
      for (let j = 0; j < q; j++) out[i * q + j] += factor * right(r, j);
    }
  }
  return out;
}

/** @param {Operands} operands @returns {Gradients} in f64 */
function reference({ rows, n, k, rank, scaling, weight, x, dy, a, b }) {
  const at = (/** @type {ArrayLike<number>} */ values, /** @type {number} */ width) =>
    (/** @type {number} */ i, /** @type {number} */ j) => values[i * width + j];
  const dyB = multiply([rows, n, rank], at(dy, n), at(b, rank)).map((value) => scaling * value);
  const xA = multiply([rows, k, rank], at(x, k), (/** @type {number} */ i, /** @type {number} */ j) => a[j * k + i]);
  const dx = multiply([rows, n, k], at(dy, n), at(weight, k));
  const low = multiply([rows, rank, k], at(dyB, rank), at(a, k));
  for (let i = 0; i < dx.length; i++) dx[i] += low[i];
  const da = multiply([rank, rows, k], (/** @type {number} */ i, /** @type {number} */ j) => dyB[j * rank + i], at(x, k));
  const db = multiply([n, rows, rank], (/** @type {number} */ i, /** @type {number} */ j) => dy[j * n + i], at(xA, rank));
  return { dx, da, db: db.map((value) => scaling * value) };
}

/** @param {Gradients} got @param {Gradients} want @returns {number} the largest of the three relative errors */
function errorOf(got, want) {
  return Math.max(.../** @type {const} */ (['dx', 'da', 'db']).map((name) => {
    let wrong = 0;
    let all = 0;
    for (let i = 0; i < want[name].length; i++) {
      wrong += (got[name][i] - want[name][i]) ** 2;
      all += want[name][i] ** 2;
    }
    return Math.sqrt(wrong / all);
  }));
}

/** @param {any} written @param {Operands} operands @param {import('./measure.js').Task} task @returns {Promise<Stepper>} */
async function ours(written, operands, task) {
  const recorded = await Recorded.create(written);
  writeMatrix(recorded, task, 'int4');
  const { x, dy, a, b } = operands;
  for (const [role, data] of Object.entries({ x, dy, A: a, B: b })) recorded.write(role, data);
  return {
    name: 'LoRA Lab INT4',
    run: () => recorded.run(1),
    async read() {
      const [dx, da, db] = await Promise.all(['dx', 'dA', 'dB'].map((role) => recorded.read(role)));
      return { dx, da, db };
    },
    destroy: () => recorded.destroy(),
  };
}

/**
 * @param {{rows: number, shape: [number, number], rank: number, rounds: number, peers: string[],
 *   written: any, peaks: any[]}} spec
 */
export async function projection({ rows, shape: [n, k], rank, rounds, peers, written, peaks }) {
  const task = makeTask('forward', rows, n, k);
  const [dy, a, b] = [rows * n, rank * k, n * rank].map((length, seed) => noise(length, seed + 11));
  const operands = { rows, n, k, rank, scaling: 2, weight: task.weight, x: task.x, dy, a, b };
  const steppers = [await ours(written, operands, task)];
  const failures = [];
  for (const [name, make] of Object.entries(makers)) {
    if (!peers.includes(name)) continue;
    try {
      steppers.push(await make(operands));
    } catch (error) {
      failures.push({ name, error: String(error) });
    }
  }
  const want = reference(operands);
  const errors = [];
  for (const stepper of steppers) {
    await stepper.run(); // once: ours adds to dA and dB
    errors.push(errorOf(await stepper.read(), want));
  }
  const meters = await peakContenders(peaks);
  /** @type {import('./measure.js').Contender[]} */
  const contenders = steppers.map((stepper) => ({
    ...stepper,
    read: async () => new Float32Array(),
    async run(/** @type {number} */ copies) {
      for (let copy = 0; copy < copies; copy++) await stepper.run();
    },
  }));
  const everybody = [...meters, ...contenders];
  const times = await interleave(everybody, rounds);
  for (const each of everybody) await each.destroy();
  const flops = 4 * rows * n * k;
  const figures = everybody.map(({ name, flops: own }, i) => {
    const figure = { name, flops: own ?? flops, ...times[i] };
    return own ? figure : { ...figure, error: errors[i - meters.length] };
  });
  return { figures, failures };
}

/** @type {Record<string, (operands: Operands) => Promise<Stepper>>} */
const makers = {
  jax: async (operands) => (await import('./jax.js')).jaxProjection(operands),
};
