// @ts-check
/**
 * The GPU behind app/gpu/browser.py. Python holds buffers and pipelines as numbers, so that a
 * whole program crosses over as one array, and reads errors when it next asks for something.
 * Nothing that Python reads is null: that would be jsnull there, not None.
 */

import { GpuClock } from './clock.js';
import { Problems } from './problems.js';
import { say } from '../messages/mark.js';

const LIMITS = /** @type {const} */ ([
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX',
]);
/** app/gpu/features.py says what each is for. */
const FEATURES = /** @type {GPUFeatureName[]} */ (['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix']);
const LANGUAGE_FEATURES = ['packed_4x8_integer_dot_product'];
const MAX_POOLED_BYTES = 1 << 20;
/** Mapping fails a moment before the browser says that the device is lost. */
const TOLD_WITHIN_MS = 2000;
// The types know the two interfaces but not their constants.
const { GPUBufferUsage: Usage, GPUMapMode: MapMode } = /** @type {any} */ (globalThis);

/**
 * @typedef {object} Program
 * @property {GPUComputePipeline[]} pipelines
 * @property {GPUBindGroup[]} groups
 * @property {Uint32Array} grids three numbers a dispatch
 * @property {{start: number, end: number, ms: number}[]} times of submits that finished lately
 * @property {number[]} spans number, begin and end of submits that were timed, three of each
 */

/** @param {unknown} error */
const text = (error) => (error instanceof Error ? error.message : String(error));

/** @returns {Promise<GpuHost|string>} a sentence says why there is none */
export async function openGpu() {
  const { gpu } = /** @type {{gpu?: GPU}} */ (navigator);
  if (!gpu) return say('this browser has no WebGPU (navigator.gpu is absent)');
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return say('this browser has WebGPU but found no graphics adapter (requestAdapter gave null)');
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  try {
    const device = await adapter.requestDevice({ label: 'lora-lab', requiredFeatures, requiredLimits });
    return new GpuHost(device, adapter.info, gpu.wgslLanguageFeatures);
  } catch (error) {
    return say('the graphics adapter {name} gave no device ({reason})', { name: adapter.info.description || adapter.info.vendor, reason: text(error) });
  }
}

/** A device, its buffers, its pipelines and what went wrong on it. */
export class GpuHost {
  /** @param {GPUDevice} device @param {GPUAdapterInfo} info @param {{has: (name: string) => boolean}} language */
  constructor(device, info, language) {
    this.device = device;
    this.info = info;
    this.features = [...FEATURES.filter((name) => device.features.has(name)), ...LANGUAGE_FEATURES.filter((name) => language.has(name))];
    this.version = navigator.userAgent;
    /** GiB of the computer, as coarsely as browsers tell; 0 where they do not. */
    this.computerGib = Number(Reflect.get(navigator, 'deviceMemory') ?? 0);
    /** @type {Map<number, GPUBuffer>} */
    this.buffers = new Map();
    this.nextBuffer = 0;
    /** @type {GPUComputePipeline[]} */
    this.pipelines = [];
    /** @type {Map<number, GPUBuffer[]>} staging buffers to use again, by size */
    this.pool = new Map();
    this.problems = new Problems();
    /** @type {Set<Promise<void>>} error scopes that were closed but not answered yet */
    this.open = new Set();
    /** @type {Promise<void>[]} submits that may not have finished; replay.js keeps it short */
    this.inFlight = [];
    this.lastDone = 0;
    this.isDestroyed = false;
    this.clock = device.features.has('timestamp-query') ? new GpuClock(device) : null;
    this.lost = device.lost.then(({ reason, message }) => {
      if (!this.isDestroyed) this.problems.lose(message.replace(/\.$/, '') || reason);
    });
    device.addEventListener('uncapturederror', (event) => {
      event.preventDefault(); // it is told as an exception, not on the console
      const { error } = event;
      this.problems.report(error instanceof GPUOutOfMemoryError ? 'memory' : 'other', error.message);
    });
  }

  takeProblem = () => this.problems.take();

  /** Call back when the device goes away by itself. @param {() => void} act a Python function */
  async whenLost(act) {
    await this.lost;
    if (!this.isDestroyed) act();
  }

  /**
   * Note an error of what `act` asks for, without waiting for the answer.
   * @template T
   * @param {GPUErrorFilter} filter @param {string} label @param {number} sizeBytes of a buffer, else 0 @param {() => T} act
   */
  watch(filter, label, sizeBytes, act) {
    this.device.pushErrorScope(filter);
    const result = act();
    const answer = this.device.popErrorScope().then(
      (error) => error && this.problems.report(sizeBytes ? 'memory' : 'other', sizeBytes ? error.message : `${label}: ${error.message}`, { label, sizeBytes }),
      () => {}, // the device is lost, which is told by itself
    ).then(() => void this.open.delete(answer));
    this.open.add(answer);
    return result;
  }

  /** Wait for the answers that are due. @returns {Promise<unknown>|undefined} undefined: none is */
  settle = () => (this.open.size ? Promise.all(this.open) : undefined);

  /** @param {number} size @param {string} label @returns {number} */
  createBuffer(size, label) {
    const usage = Usage.STORAGE | Usage.UNIFORM | Usage.COPY_SRC | Usage.COPY_DST;
    const buffer = this.watch('out-of-memory', label, size, () => this.device.createBuffer({ size, usage, label }));
    this.buffers.set(++this.nextBuffer, buffer);
    return this.nextBuffer;
  }

  /** @param {number} index @returns {GPUBuffer} */
  buffer(index) {
    const buffer = this.buffers.get(index);
    if (!buffer) throw new Error('the buffer was destroyed');
    return buffer;
  }

  /** @param {number} index */
  destroyBuffer(index) {
    this.buffer(index).destroy();
    this.buffers.delete(index);
  }

  /** @param {number} index @param {number} offset @param {Uint8Array<ArrayBuffer>} data */
  write(index, offset, data) {
    const whole = data.byteLength & ~3;
    const buffer = this.buffer(index);
    if (whole) this.device.queue.writeBuffer(buffer, offset, data, 0, whole);
    if (whole === data.byteLength) return;
    const rest = new Uint8Array(4); // WebGPU writes whole words
    rest.set(data.subarray(whole));
    this.device.queue.writeBuffer(buffer, offset + whole, rest);
  }

  /** @param {number} index @param {number} offset @param {any} view a Python buffer, read in place */
  writePython(index, offset, view) {
    const bytes = view.getBuffer('u8');
    try {
      this.write(index, offset, bytes.data);
    } finally {
      bytes.release();
    }
  }

  /**
   * Queue a copy now; the promise gives the bytes.
   * @param {number} index @param {number} offset @param {number} size
   */
  stage(index, offset, size) {
    const bytes = this.read(index, offset, size);
    bytes.catch(() => {}); // whoever awaits it is told; a loss that nobody reads is no error
    return bytes;
  }

  /** @param {number} index @param {number} offset @param {number} size @returns {Promise<ArrayBuffer>} */
  async read(index, offset, size) {
    const room = 2 ** Math.ceil(Math.log2(Math.max(size, 4)));
    const bytes = room <= MAX_POOLED_BYTES ? room : Math.ceil(size / 4) * 4;
    const usage = Usage.MAP_READ | Usage.COPY_DST;
    const staging = this.pool.get(bytes)?.pop() ?? this.device.createBuffer({ size: bytes, usage, label: 'staging' });
    const encoder = this.device.createCommandEncoder({ label: 'copy' });
    encoder.copyBufferToBuffer(this.buffer(index), offset, staging, 0, Math.ceil(size / 4) * 4);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MapMode.READ).catch(async (error) => {
      await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, TOLD_WITHIN_MS))]);
      throw error;
    });
    const data = staging.getMappedRange(0, Math.ceil(size / 4) * 4).slice(0, size);
    staging.unmap();
    if (bytes === room) this.pool.set(bytes, [...(this.pool.get(bytes) ?? []), staging]);
    else staging.destroy();
    return data;
  }

  destroy() {
    this.isDestroyed = true;
    this.device.destroy();
    this.buffers.clear();
    this.pool.clear();
  }
}

Object.assign((/** @type {any} */ (globalThis).loraLab ??= {}), { openGpu });
