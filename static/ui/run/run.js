// @ts-check
/** Train, pause, stop; the figures of the run. */

import { newKey } from '../../kept/run-store.js';
import { t } from '../../messages/messages.js';
import { isRunning, isSearching, state, update, watch } from '../../store.js';
import { Pace } from '../console/pace.js';
import { allRuns, titleOf } from '../console/runs.js';
import { button, element, setText } from '../dom.js';
import { isFull } from '../full/ask.js';
import { announce, clearError, showFailure } from '../messages.js';
import { runRequest } from '../plan/plan.js';
import { mayBegin, mayReplace, mountBegin } from './begin.js';
import { renderFigures } from './figures.js';
import { followFocus } from './focus.js';

/** @import {Studio} from '../../api.js' */
/** @import {Run, Step} from '../../types.js' */

// Pressed, and not so yet: Train, Pause, Stop.
let [beginning, pausing, stopping] = [false, false, false];
/** Of this run since it was begun or gone on with: what an earlier page measured says little. */
let pace = new Pace();

/** @param {Partial<Run>} patch */
function change(patch) {
  if (state.run) update({ run: { ...state.run, ...patch } });
}

/** Where the console scrolls by itself: a run begins and ends at its top. */
function showTop() {
  element('console').scrollTop = 0;
}

/** @returns {Run} */
function newRun() {
  const number = 1 + Math.max(0, ...allRuns().map((run) => run.number));
  const startedAt = Date.now();
  return {
    numSteps: 0, plan: null, steps: [], phase: t('Getting ready'), fraction: null, done: null, failed: false, evaluations: [], samples: [], keptAt: 0, warning: '',
    number, startedAt, key: newKey(startedAt), name: '', model: state.model?.name ?? '',
  };
}

/**
 * Make a run, or go on with the one that was interrupted.
 * @param {Studio} studio
 * @param {boolean} [resume]
 */
export async function train(studio, resume = false) {
  if (isRunning() || beginning) return; // pressed twice
  clearError();
  beginning = !resume;
  renderButtons();
  const may = resume || (await mayBegin(studio).catch(showFailure).finally(() => { beginning = false; }));
  if (!may) return renderButtons();
  [pausing, stopping] = [false, false];
  pace = new Pace();
  const { run: before, pastRuns } = state;
  showTop();
  update({ run: newRun(), pastRuns: before?.steps.length ? [...pastRuns, before] : pastRuns, shownRun: null });
  try {
    const asked = { ...runRequest(), resume, run_name: state.run && !resume ? titleOf(state.run) : '', confirm_full: isFull(), drop_tuned: isFull() && !resume };
    const done = await studio.request('train', asked).catch(async (error) => {
      // Only the worker knows whether the trained model is of the run that goes on.
      if (error.kind === 'UnsavedModelError' && (await mayReplace(studio))) return studio.request('train', { ...asked, drop_tuned: true });
      throw error;
    });
    if (done.steps === 0) {
      update({ run: before, pastRuns });
      return;
    }
    change({ done, phase: '' });
    showTop();
    const useTuned = state.tuned !== null && state.run?.plan?.settings['mode'] === 'full';
    update({ keeping: null, ...(state.adapter || useTuned ? { useLora: true, useTuned } : {}) });
  } catch (error) {
    update({ keeping: null });
    if (state.run?.steps.length) change({ failed: true, phase: t('The run ended early') });
    else update({ run: before, pastRuns });
    showFailure(error);
  }
}

function hint() {
  if (!state.supported) return t('Training needs a GPU: see above.');
  if (isRunning()) return '';
  if (isSearching()) return t('A learning rate is being looked for: see Plan & settings.');
  if (!state.model) return t('The model has to load first.');
  if (!state.hasCorpus) return t('Add some text, or try a sample.');
  if (state.planProblems.length > 1) return t('{count} settings need a look: see Plan & settings.', { count: state.planProblems.length });
  return t(state.planProblem);
}

function renderButtons() {
  const { status } = state;
  const running = isRunning();
  const idle = state.model !== null && !running && !beginning && (status === 'ready' || status === 'error');
  button('train').disabled = !idle || state.planProblem !== '';
  button('pause').disabled = !running || stopping || (status !== 'training' && status !== 'paused');
  setText(button('pause'), status === 'paused' || pausing ? t('Resume') : t('Pause'));
  button('stop').disabled = !running || stopping;
  setText(button('stop'), !stopping || !running ? t('Stop') : state.keeping ? t('Saving…') : t('Stopping…'));
  setText(element('train-hint'), hint());
  document.body.toggleAttribute('data-running', running);
  followFocus(beginning);
}

/** What goes on between the steps of a run, '' while steps are made. */
function phaseOf() {
  const { keeping } = state;
  // An adapter is kept in a moment, which is told only where the person waits for it.
  if (keeping && (stopping || keeping.is_full)) {
    const values = { step: keeping.step, percent: Math.floor(100 * (keeping.fraction ?? 1)) };
    if (keeping.is_model) return t('Keeping the trained model in this browser · {percent} %', values);
    return keeping.fraction === null ? t('Reading back the checkpoint of step {step}', values) : t('Saving the checkpoint of step {step} · {percent} %', values);
  }
  if (stopping) return t('Stopping: what was learned so far is kept');
  if (pausing) return t('Pausing: what is under way ends first');
  return state.status === 'paused' ? t('Paused: you can chat meanwhile') : '';
}

/** @param {Run} run @returns {number|null} seconds still to go */
function timeLeft({ steps, numSteps, plan, done }) {
  const last = steps.at(-1);
  if (!last || done || !isRunning()) return null;
  return pace.left(numSteps - last.step, plan?.num_steps ? plan.seconds / plan.num_steps : null);
}

/** The figures, with what is known here alone. */
function renderRun() {
  const { run } = state;
  const last = run?.steps.at(-1);
  const phase = run && !run.done && !run.failed && (last || state.status === 'paused') ? phaseOf() : (run?.phase ?? '');
  renderFigures(run, phase, run && timeLeft(run));
}

/** @param {Studio} studio */
export function mountRun(studio) {
  studio.on('preparing', ({ stage, fraction }) => {
    if (fraction >= 1) {
      change({ phase: t('The first step'), fraction: null });
      return;
    }
    const values = { stage: stage === 'compiling' ? t('Compiling kernels') : t(stage), percent: Math.floor(fraction * 100) };
    change({ phase: t('{stage} · {percent} %', values), fraction });
  });
  studio.on('plan', (plan) => {
    update({ plan });
    change({ numSteps: plan.num_steps, plan });
  });
  studio.on('step', (/** @type {Step} */ step) => {
    if (!state.run) return;
    state.run.steps.push(step);
    pace.step(step.seconds, performance.now());
    update({ run: state.run });
  });

  studio.on('status', ({ status }) => {
    if (status === 'training') return;
    pausing = false;
    pace.interrupt();
  });

  button('train').addEventListener('click', () => void train(studio));
  button('pause').addEventListener('click', () => {
    pausing = state.status === 'training' && !pausing;
    renderButtons();
    renderRun();
    studio.request(pausing ? 'pause' : 'resume').catch(showFailure);
  });
  button('stop').addEventListener('click', () => {
    [pausing, stopping] = [false, true];
    renderButtons();
    renderRun();
    announce(t('Stopping: what was learned so far is kept'));
    studio.request('stop').catch(showFailure);
  });
  watch(['status', 'model', 'run', 'keeping', 'search', 'hasCorpus', 'planProblem', 'supported'], renderButtons);
  watch(['run', 'status', 'keeping'], renderRun);
  mountBegin();
}
