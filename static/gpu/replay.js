// @ts-check
/** Compile kernels, bind them into a program, and replay it: what runs at every training step. */

import { noteSpan } from './clock.js';
import './host.js';

/** @typedef {import('./host.js').GpuHost} GpuHost */
/** @typedef {import('./host.js').Program} Program */
/** @typedef {{label: string, code: string, entry_point: string, constants: Record<string, number>}} Kernel */

const MAX_IN_FLIGHT = 2;

/**
 * Compile all kernels at once.
 * @param {GpuHost} host
 * @param {Kernel[]} kernels
 * @param {(done: number) => void} onDone told how many are done, whenever one is
 * @returns {Promise<number[]|string>} their numbers, or the first failure: label, message, line
 */
export async function compile(host, kernels, onDone) {
  let done = 0;
  const results = await Promise.allSettled(kernels.map(async (kernel) => {
    const pipeline = await compileOne(host, kernel);
    onDone(++done);
    return pipeline;
  }));
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) return failed.reason instanceof Error ? failed.reason.message : String(failed.reason);
  return results.map((result) => {
    if (result.status === 'fulfilled') host.pipelines.push(result.value);
    return host.pipelines.length - 1;
  });
}

/** @param {GpuHost} host @param {Kernel} kernel */
async function compileOne({ device }, { label, code, entry_point: entryPoint, constants }) {
  device.pushErrorScope('validation'); // the same message comes with the line below
  const module = device.createShaderModule({ code, label });
  device.popErrorScope().catch(() => {});
  try {
    return await device.createComputePipelineAsync({ label, layout: 'auto', compute: { module, entryPoint, constants } });
  } catch (error) {
    const { messages } = await module.getCompilationInfo();
    const wrong = messages.filter(({ type }) => type === 'error');
    const lines = wrong.map(({ lineNum, message }) => `line ${lineNum}: ${message} in \`${code.split('\n')[lineNum - 1]?.trim()}\``);
    const message = lines.join('; ') || (error instanceof Error ? error.message : String(error));
    throw new Error(`kernel ${label}: ${message}`);
  }
}

/**
 * Make the bind groups of a program.
 * @param {GpuHost} host
 * @param {string[]} labels one a dispatch
 * @param {Float64Array} flat for each dispatch: pipeline, grid x y z, number of bindings, and for
 *   each binding: buffer, offset, size
 * @returns {Program}
 */
export function createProgram(host, labels, flat) {
  const { device } = host;
  /** @type {Map<GPUComputePipeline, GPUBindGroupLayout>} */
  const layouts = new Map();
  /** @type {Map<string, GPUBindGroup>} equal ones are made once */
  const groups = new Map();
  /** @type {Program} */
  const program = { pipelines: [], groups: [], grids: new Uint32Array(3 * labels.length), times: [], spans: [] };
  let at = 0;
  host.watch('validation', 'bindings', 0, () => labels.forEach((label, index) => {
    const pipeline = host.pipelines[flat[at]];
    program.grids.set(flat.subarray(at + 1, at + 4), 3 * index);
    const count = flat[at + 4];
    const key = `${flat[at]}:${flat.subarray(at + 5, at + 5 + 3 * count).join()}`;
    at += 5;
    program.pipelines.push(pipeline);
    const known = groups.get(key);
    if (known) {
      program.groups.push(known);
      at += 3 * count;
      return;
    }
    /** @type {GPUBindGroupEntry[]} */
    const entries = [];
    for (let binding = 0; binding < count; binding += 1, at += 3) {
      const buffer = host.buffer(flat[at]);
      entries.push({ binding, resource: { buffer, offset: flat[at + 1], size: flat[at + 2] } });
    }
    let layout = layouts.get(pipeline);
    if (!layout) layouts.set(pipeline, layout = pipeline.getBindGroupLayout(0));
    const group = device.createBindGroup({ label, layout, entries });
    groups.set(key, group);
    program.groups.push(group);
  }));
  return program;
}

/**
 * Wait until another submit may be made, so that Stop and the watchdog have little to wait for.
 * @param {GpuHost} host
 * @returns {Promise<unknown>|undefined} undefined where it may be made now
 */
export function room(host) {
  if (host.inFlight.length < MAX_IN_FLIGHT) return undefined;
  return Promise.race([host.inFlight[0], host.lost]);
}

/**
 * Submit dispatches start … end of a program as one compute pass.
 * @param {GpuHost} host
 * @param {Program} program
 * @param {number} start
 * @param {number} end
 * @param {number} timedAs number of the submit where it is to be timed, else 0
 */
export function replay(host, program, start, end, timedAs) {
  const { device } = host;
  const clock = timedAs ? host.clock : null;
  const { pipelines, groups, grids } = program;
  const encoder = device.createCommandEncoder({ label: 'program' });
  const pass = encoder.beginComputePass(clock ? { timestampWrites: clock.next(program, timedAs) } : undefined);
  /** @type {GPUComputePipeline|null} */
  let current = null;
  for (let i = start, g = 3 * start; i < end; i += 1, g += 3) {
    if (pipelines[i] !== current) pass.setPipeline((current = pipelines[i]));
    pass.setBindGroup(0, groups[i]);
    pass.dispatchWorkgroups(grids[g], grids[g + 1], grids[g + 2]);
  }
  pass.end();
  const read = clock?.turn(encoder);
  device.queue.submit([encoder.finish()]);
  read?.();
  const submitted = performance.now();
  const done = device.queue.onSubmittedWorkDone().catch(() => {}).then(() => {
    const now = performance.now();
    // The queue was busy with the submit before it until that was done.
    const begun = Math.max(submitted, host.lastDone);
    if (program.times.length < 64) program.times.push({ start, end, ms: now - begun });
    if (timedAs && !clock) noteSpan(program, timedAs, begun, now);
    host.lastDone = now;
    host.inFlight.splice(host.inFlight.indexOf(done), 1);
  });
  host.inFlight.push(done);
}

/** Wait until all that was submitted has run. @param {GpuHost} host */
export async function wait(host) {
  await Promise.race([host.device.queue.onSubmittedWorkDone().catch(() => {}), host.lost]);
  await Promise.race([Promise.all(host.inFlight), host.lost]);
  await host.settle();
}

/** Wait until all that went wrong so far is told, and forget it; a loss stays. @param {GpuHost} host */
export async function calm(host) {
  await wait(host);
  await new Promise((resolve) => setTimeout(resolve));
  host.takeProblem();
}

/**
 * Take how long submits took that finished since the last call.
 * @param {Program} program
 * @returns {Float64Array} start, end and milliseconds of each
 */
export function takeTimes(program) {
  return Float64Array.from(program.times.splice(0).flatMap(({ start, end, ms }) => [start, end, ms]));
}

/** Take the spans of submits. @param {Program} program @returns {Float64Array} number, begin and end of each */
export const takeSpans = (program) => Float64Array.from(program.spans.splice(0));

const gpu = { calm, compile, createProgram, room, replay, wait, takeTimes, takeSpans };
Object.assign((/** @type {any} */ (globalThis).loraLab ??= {}), { gpu });
