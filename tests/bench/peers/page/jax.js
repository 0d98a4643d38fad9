// @ts-check
/** jax-js: f32, jit-compiled, operands stay on the GPU. */

// @ts-expect-error: served from this folder's node_modules
import * as jax from '/node_modules/@jax-js/jax/dist/index.js';

/** @typedef {import('./measure.js').Contender} Contender */

export const np = jax.numpy;
export { jax };
let isReady = false;

export async function start() {
  if (isReady) return;
  const devices = await jax.init();
  if (!devices.includes('webgpu')) throw new Error(`jax-js has no webgpu: ${devices}`);
  jax.defaultDevice('webgpu');
  isReady = true;
}

/** @param {Float32Array} values @param {number[]} shape */
export function array(values, shape) {
  return np.array(values, { shape, dtype: np.float32 });
}

/**
 * @param {import('./measure.js').Task} task
 * @param {boolean} isTurned keep a transposed copy of W for the forward, so that both directions
 *   are plain products; else the forward reads W by columns
 * @returns {Promise<Contender>}
 */
export async function jaxProduct({ direction, rows, n, k, weight, x }, isTurned) {
  await start();
  const isForward = direction === 'forward';
  const given = array(weight, [n, k]);
  const w = isTurned ? await materialized(np.transpose(given)) : given;
  const input = array(x, [rows, isForward ? k : n]);
  const product = jax.jit((/** @type {any} */ a, /** @type {any} */ b) =>
    np.matmul(a, isForward && !isTurned ? np.transpose(b) : b));
  /** @type {any} */
  let result;
  return {
    name: `jax-js f32${isTurned ? ', transposed copy' : ''}`,
    async run(copies) {
      for (let copy = 0; copy < copies; copy++) {
        result?.dispose();
        result = product(input.ref, w.ref);
      }
      await result.blockUntilReady();
    },
    read: () => result.ref.data(),
    destroy() {
      for (const each of [w, input, result]) each.dispose();
      product.dispose?.();
    },
  };
}

/** The same numbers laid out anew, not a view. @param {any} value */
async function materialized(value) {
  const [rows, columns] = value.shape;
  return array(await value.data(), [rows, columns]);
}

/**
 * Gradients of x, A and B of Σ y ∘ dy, y = x·Wᵀ + scaling·(x·Aᵀ)·Bᵀ, in one jit.
 * @param {import('./projection.js').Operands} operands @returns {Promise<import('./projection.js').Stepper>}
 */
export async function jaxProjection({ rows, n, k, rank, scaling, weight, x, dy, a, b }) {
  await start();
  const inputs = [array(x, [rows, k]), array(a, [rank, k]), array(b, [n, rank]), array(weight, [n, k]), array(dy, [rows, n])];
  const loss = (/** @type {any[]} */ ...[xs, as, bs, w, upstream]) => {
    const low = np.matmul(np.matmul(xs.ref, np.transpose(as)), np.transpose(bs));
    return np.sum(np.matmul(xs, np.transpose(w)).add(low.mul(scaling)).mul(upstream));
  };
  const step = jax.jit((/** @type {any[]} */ ...args) => jax.valueAndGrad(loss, { argnums: [0, 1, 2] })(...args));
  /** @type {any} */
  let result;
  return {
    name: 'jax-js f32',
    async run() {
      if (result) for (const each of result.flat()) each.dispose();
      result = step(...inputs.map((each) => each.ref));
      await jax.blockUntilReady(result);
    },
    async read() {
      const [dx, da, db] = await Promise.all(result[1].map((/** @type {any} */ each) => each.ref.data()));
      return { dx, da, db };
    },
    destroy() {
      for (const each of [...inputs, ...result.flat()]) each.dispose();
    },
  };
}
