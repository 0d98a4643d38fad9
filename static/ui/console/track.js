// @ts-check
/** What a run has reported, in columns that only grow; charts, table and files read them. */

/** @import {Run, Step} from '../../types.js' */

/** @typedef {'loss'|'smooth'|'gradNorm'|'learningRate'|'rate'|'ranks'} Column */

/** @param {number|null|undefined} value */
const known = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : NaN);

/** The smoothed line looks back over about a tenth of the run so far, within these bounds, in steps. */
const SHORTEST_SPAN = 2, LONGEST_SPAN = 100;

/** NaN stands for what was not reported, or was no number; steps that were skipped are such. */
export class Track {
  constructor() {
    this.sum = 0;
    this.weight = 0;
    this.numKnown = 0;
    this.lastRanks = NaN;
    this.numSkipped = 0;
    /** Ranks in use by module path, whenever they changed. @type {{step: number, ranks: Record<string, number>}[]} */
    this.rankChanges = [];
    /** Share of the time that the GPU computed, as last measured. @type {number|null} */
    this.lastBusy = null;
    /** @type {number[]} */
    this.x = [];
    /** @type {Record<Column, number[]>} */
    this.columns = { loss: [], smooth: [], gradNorm: [], learningRate: [], rate: [], ranks: [] };
  }

  get length() {
    return this.x.length;
  }

  /** @param {Step[]} steps of which those that are new are added */
  follow(steps) {
    for (let index = this.length; index < steps.length; index += 1) this.add(steps[index]);
    return this;
  }

  /**
   * The smoothed loss is an exponential moving average without the pull of its start: with s and w
   * beginning at 0, s ← k·s + (1 − k)·loss and w ← k·w + (1 − k), it is s / w. Its span grows with
   * the run, k = 1 − 2 / (span + 1): a fixed one lags far behind the steep fall at the beginning,
   * or says nothing of a long run.
   * @param {Step} step
   */
  add({ step, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens_per_second: rate, skipped, ranks, gpu_busy: busy }) {
    const { columns } = this;
    const value = skipped ? NaN : known(loss);
    if (!Number.isNaN(value)) {
      this.numKnown += 1;
      const span = Math.min(LONGEST_SPAN, Math.max(SHORTEST_SPAN, this.numKnown / 10));
      const keep = 1 - 2 / (span + 1);
      this.sum = keep * this.sum + (1 - keep) * value;
      this.weight = keep * this.weight + (1 - keep);
    }
    if (ranks) this.rankChanges.push({ step, ranks });
    if (ranks) this.lastRanks = Object.values(ranks).reduce((sum, count) => sum + count, 0);
    this.numSkipped += Number(skipped);
    this.lastBusy = busy ?? this.lastBusy;
    this.x.push(step);
    columns.loss.push(value);
    columns.smooth.push(Number.isNaN(value) ? NaN : this.sum / this.weight);
    columns.gradNorm.push(skipped ? NaN : known(gradNorm));
    columns.learningRate.push(known(learningRate));
    columns.rate.push(known(rate));
    columns.ranks.push(this.lastRanks);
  }

  /** @param {number} step @returns {number} index of the step that is nearest, -1 without steps */
  nearest(step) {
    const { x } = this;
    let low = 0, high = x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (x[middle] < step) low = middle + 1;
      else high = middle;
    }
    if (low === x.length || (low > 0 && step - x[low - 1] <= x[low] - step)) low -= 1;
    return low;
  }
}

/** @type {WeakMap<Step[], Track>} */
const tracks = new WeakMap();

/**
 * The columns of a run, up to date; made once for each list of steps.
 * @param {Run} run
 */
export function trackOf({ steps }) {
  let track = tracks.get(steps);
  if (!track) tracks.set(steps, track = new Track());
  return track.follow(steps);
}
