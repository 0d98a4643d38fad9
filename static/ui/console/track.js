// @ts-check
/** What a run has reported, in columns that only grow; charts, table and files read them. */

/** @import {Run, Step} from '../../types.js' */

/** @typedef {'loss'|'smooth'|'gradNorm'|'learningRate'|'rate'|'ranks'} Column */

/** @param {number|null|undefined} value */
const known = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : NaN);

/** NaN stands for what was not reported, or was no number; steps that were skipped are such. */
export class Track {
  /** @param {number} numSteps of the whole run: the longer, the smoother */
  constructor(numSteps) {
    this.numSteps = numSteps;
    /** Share of the moving average that stays from step to step. */
    this.keep = Math.min(0.98, Math.max(0.6, 1 - 10 / Math.max(1, numSteps)));
    this.sum = 0;
    this.weight = 0;
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
   * The smoothed loss is an exponential moving average without the pull of its start.
   * @param {Step} step
   */
  add({ step, loss, grad_norm: gradNorm, learning_rate: learningRate, tokens_per_second: rate, skipped, ranks, gpu_busy: busy }) {
    const { columns, keep } = this;
    const value = skipped ? NaN : known(loss);
    if (!Number.isNaN(value)) {
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
export function trackOf({ steps, numSteps }) {
  let track = tracks.get(steps);
  if (!track || track.numSteps !== numSteps) tracks.set(steps, track = new Track(numSteps));
  return track.follow(steps);
}

/** @typedef {{kind: 'held-out'|'smoothed', before: number, after: number}} Result */

/**
 * From where to where the loss came, like compared with like: held-out losses where the last was
 * read at the end (after an early stop the best one, whose adapter was kept), else the smoothed
 * loss; a single step's says more of its few windows than of the run.
 * @param {Run} run @returns {Result} NaN where nothing is known
 */
export function resultOf(run) {
  const { evaluations, steps, done } = run;
  const losses = evaluations.map(({ loss }) => loss);
  const isRead = evaluations.length > 1 && evaluations[0].step === 0 && evaluations.at(-1)?.step === steps.at(-1)?.step;
  if (isRead) return { kind: 'held-out', before: losses[0], after: done?.stopped_early ? Math.min(...losses) : losses[losses.length - 1] };
  const smooth = trackOf(run).columns.smooth.filter((value) => !Number.isNaN(value));
  return { kind: 'smoothed', before: smooth[0] ?? NaN, after: smooth.at(-1) ?? NaN };
}
