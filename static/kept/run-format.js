// @ts-check
/**
 * How a run is written down: a description (JSON), and a log of lines (JSON each) that only grows.
 *
 *     ["s", step, loss, gradient norm, learning rate, tokens, tokens/s, seconds, skipped, GPU busy, ranks]
 *     ["e", step, loss, perplexity]      held-out
 *     ["w", step, prompt, text]          written by the model; in a log of its own
 *     ["r", step]                        steps after this one go, and all of "e" and "w": the run
 *                                        was gone on with from there, what holds follows
 *
 * Numbers stand unrounded; JSON lacks NaN and the infinities, which are words. What a line lacks at
 * its end was not reported.
 */

/** @import {EvalPoint, Plan, Run, Sample, Step} from '../types.js' */

export const VERSION = 1;

/** Settings that hold a person's own words. */
const WORDS = ['sample_prompt'];

/** @typedef {'newer'|'damaged'} Unreadable */
/** @typedef {Pick<Run, 'steps'|'evaluations'|'samples'> & {numLost: number}} Told */

/** A record that this version of the page cannot read. */
export class RecordError extends Error {
  /** @param {Unreadable} kind */
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

/** @param {Plan} plan without advice, and without words of the person's */
function planOf({ settings, num_steps, num_tokens, num_eval_tokens, num_eval_windows, num_eval_windows_read, tokens_per_step, seconds, bytes, total_bytes, optimizer_state_bytes, occupancy }) {
  const plain = Object.fromEntries(Object.entries(settings).filter(([name]) => !WORDS.includes(name)));
  return { settings: plain, suggested: {}, problem: '', num_steps, num_tokens, num_eval_tokens, num_eval_windows, num_eval_windows_read, tokens_per_step, seconds, bytes, total_bytes, optimizer_state_bytes, occupancy, modes: [] };
}

/** @param {Run} run @returns {string} all but what it reported step by step */
export function describeRun({ key, number, name, model, startedAt, numSteps, plan, done, failed }) {
  return JSON.stringify({ version: VERSION, key, number, name, model, startedAt, numSteps, plan: plan && planOf(plan), done, failed });
}

/** @param {boolean} holds */
function check(holds) {
  if (!holds) throw new RecordError('damaged');
}

/** @param {unknown} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * @param {string} text
 * @param {string} key of the record
 * @returns {Run} with nothing reported yet
 * @throws {RecordError}
 */
export function readDescription(text, key) {
  /** @type {unknown} */
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new RecordError('damaged');
  }
  if (!isObject(found)) throw new RecordError('damaged');
  if (Number.isInteger(found['version']) && found['version'] > VERSION) throw new RecordError('newer');
  const { version, number, name, model, startedAt, numSteps, plan, done, failed } = found;
  check(version === VERSION && found['key'] === key);
  check(Number.isInteger(number) && number > 0 && Number.isInteger(numSteps) && numSteps >= 0);
  check(typeof name === 'string' && typeof model === 'string' && typeof failed === 'boolean');
  check(Number.isFinite(startedAt) && Math.abs(startedAt) < 8.64e15);
  check(plan === null || (isObject(plan) && isObject(plan['settings']) && isObject(plan['bytes']) && Number.isFinite(plan['num_tokens'])));
  check(done === null || (isObject(done) && Number.isFinite(done['steps'])));
  return {
    key, number, name, model, startedAt, numSteps, plan: /** @type {Plan|null} */ (plan), done: /** @type {Run['done']} */ (done), failed,
    steps: [], evaluations: [], samples: [], phase: '', fraction: null, keptAt: 0, warning: '',
  };
}

/** @param {number|null|undefined} value */
const written = (value) => (value === undefined || value === null || Number.isFinite(value) ? value ?? null : String(value));

/** @param {any[]} line */
function asLine(line) {
  while (line.at(-1) === null) line.pop();
  return JSON.stringify(line);
}

/** @param {Step} step */
export const stepLine = ({ step, loss, grad_norm, learning_rate, num_tokens, tokens_per_second, seconds, skipped, gpu_busy, ranks }) => asLine([
  's', step, ...[loss, grad_norm, learning_rate, num_tokens, tokens_per_second, seconds].map(written), Number(skipped), written(gpu_busy), ranks ?? null,
]);
/** @param {EvalPoint} point */
export const evaluationLine = ({ step, loss, perplexity }) => asLine(['e', step, written(loss), written(perplexity)]);
/** @param {Sample} sample */
export const sampleLine = ({ step, prompt, text }) => asLine(['w', step, prompt, text]);
/** @param {number} step the last that stays */
export const rewindLine = (step) => asLine(['r', step]);

/** @param {unknown} value @returns {number} */
function numberOf(value) {
  if (typeof value === 'number') return value;
  check(value === 'NaN' || value === 'Infinity' || value === '-Infinity');
  return Number(value);
}

/** @param {unknown} value @returns {value is Record<string, number>} */
const isRanks = (value) => isObject(value) && Object.values(value).every((count) => Number.isInteger(count));

/** @param {any[]} line @param {Told} told */
function read([kind, step, ...rest], told) {
  check(Number.isInteger(step));
  if (kind === 's') {
    const [loss, gradNorm, rate, tokens, perSecond, seconds] = rest.slice(0, 6).map(numberOf);
    const [skipped, busy = null, ranks = null] = rest.slice(6);
    check((skipped === 0 || skipped === 1) && (busy === null || typeof busy === 'number') && (ranks === null || isRanks(ranks)));
    check(step > (told.steps.at(-1)?.step ?? 0));
    told.steps.push({ step, loss, grad_norm: gradNorm, learning_rate: rate, num_tokens: tokens, tokens_per_second: perSecond, skipped: skipped === 1, seconds, ranks, gpu_busy: busy });
  } else if (kind === 'e') {
    check(rest.length === 2);
    told.evaluations.push({ step, loss: numberOf(rest[0]), perplexity: numberOf(rest[1]) });
  } else if (kind === 'w') {
    check(typeof rest[0] === 'string' && typeof rest[1] === 'string');
    told.samples.push({ step, prompt: rest[0], text: rest[1] });
  } else if (kind === 'r') {
    while ((told.steps.at(-1)?.step ?? 0) > step) told.steps.pop();
    told.evaluations = [];
    told.samples = [];
  } else throw new RecordError('damaged');
}

/**
 * What a log tells; lines that cannot be read are left out and counted.
 * @param {string} log
 * @returns {Told}
 */
export function readLog(log) {
  /** @type {Told} */
  const told = { steps: [], evaluations: [], samples: [], numLost: 0 };
  for (const line of log.split('\n')) {
    if (!line) continue;
    try {
      read(JSON.parse(line), told);
    } catch {
      told.numLost += 1;
    }
  }
  return told;
}
