// @ts-check
/** Which runs there are, of this visit and of earlier ones, which are shown, and their words. */

import { locale, plural, t } from '../../messages/messages.js';
import { isRunning, state } from '../../store.js';
import { labelOf, usedSettings, valueOf } from '../plan/setting-words.js';

/** @import {Run, Setting} from '../../types.js' */

/** All runs that made a step, in order. */
export const allRuns = () => [...state.pastRuns, ...(state.run ? [state.run] : [])].filter((run) => run.steps.length > 0);

/** The run whose charts are shown: the chosen one, else the current, else the last that was kept. @returns {Run|null} */
export const shownRun = () => state.pastRuns.find(({ number }) => number === state.shownRun) ?? state.run ?? state.pastRuns.at(-1) ?? null;

/** The run that the shown one is compared with. @returns {Run|null} */
export const comparedRun = () => allRuns().find((run) => run.number === state.comparedRun && run !== shownRun()) ?? null;

/** Runs whose curves are drawn behind. */
export const runsBehind = () => allRuns().filter((run) => run === comparedRun() || !state.hiddenRuns.includes(run.number));

/** @param {Run} run */
export const titleOf = ({ name, number }) => name || t('Run {number}', { number });

/** When a run began. @param {Run} run */
export function whenOf({ startedAt }) {
  const date = new Date(startedAt);
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? date.toLocaleTimeString(locale(), { timeStyle: 'short' }) : date.toLocaleString(locale(), { dateStyle: 'medium', timeStyle: 'short' });
}

/** How a run ended. @param {Run} run */
export function endOf(run) {
  const { done, failed, steps } = run;
  const step = steps.at(-1)?.step ?? 0;
  if (done?.stopped) return t('stopped at step {step}', { step });
  if (done) return t('finished');
  if (failed) return t('ended early at step {step}', { step });
  if (run === state.run && isRunning()) return t('going on');
  return t('interrupted at step {step}', { step: Math.max(step, resumableStep(run)) });
}

/** The step from which a run can be gone on with, also where its record ends before it. @param {Run} run */
function resumableStep({ model, numSteps, number }) {
  const { resumable } = state;
  const isThis = resumable && resumable.base_name === model && resumable.num_steps === numSteps && allRuns().at(-1)?.number === number;
  return isThis ? resumable.step : 0;
}

/**
 * Settings in which runs differ, of each run; of a run of which a setting is not known, without it.
 * @param {Pick<Run, 'plan'>[]} runs
 * @returns {Record<string, Setting>[]}
 */
export function differences(runs) {
  const known = runs.map(({ plan }) => usedSettings(plan?.settings ?? {}));
  const names = [...new Set(known.flatMap((settings) => Object.keys(settings)))];
  const differing = names.filter((name) => new Set(known.filter((settings) => name in settings).map((settings) => JSON.stringify(settings[name] ?? null))).size > 1);
  return known.map((settings) => Object.fromEntries(differing.filter((name) => name in settings).map((name) => [name, settings[name] ?? null])));
}

/** @param {Record<string, Setting>} settings */
const inWords = (settings) => Object.entries(settings).map(([name, value]) => `${labelOf(name)} ${valueOf(name, value)}`).join(', ');

/** In what a run differs from the others, the model first. @param {Run[]} runs @returns {string[]} */
export function differencesInWords(runs) {
  const hasModels = new Set(runs.map(({ model }) => model)).size > 1;
  return differences(runs).map((settings, index) => [hasModels ? runs[index].model : '', inWords(settings)].filter(Boolean).join(', '));
}

/** @type {WeakMap<Run['steps'], {count: number, rate: number}>} */
const rates = new WeakMap();

/** @param {Run} run @returns {number} over all of its steps */
export function tokensPerSecond({ steps }) {
  const measured = rates.get(steps);
  if (measured?.count === steps.length) return measured.rate;
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const last = steps.at(-1);
  const rate = last && seconds > 0 ? last.num_tokens / seconds : 0;
  rates.set(steps, { count: steps.length, rate });
  return rate;
}

/** What could not be read of a run's record, in words; '' where all could. @param {Run} run */
export const lostOf = ({ numLost = 0 }) => (numLost ? plural(numLost, { one: '{count} line of its record was damaged and is left out.', other: '{count} lines of its record were damaged and are left out.' }) : '');
