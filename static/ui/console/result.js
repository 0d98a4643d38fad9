// @ts-check
/** What a run came to: from where to where the loss went, and whether it fell. */

/** @import {Run} from '../../types.js' */

/**
 * `means`: of `count` steps at either end. `step`: there was but one. `at`: the step after which
 * `after` was read.
 * @typedef {'fell'|'unclear'|'rose'} Course
 * @typedef {{kind: 'held-out'|'means'|'step', before: number, after: number, count: number, at: number, course: Course}} Result
 */

/** Steps at either end whose mean is taken: a fifth of the run, within these bounds. */
const FEWEST = 3, MOST = 20;
/** A fall below so many standard errors may be chance. */
const SURE = 2;

/** @param {number[]} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The scatter of single steps around their course, from what neighbours differ by (von Neumann).
 * @param {number[]} values
 */
function scatterOf(values) {
  const squares = values.slice(1).map((value, index) => (value - values[index]) ** 2);
  return Math.sqrt(mean(squares) / 2);
}

/** @param {number} fall @param {number} margin below which it may be chance @returns {Course} */
function courseOf(fall, margin) {
  if (fall > margin) return 'fell';
  return fall < 0 ? 'rose' : 'unclear';
}

/**
 * Like compared with like: held-out losses where one was read before the first step and another
 * late in the run (after an early stop the best one, whose adapter was kept), else means of as many
 * steps at the beginning as at the end; a single step's loss says more of its few windows than of
 * the run. Steps that were skipped count for nothing.
 * @param {Pick<Run, 'evaluations'|'steps'|'done'>} run
 * @returns {Result} NaN where nothing is known
 */
export function resultOf({ evaluations, steps, done }) {
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  const end = steps.at(-1)?.step ?? 0;
  if (first?.step === 0 && last && last !== first && last.step >= end / 2) {
    const best = done?.stopped_early ? evaluations.reduce((least, point) => (point.loss < least.loss ? point : least)) : last;
    return { kind: 'held-out', before: first.loss, after: best.loss, count: 0, at: best.step, course: courseOf(first.loss - best.loss, 0) };
  }
  const losses = steps.filter(({ loss, skipped }) => !skipped && Number.isFinite(loss)).map(({ loss }) => loss);
  if (losses.length < 2) {
    const [only = NaN] = losses;
    return { kind: 'step', before: only, after: only, count: losses.length, at: end, course: 'unclear' };
  }
  const count = Math.min(MOST, Math.max(Math.floor(losses.length / 5), Math.min(FEWEST, Math.floor(losses.length / 2))));
  const [before, after] = [mean(losses.slice(0, count)), mean(losses.slice(-count))];
  const margin = SURE * scatterOf(losses) * Math.sqrt(2 / count);
  return { kind: 'means', before, after, count, at: end, course: courseOf(before - after, margin) };
}
