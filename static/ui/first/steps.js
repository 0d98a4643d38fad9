// @ts-check
/** What the introduction says of each step, and of weak devices. Needs no document. */

import { plural, t } from '../../messages/messages.js';
import { formatBytes, formatRough } from '../format.js';

/** @import {State} from '../../store.js' */
/** @import {Gpu} from '../../types.js' */

/**
 * `current`: the person's turn. `working`: the page's. `waiting`: for another step.
 * @typedef {'done'|'current'|'working'|'waiting'|'failed'} StepState
 * @typedef {{id: 'model'|'text'|'train'|'ask', state: StepState, text: string}} Step
 */

/** @param {Step['id']} id @param {StepState} state @param {string} text @returns {Step} */
const step = (id, state, text) => ({ id, state, text });

/** @param {State} state */
function modelStep({ supported, model, modelProgress: progress, status, boot }) {
  if (!supported) return step('model', 'failed', t('needs a GPU: see below'));
  if (progress?.stage === 'download' && progress.total_bytes) {
    return step('model', 'working', t('fetching, {share} %', { share: Math.floor((100 * progress.loaded_bytes) / progress.total_bytes) }));
  }
  if (progress?.stage === 'download' || progress?.stage === 'check' || progress?.stage === 'offline') return step('model', 'working', t('being fetched'));
  if (progress) return step('model', 'working', t('on its way to the GPU'));
  if (model) return step('model', 'done', t('{name} is loaded', { name: model.name.split('/').at(-1) ?? model.name }));
  if (status === 'error') return step('model', 'failed', t('not loaded: choose it again, or another'));
  if (status === 'ready') return step('model', 'current', t('choose one'));
  return step('model', 'working', boot ? t('Python is starting; you can go on') : t('starting; you can go on'));
}

/** @param {State} state */
function textStep({ hasCorpus, count, model, plan, planProblem }) {
  if (!hasCorpus) return step('text', 'current', t('paste yours, or take a sample'));
  if (model && planProblem && !plan) return step('text', 'failed', t('not usable yet: see beside Train'));
  if (count) return step('text', 'done', plural(count.num_tokens, { one: '{count} token', other: '{count} tokens' }));
  return step('text', 'done', t('it is here'));
}

/** @param {State} state @param {boolean} isReady model and text are */
function trainStep({ run, status, plan, planProblem }, isReady) {
  if (run?.done) return step('train', 'done', t('done'));
  if (run?.failed) return step('train', 'current', t('ended early: press Train again'));
  if (run) return step('train', 'working', status === 'paused' ? t('paused') : t('learning'));
  if (!isReady) return step('train', 'waiting', t('time and memory are told before'));
  if (!plan || planProblem) return step('train', 'waiting', t('being planned'));
  const [time, memory] = [formatRough(plan.seconds), formatBytes(plan.total_bytes)];
  return step('train', 'current', t('press Train: about {time}, {memory}', { time, memory }));
}

/** @param {State} state @returns {Step[]} */
export function describeSteps(state) {
  const [model, text] = [modelStep(state), textStep(state)];
  const train = trainStep(state, state.model !== null && text.state === 'done');
  const ask = state.adapter || state.tuned
    ? step('ask', 'current', t('with and without what it learnt'))
    : step('ask', 'waiting', t('and keep the adapter as a file'));
  return [model, text, train, ask];
}

/**
 * What a weak device means for a run, said before it; '' where there is nothing to say.
 * @param {Gpu|null} gpu
 */
export function describeDevice(gpu) {
  if (gpu?.is_software) {
    return t('No GPU here: the browser computes in software. The same results, many times slower.');
  }
  if (gpu && !gpu.features.includes('shader-f16')) {
    return t('This GPU has no 16-bit floats (shader-f16): more memory and time, results as good.');
  }
  return '';
}
