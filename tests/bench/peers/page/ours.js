// @ts-check
/** Replays what the engine recorded (see ../record.py): its shaders, grids and params. */

/** @typedef {import('./measure.js').Task} Task */
/** @typedef {import('./measure.js').Contender} Contender */
/**
 * @typedef {object} Written
 * @property {[string, number][]} buffers
 * @property {{label: string, code: string, entryPoint: string, constants: Record<string, number>}[]} kernels
 * @property {{kernel: number, bindings: number[][], params: number[], workgroups: number[]}[][]} programs
 * @property {Record<string, number>} roles
 * @property {Record<string, string>} [data] where to fetch what a buffer starts with
 */

const { GPUBufferUsage: Usage, GPUMapMode: MapMode } = /** @type {any} */ (globalThis);
const LIMITS = /** @type {const} */ ([
  'maxBufferSize', 'maxStorageBufferBindingSize', 'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize', 'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX',
]);

/** @type {GPUDevice|undefined} */
let opened;

/** The device as static/gpu/host.js asks for it. @returns {Promise<GPUDevice>} */
export async function openDevice() {
  if (opened) return opened;
  const adapter = await /** @type {any} */ (navigator).gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('no WebGPU adapter');
  opened = /** @type {GPUDevice} */ (await adapter.requestDevice({
    requiredFeatures: ['shader-f16', 'subgroups', 'timestamp-query'].filter((name) => adapter.features.has(name)),
    requiredLimits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
  }));
  opened.addEventListener('uncapturederror', ({ error }) => console.error(error.message));
  return opened;
}

/** @param {string} code */
const withEnables = (code) => (code.includes('subgroup') ? `enable subgroups;\n${code}` : code);

/** Recorded work with buffers of its own. */
export class Recorded {
  /** @param {GPUDevice} device @param {Written} written @param {GPUBuffer[]} buffers @param {any[][]} programs */
  constructor(device, written, buffers, programs) {
    this.device = device;
    this.roles = written.roles;
    this.buffers = buffers;
    this.programs = programs;
  }

  /** @param {Written} written @returns {Promise<Recorded>} */
  static async create(written) {
    const device = await openDevice();
    const usage = Usage.STORAGE | Usage.COPY_SRC | Usage.COPY_DST;
    const buffers = written.buffers.map(([label, size]) =>
      device.createBuffer({ label, size: Math.ceil(size / 256) * 256, usage }));
    for (const [index, path] of Object.entries(written.data ?? {})) {
      device.queue.writeBuffer(buffers[Number(index)], 0, await (await fetch(path)).arrayBuffer());
    }
    const pipelines = await Promise.all(written.kernels.map(({ label, code, entryPoint, constants }) =>
      device.createComputePipelineAsync({
        label,
        layout: 'auto',
        compute: { module: device.createShaderModule({ label, code: withEnables(code) }), entryPoint, constants },
      })));
    const programs = written.programs.map((dispatches) => dispatches.map(({ kernel, bindings, params, workgroups }) => {
      const entries = bindings.map(([index, offset, size], binding) =>
        ({ binding, resource: { buffer: buffers[index], offset, size } }));
      if (params.length) {
        const size = Math.ceil(params.length / 16) * 16;
        const buffer = device.createBuffer({ size, usage: Usage.UNIFORM | Usage.COPY_DST });
        device.queue.writeBuffer(buffer, 0, new Uint8Array(params));
        entries.push({ binding: entries.length, resource: { buffer, offset: 0, size } });
      }
      const pipeline = pipelines[kernel];
      return { pipeline, group: device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }), workgroups };
    }));
    return new Recorded(device, written, buffers, programs);
  }

  /** @param {string} role @param {ArrayBufferView} data */
  write(role, data) {
    if (!(role in this.roles)) throw new Error(`nothing recorded is called ${role}`);
    this.device.queue.writeBuffer(this.buffers[this.roles[role]], 0, /** @type {any} */ (data));
  }

  /** Replay a program so many times, in one submit each, and wait. @param {number} copies @param {number} [index] */
  async run(copies, index = 0) {
    for (let copy = 0; copy < copies; copy++) {
      const encoder = this.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const { pipeline, group, workgroups } of this.programs[index]) {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
      }
      pass.end();
      this.device.queue.submit([encoder.finish()]);
    }
    await this.device.queue.onSubmittedWorkDone();
  }

  /** @param {string} role @returns {Promise<Float32Array>} */
  async read(role) {
    const buffer = this.buffers[this.roles[role]];
    const staging = this.device.createBuffer({ size: buffer.size, usage: Usage.COPY_DST | Usage.MAP_READ });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
    this.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MapMode.READ);
    const values = new Float32Array(staging.getMappedRange().slice(0));
    staging.destroy();
    return values;
  }

  destroy() {
    for (const buffer of this.buffers) buffer.destroy();
  }
}

/** @param {number} value exact in f16 and normal there @returns {number} its bits */
function halfBits(value) {
  if (value === 0) return 0;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = Math.abs(value) / 2 ** exponent - 1;
  return ((value < 0 ? 1 : 0) << 15) | ((exponent + 15) << 10) | (fraction * 1024);
}

/** @param {Task} task @returns {Uint32Array} as wgsl/lib/weights_int4.wgsl reads them */
function packInt4({ codes, n, k }) {
  const words = new Uint32Array((n * k) / 8);
  for (let row = 0; row < n; row++) {
    for (let octet = 0; octet < k / 8; octet++) {
      let word = 0;
      const at = row * k + 8 * octet;
      for (let i = 0; i < 4; i++) word |= (codes[at + i] | (codes[at + 4 + i] << 4)) << (8 * i);
      words[octet * n + row] = word;
    }
  }
  return words;
}

/** @param {Task} task @returns {Uint32Array} as wgsl/lib/weights_int8.wgsl reads them: code − 8, no minimum */
function packInt8({ codes, n, k }) {
  const words = new Uint32Array((n * k) / 4);
  for (let row = 0; row < n; row++) {
    for (let quad = 0; quad < k / 4; quad++) {
      let word = 0;
      for (let i = 0; i < 4; i++) word |= ((codes[row * k + 4 * quad + i] - 8) & 255) << (8 * i);
      words[quad * n + row] = word;
    }
  }
  return words;
}

/** @param {Recorded} recorded @param {Task} task @param {string} format int4, int8 or f32 */
export function writeMatrix(recorded, task, format) {
  const { n, k, scales, weight } = task;
  if (format === 'f32') {
    const turned = new Float32Array(n * k);
    for (let i = 0; i < n; i++) for (let j = 0; j < k; j++) turned[j * n + i] = weight[i * k + j];
    recorded.write('words', turned);
    return;
  }
  recorded.write('words', (format === 'int4' ? packInt4 : packInt8)(task));
  const groups = k / 32;
  const pairs = new Uint32Array(n * groups);
  for (let row = 0; row < n; row++) {
    for (let group = 0; group < groups; group++) {
      const scale = scales[row * groups + group];
      pairs[group * n + row] = halfBits(scale) | (format === 'int4' ? halfBits(-8 * scale) << 16 : 0);
    }
  }
  recorded.write('scales', pairs);
}

/** @param {string} name @param {string} format @param {Written} written @param {Task} task @returns {Promise<Contender>} */
export async function ours(name, format, written, task) {
  const recorded = await Recorded.create(written);
  writeMatrix(recorded, task, format);
  recorded.write('x', task.x);
  return { name, run: (copies) => recorded.run(copies), read: () => recorded.read('y'), destroy: () => recorded.destroy() };
}

/** @param {any[]} peaks @returns {Promise<Contender[]>} nothing but multiply-adds */
export async function peakContenders(peaks) {
  return Promise.all(peaks.map(async (written, index) => {
    const recorded = await Recorded.create(written);
    return {
      name: `FMA peak, ${index + 2} chains`,
      flops: written.flops,
      run: (/** @type {number} */ copies) => recorded.run(copies),
      read: () => recorded.read('y'),
      destroy: () => recorded.destroy(),
    };
  }));
}
