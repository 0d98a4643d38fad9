// @ts-check
/** What ../run.py calls in the page: one function a table. */

import { interleave, makeTask, relativeError } from './measure.js';
import { openDevice, ours, peakContenders } from './ours.js';
import { projection } from './projection.js';

/** @typedef {import('./measure.js').Contender} Contender */

/**
 * One product by everybody.
 * @param {{direction: 'forward'|'backward', rows: number, shape: [number, number], rounds: number, peers: string[],
 *   ours: {name: string, format: string, written: any}[], peaks: any[]}} spec
 */
async function product(spec) {
  const [n, k] = spec.shape;
  const task = makeTask(spec.direction, spec.rows, n, k);
  const contenders = await peakContenders(spec.peaks);
  const failures = [];
  for (const { name, format, written } of spec.ours) contenders.push(await ours(name, format, written, task));
  for (const [name, make] of Object.entries(makers)) {
    if (!spec.peers.includes(name)) continue;
    try {
      contenders.push(...await make(task));
    } catch (error) {
      failures.push({ name, error: String(error) });
    }
  }
  const times = await interleave(contenders, spec.rounds);
  const figures = [];
  for (const [index, contender] of contenders.entries()) {
    const flops = contender.flops ?? 2 * spec.rows * n * k;
    const figure = { name: contender.name, flops, ...times[index] };
    const error = contender.flops ? undefined : relativeError(contender.task ?? task, await contender.read());
    figures.push(error === undefined ? figure : { ...figure, error });
  }
  for (const contender of contenders) await contender.destroy();
  return { figures, failures };
}

/** @type {Record<string, (task: import('./measure.js').Task) => Promise<Contender[]>>} */
const makers = {
  async onnxruntime(task) {
    const { onnxruntime } = await import('./onnxruntime.js');
    return [await onnxruntime(task, 0), await onnxruntime(task, 4)];
  },
  async jax(task) {
    const { jaxProduct } = await import('./jax.js');
    const contenders = [await jaxProduct(task, false)];
    if (task.direction === 'forward') contenders.push(await jaxProduct(task, true));
    return contenders;
  },
  async tfjs(task) {
    const { tfjs } = await import('./tfjs.js');
    return [await tfjs(task)];
  },
};

async function about() {
  await openDevice();
  const adapter = await /** @type {any} */ (navigator).gpu.requestAdapter();
  const { vendor, architecture, description } = adapter.info;
  return {
    browser: navigator.userAgent,
    adapter: [vendor, architecture, description].filter(Boolean).join(' '),
    isolated: crossOriginIsolated,
    threads: navigator.hardwareConcurrency,
  };
}

Object.assign(window, {
  peers: {
    about,
    product,
    projection,
    chat: async (/** @type {any} */ spec) => (await import('./chat.js')).chat(spec),
    decoder: async (/** @type {any} */ spec) => (await import('./decoder.js')).decoder(spec),
  },
});
