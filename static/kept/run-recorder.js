// @ts-check
/** Brings the record of a run up to what the run has reported, by what is new in it. */

import { describeRun, evaluationLine, rewindLine, sampleLine, stepLine } from './run-format.js';
import { isMissing, MOST_BYTES, PART_SIZE, tooMany } from './run-store.js';

/** @import {Run, Step} from '../types.js' */
/** @import {RunStore} from './run-store.js' */

/**
 * What the record of a run holds so far.
 * @typedef {object} Held
 * @property {string} about
 * @property {Step[]} steps of which the record holds the first `numSteps`
 * @property {number} numSteps
 * @property {Run['evaluations']} evaluations
 * @property {number} numEvaluations
 * @property {Run['samples']} samples
 * @property {number} numSamples
 * @property {boolean} isFull no more room: the rest of this run is not kept
 */

/** @param {Partial<Held>} [held] @returns {Held} */
const newHeld = (held) => ({ about: '', steps: [], numSteps: 0, evaluations: [], numEvaluations: 0, samples: [], numSamples: 0, isFull: false, ...held });

/** @param {Step} a @param {Step|undefined} b */
const isSame = (a, b) => b !== undefined && a.step === b.step && a.seconds === b.seconds && Object.is(a.loss, b.loss);

/** @param {any[]} list @param {number} from @param {(item: any) => string} line */
const linesOf = (list, from, line) => list.slice(from).map(line);
/** @param {string[]} lines */
const joined = (lines) => lines.map((line) => `${line}\n`).join('');

export class RunRecorder {
  /**
   * @param {RunStore} store
   * @param {() => boolean} keepsText whether the person asked that texts are kept
   */
  constructor(store, keepsText) {
    this.store = store;
    this.keepsText = keepsText;
    /** By key. @type {Map<string, Held>} */
    this.held = new Map();
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  /** A run that was read from its record. @param {Run} run */
  adopt(run) {
    const { steps, evaluations, samples } = run;
    this.held.set(run.key, newHeld({
      about: describeRun(run), steps, numSteps: steps.length, evaluations, numEvaluations: evaluations.length, samples, numSamples: samples.length,
    }));
  }

  /**
   * Write what is new of a run that made a step. A run without a key is not kept.
   * @param {Run} run
   * @returns {Promise<{gone: string[], isFull: boolean, wasDeleted: boolean}>} records that made room, whether this one may grow no more, and whether somebody had deleted it: then it is written anew
   */
  keep(run) {
    return this.afterTheLast(async () => {
      try {
        return { ...await this.write(run), wasDeleted: false };
      } catch (error) {
        if (!isMissing(error)) throw error;
        await this.store.lost(run.key);
        this.held.delete(run.key);
        return { ...await this.write(run), wasDeleted: true };
      }
    });
  }

  /** @param {Run} run */
  async write(run) {
    const { store } = this;
    if (!run.key || !run.steps.length) return { gone: [], isFull: false };
    let held = this.held.get(run.key);
    if (!held) this.held.set(run.key, held = newHeld({ steps: run.steps, evaluations: run.evaluations, samples: run.samples }));
    const about = describeRun(run);
    if (!held.isFull) {
      await this.writeSteps(run, held);
      await this.writeSamples(run, held);
      held.isFull = (store.sizes.get(run.key) ?? 0) > MOST_BYTES - PART_SIZE;
    }
    // Last: a run that is said to have ended has all of its steps there.
    if (about !== held.about) {
      await store.describe(run.key, about);
      held.about = about;
    }
    const gone = tooMany(store.sizes, run.key);
    for (const key of gone) await this.drop(key);
    return { gone, isFull: held.isFull };
  }

  /** @param {Run} run @param {Held} held */
  async writeSteps({ key, steps, evaluations }, held) {
    /** @type {string[]} */
    let lines = [];
    let [fromStep, fromEvaluation] = [held.numSteps, held.numEvaluations];
    if (steps !== held.steps || evaluations !== held.evaluations) {
      // Gone on with: what both tell alike stays, and nothing is told twice.
      fromStep = 0;
      while (fromStep < held.numSteps && isSame(held.steps[fromStep], steps[fromStep])) fromStep += 1;
      fromEvaluation = 0;
      if (held.numSteps || held.numEvaluations) lines = [rewindLine(fromStep ? steps[fromStep - 1].step : 0)];
    }
    const [numSteps, numEvaluations] = [steps.length, evaluations.length];
    lines = [...lines, ...linesOf(steps, fromStep, stepLine), ...linesOf(evaluations, fromEvaluation, evaluationLine)];
    if (lines.length) await this.store.add(key, 'steps', joined(lines));
    Object.assign(held, { steps, numSteps, evaluations, numEvaluations });
  }

  /** @param {Run} run @param {Held} held */
  async writeSamples({ key, samples }, held) {
    if (!this.keepsText()) return;
    const isOther = samples !== held.samples;
    const numSamples = samples.length;
    const lines = [...(isOther && held.numSamples ? [rewindLine(0)] : []), ...linesOf(samples, isOther ? 0 : held.numSamples, sampleLine)];
    if (lines.length) await this.store.add(key, 'samples', joined(lines));
    Object.assign(held, { samples, numSamples });
  }

  /** @param {string} key */
  async drop(key) {
    await this.store.remove(key);
    this.held.delete(key);
  }

  /** @template T @param {() => Promise<T>} change @returns {Promise<T>} */
  afterTheLast(change) {
    const mine = this.last.then(change);
    this.last = mine.catch(() => {});
    return mine;
  }

  /** @param {string} key */
  forget(key) {
    return this.afterTheLast(() => this.drop(key));
  }

  forgetAll() {
    return this.afterTheLast(async () => {
      await this.store.removeAll();
      this.held.clear();
    });
  }

  forgetSamples() {
    return this.afterTheLast(async () => {
      await this.store.removeSamples();
      for (const held of this.held.values()) held.numSamples = 0;
    });
  }
}
