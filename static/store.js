// @ts-check
/**
 * What the page knows, and who wants to hear of it. Changes are gathered and told once a
 * frame, so a fast run never asks for more layout than the screen can show.
 */

import { t } from './messages/messages.js';

/** @import {Status, Boot, Gpu, ModelProgress, ModelInfo, Count, DamagedRecord, Field, Preset, Plan, Run, RateSearch, Resumable, Keeping, Setting, Adapter, KeptModel, Tuned, Evaluation} from './types.js' */

/**
 * @typedef {object} State
 * @property {boolean} supported WebGPU was found
 * @property {Status} status
 * @property {Boot|null} boot
 * @property {Gpu|null} gpu
 * @property {string} gpuText
 * @property {ModelProgress|null} modelProgress
 * @property {ModelInfo|null} model
 * @property {number} corpusVersion counts up whenever the text changes
 * @property {boolean} hasCorpus
 * @property {Count|null} count
 * @property {Field[]} fields
 * @property {Preset[]} presets how far a run may go
 * @property {Record<string, Setting>} edits settings of a run that the person changed; the rest is suggested
 * @property {Field[]} answerFields settings of an answer
 * @property {Plan|null} plan
 * @property {string} planProblem why no run can be planned, '' where one can
 * @property {string[]} planProblems the same, each for itself
 * @property {Run|null} run
 * @property {Run[]} pastRuns earlier ones, of this visit and of those before
 * @property {DamagedRecord[]} damagedRecords of runs that cannot be shown
 * @property {number} numRunsGone how many were deleted in this visit to make room
 * @property {number|null} shownRun number of the run whose charts are shown, null for the current
 * @property {number[]} hiddenRuns numbers of runs that are not drawn behind it
 * @property {number|null} comparedRun number of the run that it is compared with
 * @property {RateSearch|null} search the last search for a learning rate
 * @property {Resumable|null} resumable a run that was interrupted
 * @property {Keeping|null} keeping a checkpoint on its way to the disk
 * @property {Adapter|null} adapter
 * @property {Adapter[]} shelf all adapters at hand; `adapter` is the chosen one
 * @property {boolean} useLora
 * @property {Tuned|null} tuned the model whose weights were all trained
 * @property {KeptModel|null} keptModel one of an earlier visit that lies on the disk
 * @property {boolean} useTuned it answers in the adapter's place
 * @property {number|null} tunedShare how much of it was handed out, while it is
 * @property {boolean} compare answers come side by side
 * @property {number|null} allocatedBytes
 * @property {Evaluation|null} evaluation
 * @property {string} evaluating
 * @property {boolean} isKept all of the page lies on this device: it opens without a network
 * @property {boolean} isWaiting another tab works, and this one does not yet
 * @property {string} question what the sample suggests to ask
 */

/** @type {State} */
export const state = {
  supported: true, status: 'booting', boot: null, gpu: null, gpuText: t('looking…'), modelProgress: null,
  model: null, corpusVersion: 0, hasCorpus: false, count: null, fields: [], edits: {}, presets: [], answerFields: [], plan: null, planProblem: '', planProblems: [], run: null, search: null, resumable: null, keeping: null,
  pastRuns: [], damagedRecords: [], numRunsGone: 0, shownRun: null, hiddenRuns: [], comparedRun: null,
  adapter: null, shelf: [], useLora: false, tuned: null, keptModel: null, useTuned: false, tunedShare: null, compare: false, allocatedBytes: null, evaluation: null, evaluating: '', isKept: false, isWaiting: false, question: '',
};

/** A fast run reports many steps a second; an eye follows fewer, and the GPU needs the time. */
const TELL_EVERY_MS = 80;

/** @type {{keys: Set<string>, render: () => void}[]} */
const watchers = [];
/** @type {Set<string>} */
const changed = new Set();
let scheduled = false;
let told = -TELL_EVERY_MS;

function tell() {
  scheduled = false;
  told = performance.now();
  const keys = new Set(changed);
  changed.clear();
  for (const watcher of watchers) {
    if ([...watcher.keys].some((key) => keys.has(key))) watcher.render();
  }
}

/** @param {Partial<State>} patch */
export function update(patch) {
  Object.assign(state, patch);
  for (const key of Object.keys(patch)) changed.add(key);
  if (scheduled) return;
  scheduled = true;
  // A hidden tab gets no animation frames, but its status should still be true.
  const wait = told + TELL_EVERY_MS - performance.now();
  if (document.hidden) setTimeout(tell, 200);
  else if (wait > 0) setTimeout(() => (document.hidden ? tell() : requestAnimationFrame(tell)), wait);
  else requestAnimationFrame(tell);
}

/**
 * Call `render` now and after every frame in which one of `keys` changed.
 * @param {(keyof State)[]} keys
 * @param {() => void} render
 */
export function watch(keys, render) {
  watchers.push({ keys: new Set(keys), render });
  render();
}

/** A run is on, also while it is paused or being prepared. */
export const isRunning = () => state.run !== null && state.run.done === null && !state.run.failed;

/** A learning rate is being looked for. */
export const isSearching = () => state.search !== null && state.search.result === null && state.search.problem === '';
