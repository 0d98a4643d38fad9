// @ts-check
/** TensorFlow.js with its WebGPU backend: f32, operands stay on the GPU. */

/** @typedef {import('./measure.js').Contender} Contender */

const { tf } = /** @type {any} */ (globalThis);

export const version = () => tf.version_core ?? tf.version?.['tfjs-core'];

async function backend() {
  await tf.setBackend('webgpu');
  await tf.ready();
  return tf.backend();
}

/** Start what is recorded and wait for it, without reading anything back. @param {any} host */
async function finish(host) {
  host.ensureCommandEncoderReady();
  host.endComputePassEncoder();
  host.submitQueue();
  await host.queue.onSubmittedWorkDone();
}

/**
 * For the forward W is kept transposed, as a plain product was faster than a transposing one.
 * @param {import('./measure.js').Task} task @returns {Promise<Contender>}
 */
export async function tfjs({ direction, rows, n, k, weight, x }) {
  const host = await backend();
  const isForward = direction === 'forward';
  const w = isForward ? tf.tidy(() => tf.transpose(tf.tensor2d(weight, [n, k]))) : tf.tensor2d(weight, [n, k]);
  const input = tf.tensor2d(x, [rows, isForward ? k : n]);
  /** @type {any} */
  let result;
  return {
    name: `tfjs-webgpu f32${isForward ? ', transposed copy' : ''}`,
    async run(copies) {
      for (let copy = 0; copy < copies; copy++) {
        result?.dispose();
        result = tf.matMul(input, w);
      }
      await finish(host);
    },
    read: () => result.data(),
    destroy() {
      for (const tensor of [w, input, result]) tensor.dispose();
    },
  };
}
