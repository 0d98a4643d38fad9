// @ts-check
/** A small decoder with adapters everywhere: loss and gradients of every A and B, ours and jax-js's. */

import { interleave } from './measure.js';
import { Recorded, peakContenders } from './ours.js';
import { array, jax, np, start } from './jax.js';

/** @typedef {{path: string, shape: [number, number]}} Matrix where to fetch it as f32 */
/** @typedef {{a: number[], b: number[]}} Slices (offset, rows, columns) of A and of B in the flat arrays */
/**
 * @typedef {object} Shape
 * @property {number} layers
 * @property {number} heads
 * @property {number} keyValueHeads
 * @property {number} headDim
 * @property {number} theta
 * @property {number} epsilon
 * @property {number} scaling
 * @property {number} rows
 */

/** @param {string} path */
const floats = async (path) => new Float32Array(await (await fetch(path)).arrayBuffer());

/** RMSNorm with a weight of ones. @param {any} x @param {number} epsilon */
function norm(x, epsilon) {
  const square = np.mean(np.square(x.ref), -1, { keepdims: true });
  return x.mul(np.reciprocal(np.sqrt(square.add(epsilon))));
}

/** Rotate pairs (i, i + D/2). @param {any} x (rows, heads, D) @param {any} cos (rows, 1, D / 2) @param {any} sin */
function rope(x, cos, sin) {
  const [left, right] = np.split(x, 2, -1);
  return np.concatenate([
    left.ref.mul(cos.ref).sub(right.ref.mul(sin.ref)),
    right.mul(cos).add(left.mul(sin)),
  ], -1);
}

/**
 * Arrays are handed over: whoever uses one twice takes a reference, as jax-js wants it.
 * @param {Shape} shape
 * @returns {(adapter: any, weights: any, embedded: any, picked: any, cos: any, sin: any) => any} loss
 */
function lossOf({ layers, heads, keyValueHeads, headDim, epsilon, scaling, rows }) {
  return (adapter, weights, embedded, picked, cos, sin) => {
    /** @param {any} x @param {string} path */
    const project = (x, path) => {
      const { a, b } = adapter[path];
      const low = np.matmul(np.matmul(x.ref, np.transpose(a)), np.transpose(b));
      return np.matmul(x, np.transpose(weights[path])).add(low.mul(scaling));
    };
    let x = embedded;
    for (let layer = 0; layer < layers; layer++) {
      const path = `model.layers.${layer}`;
      const normed = norm(x.ref, epsilon);
      const q = project(normed.ref, `${path}.self_attn.q_proj`).reshape([rows, heads, headDim]);
      const k = project(normed.ref, `${path}.self_attn.k_proj`).reshape([rows, keyValueHeads, headDim]);
      const v = project(normed, `${path}.self_attn.v_proj`).reshape([rows, keyValueHeads, headDim]);
      const attended = jax.nn.dotProductAttention(rope(q, cos.ref, sin.ref), rope(k, cos.ref, sin.ref), v, { isCausal: true });
      x = x.add(project(attended.reshape([rows, heads * headDim]), `${path}.self_attn.o_proj`));
      const inner = norm(x.ref, epsilon);
      const gate = project(inner.ref, `${path}.mlp.gate_proj`);
      const up = project(inner, `${path}.mlp.up_proj`);
      x = x.add(project(jax.nn.silu(gate).mul(up), `${path}.mlp.down_proj`));
    }
    cos.dispose();
    sin.dispose();
    const logits = np.matmul(norm(x, epsilon), np.transpose(weights.head));
    return np.sum(jax.nn.logSoftmax(logits, -1).mul(picked)).mul(-1 / rows);
  };
}

/** @param {any} spec @param {number[]} tokens @param {number[]} targets @param {Float32Array} parameters */
async function jaxDecoder({ shape, modules, weights }, tokens, targets, parameters) {
  await start();
  const { rows, headDim, theta } = shape;
  /** @type {any} */
  const matrices = {};
  for (const [name, { path, shape: size }] of Object.entries(/** @type {Record<string, Matrix>} */ (weights))) {
    matrices[name] = array(await floats(path), size);
  }
  const [vocabulary, width] = weights.head.shape;
  const table = await floats(weights.head.path);
  const embedded = new Float32Array(rows * width);
  const picked = new Float32Array(rows * vocabulary); // one-hot targets
  const [cos, sin] = [0, 0].map(() => new Float32Array((rows * headDim) / 2));
  for (let row = 0; row < rows; row++) {
    embedded.set(table.subarray(tokens[row] * width, (tokens[row] + 1) * width), row * width);
    picked[row * vocabulary + targets[row]] = 1;
    for (let i = 0; i < headDim / 2; i++) {
      const angle = row * theta ** ((-2 * i) / headDim);
      cos[(row * headDim) / 2 + i] = Math.cos(angle);
      sin[(row * headDim) / 2 + i] = Math.sin(angle);
    }
  }
  const cut = (/** @type {number[]} */ [offset, m, n]) => array(parameters.slice(offset, offset + m * n), [m, n]);
  const adapter = Object.fromEntries(Object.entries(/** @type {Record<string, Slices>} */ (modules))
    .map(([path, { a, b }]) => [path, { a: cut(a), b: cut(b) }]));
  const inputs = [adapter, matrices, array(embedded, [rows, width]), array(picked, [rows, vocabulary]),
    array(cos, [rows, 1, headDim / 2]), array(sin, [rows, 1, headDim / 2])];
  const step = jax.jit((/** @type {any[]} */ ...args) => jax.valueAndGrad(lossOf(shape))(...args));
  /** @type {any} */
  let result;
  return {
    name: 'jax-js f32',
    async run() {
      if (result) jax.tree.dispose(result);
      result = step(...inputs.map((each) => jax.tree.ref(each)));
      await jax.blockUntilReady(result);
    },
    /** @returns {Promise<{loss: number, gradients: (path: string, part: 'a'|'b') => Promise<Float32Array>}>} */
    async read() {
      const [loss, grads] = result;
      const [value] = await loss.ref.data();
      return { loss: value, gradients: (path, part) => grads[path][part].ref.data() };
    },
    destroy: () => jax.tree.dispose([inputs, result]),
  };
}

/** @param {any} spec from ../web.py */
export async function decoder(spec) {
  const { shape, modules, written, rounds, peaks } = spec;
  const { rows } = shape;
  const vocabulary = spec.weights.head.shape[0];
  const numbers = Array.from({ length: rows + 1 }, (_, i) => (i * 7919 + 13) % vocabulary);
  const [tokens, targets] = [numbers.slice(0, rows), numbers.slice(1)];
  const recorded = await Recorded.create(written);
  recorded.write('tokens', Uint32Array.from(tokens));
  recorded.write('targets', Int32Array.from(targets));
  recorded.write('positions', Uint32Array.from(tokens.keys()));
  recorded.write('normalizer', Float32Array.of(1 / rows));
  const peer = await jaxDecoder(spec, tokens, targets, await recorded.read('parameters'));
  await recorded.run(1); // once: gradients are added to
  await peer.run();
  const [ours, flat] = [(await recorded.read('loss'))[0], await recorded.read('gradients')];
  const { loss, gradients } = await peer.read();
  let wrong = 0;
  let all = 0;
  for (const [path, slices] of Object.entries(/** @type {Record<string, Slices>} */ (modules))) {
    for (const part of /** @type {const} */ (['a', 'b'])) {
      const want = await gradients(path, part);
      const offset = slices[part][0];
      for (let i = 0; i < want.length; i++) {
        wrong += (flat[offset + i] - want[i]) ** 2;
        all += want[i] ** 2;
      }
    }
  }
  const meters = await peakContenders(peaks);
  /** @type {import('./measure.js').Contender[]} */
  const contenders = [
    ...meters,
    { name: 'LoRA Lab INT4', run: () => recorded.run(1), read: () => recorded.read('loss'), destroy: () => recorded.destroy() },
    { name: peer.name, run: () => peer.run(), read: () => recorded.read('loss'), destroy: () => peer.destroy() },
  ];
  const times = await interleave(contenders, rounds);
  for (const each of contenders) await each.destroy();
  const figures = contenders.map(({ name, flops }, i) => ({ name, flops: flops ?? spec.flops, ...times[i] }));
  return { figures, failures: [], losses: [ours, loss], difference: Math.sqrt(wrong / all) };
}
