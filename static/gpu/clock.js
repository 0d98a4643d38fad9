// @ts-check
/** When compute passes began and ended on the GPU's own clock, read a few times a second. */

/** @typedef {import('./host.js').Program} Program */
/** @typedef {{queries: GPUQuerySet, resolved: GPUBuffer, staging: GPUBuffer, passes: {program: Program, number: number}[], since: number}} Sheet */

const PASSES = 64;
const READ_EVERY_MS = 250;
/** What a run of a hundred thousand steps would leave if nobody took it. */
const MAX_NUMBERS = 3 * 4096;
// The types know the two interfaces but not their constants.
const { GPUBufferUsage: Usage, GPUMapMode: MapMode } = /** @type {any} */ (globalThis);

/** @param {Program} program @param {number} number @param {number} begin @param {number} end */
export function noteSpan({ spans }, number, begin, end) {
  if (end >= begin && spans.length < MAX_NUMBERS) spans.push(number, begin, end);
}

export class GpuClock {
  /** @param {GPUDevice} device that has timestamp-query */
  constructor(device) {
    this.device = device;
    /** @type {Sheet[]} */
    this.free = [];
    /** @type {Sheet|null} */
    this.sheet = null;
    /** Times count from the first one, so that they are exact as numbers. @type {bigint|null} */
    this.zero = null;
  }

  /** @returns {Sheet} */
  newSheet() {
    const { device } = this;
    const size = 16 * PASSES;
    return {
      queries: device.createQuerySet({ type: 'timestamp', count: 2 * PASSES }),
      resolved: device.createBuffer({ size, usage: Usage.QUERY_RESOLVE | Usage.COPY_SRC }),
      staging: device.createBuffer({ size, usage: Usage.COPY_DST | Usage.MAP_READ }),
      passes: [], since: 0,
    };
  }

  /**
   * What a pass is begun with.
   * @param {Program} program
   * @param {number} number of the submit
   * @returns {GPUComputePassTimestampWrites}
   */
  next(program, number) {
    const sheet = this.sheet ??= Object.assign(this.free.pop() ?? this.newSheet(), { passes: [], since: performance.now() });
    sheet.passes.push({ program, number });
    const end = 2 * sheet.passes.length - 1;
    return { querySet: sheet.queries, beginningOfPassWriteIndex: end - 1, endOfPassWriteIndex: end };
  }

  /**
   * Have the times read where it is time to; call what comes back once `encoder` was submitted.
   * @param {GPUCommandEncoder} encoder
   * @returns {(() => void)|undefined}
   */
  turn(encoder) {
    const { sheet } = this;
    if (!sheet || (sheet.passes.length < PASSES && performance.now() - sheet.since < READ_EVERY_MS)) return undefined;
    this.sheet = null;
    encoder.resolveQuerySet(sheet.queries, 0, 2 * sheet.passes.length, sheet.resolved, 0);
    encoder.copyBufferToBuffer(sheet.resolved, 0, sheet.staging, 0, 16 * sheet.passes.length);
    return () => {
      sheet.staging.mapAsync(MapMode.READ).then(() => this.take(sheet), () => {}); // a lost device is told by itself
    };
  }

  /** @param {Sheet} sheet */
  take(sheet) {
    const times = new BigUint64Array(sheet.staging.getMappedRange(0, 16 * sheet.passes.length));
    const zero = this.zero ??= times[0];
    sheet.passes.forEach(({ program, number }, index) => noteSpan(program, number, Number(times[2 * index] - zero), Number(times[2 * index + 1] - zero)));
    sheet.staging.unmap();
    this.free.push(sheet);
  }
}
