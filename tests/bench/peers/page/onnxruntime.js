// @ts-check
/** onnxruntime-web's MatMulNBits on WebGPU: INT4 weights in groups of 32, operands stay on the GPU. */

// @ts-expect-error: served from this folder's node_modules
import * as ort from '/node_modules/onnxruntime-web/dist/ort.webgpu.bundle.min.mjs';
import { GROUP, makeTask } from './measure.js';

/** @typedef {import('./measure.js').Task} Task */
/** @typedef {import('./measure.js').Contender} Contender */

const FOLDER = '/node_modules/onnxruntime-web/dist/';
const TYPE = { float: 1, uint8: 2 };
const { GPUBufferUsage: Usage } = /** @type {any} */ (globalThis);

ort.env.wasm.wasmPaths = FOLDER;
ort.env.wasm.numThreads = 1; // what runs is on the GPU
ort.env.logLevel = 'error';

export const version = () => ort.env.versions.web;

/** @typedef {Uint8Array|Part[]} Part bytes, or parts one after the other */

/** @param {number} value @returns {Uint8Array} protobuf's variable-length integer */
function varint(value) {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return Uint8Array.from([...bytes, value]);
}

/** @param {any} part @returns {number} */
const lengthOf = (part) => (ArrayBuffer.isView(part) ? part.byteLength : part.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + lengthOf(each), 0));

/** A field of a protobuf message. @param {number} number @param {any} value integer, text, bytes or parts @returns {any} */
function field(number, value) {
  if (typeof value === 'number') return [varint(number * 8), varint(value)];
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  return [varint(number * 8 + 2), varint(lengthOf(bytes)), bytes];
}

/** @param {any} part @returns {Promise<Uint8Array>} */
const join = async (part) => new Uint8Array(await new Blob(part.flat(Infinity)).arrayBuffer());

/** @param {string} name @param {number[]} dims @param {number} type @param {Uint8Array} data */
const tensor = (name, dims, type, data) =>
  [...dims.map((dim) => field(1, dim)), field(2, type), field(8, name), field(9, data)];

/** @param {string} name @param {number[]} dims */
const valueInfo = (name, dims) =>
  [field(1, name), field(2, [field(1, [field(1, TYPE.float), field(2, dims.map((dim) => field(1, [field(1, dim)])))])])];

/** @param {string} name @param {number} value */
const attribute = (name, value) => [field(1, name), field(3, value), field(20, 2)];

/**
 * A model of one MatMulNBits. Weights are those of the task; zero points are left out: 8.
 * @param {Task} task forward
 * @param {number} accuracyLevel 0: f32 as it is; 4: activations may be rounded to 8 bits
 */
function model({ rows, n, k, codes, scales }, accuracyLevel) {
  const packed = new Uint8Array(codes.length / 2);
  for (let i = 0; i < packed.length; i++) packed[i] = codes[2 * i] | (codes[2 * i + 1] << 4);
  const attributes = Object.entries({ K: k, N: n, bits: 4, block_size: GROUP, accuracy_level: accuracyLevel });
  const node = [
    field(1, 'x'), field(1, 'words'), field(1, 'scales'), field(2, 'y'), field(3, 'product'), field(4, 'MatMulNBits'),
    ...attributes.map(([name, value]) => field(5, attribute(name, value))), field(7, 'com.microsoft'),
  ];
  const graph = [
    field(1, node), field(2, 'product'),
    field(5, tensor('words', [n, k / GROUP, GROUP / 2], TYPE.uint8, packed)),
    field(5, tensor('scales', [(n * k) / GROUP], TYPE.float, new Uint8Array(scales.buffer))),
    field(11, valueInfo('x', [rows, k])), field(12, valueInfo('y', [rows, n])),
  ];
  return join([
    field(1, 8), field(7, graph), field(8, [field(1, ''), field(2, 21)]), field(8, [field(1, 'com.microsoft'), field(2, 1)]),
  ]);
}

/**
 * There is no product with the transposed packed matrix: for the backward a transposed copy, packed
 * along N, is what a program would have to keep. Its weights are other numbers of the same kind.
 * @param {Task} task @returns {Task}
 */
function transposedCopy({ rows, n, k, x }) {
  return { ...makeTask('forward', rows, k, n), x };
}

/** @param {Task} given @param {number} accuracyLevel @returns {Promise<Contender>} */
export async function onnxruntime(given, accuracyLevel) {
  const isForward = given.direction === 'forward';
  const task = isForward ? given : transposedCopy(given);
  const { rows, n, k, x } = task;
  const session = await ort.InferenceSession.create(await model(task, accuracyLevel), {
    executionProviders: ['webgpu'],
    preferredOutputLocation: 'gpu-buffer',
  });
  const device = await ort.env.webgpu.device;
  const usage = Usage.STORAGE | Usage.COPY_SRC | Usage.COPY_DST;
  const [input, output] = [x.byteLength, rows * n * 4].map((size) => device.createBuffer({ size, usage }));
  device.queue.writeBuffer(input, 0, x);
  const feeds = { x: ort.Tensor.fromGpuBuffer(input, { dataType: 'float32', dims: [rows, k] }) };
  const fetches = { y: ort.Tensor.fromGpuBuffer(output, { dataType: 'float32', dims: [rows, n] }) };
  return {
    name: `onnxruntime-web INT4, accuracy_level ${accuracyLevel}${isForward ? '' : ', transposed copy'}`,
    task,
    async run(copies) {
      for (let copy = 0; copy < copies; copy++) await session.run(feeds, fetches);
      await device.queue.onSubmittedWorkDone();
    },
    async read() {
      const staging = device.createBuffer({ size: output.size, usage: Usage.COPY_DST | Usage.MAP_READ });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(output, 0, staging, 0, output.size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(1);
      const values = new Float32Array(staging.getMappedRange().slice(0));
      staging.destroy();
      return values;
    },
    async destroy() {
      await session.release();
      input.destroy();
      output.destroy();
    },
  };
}
