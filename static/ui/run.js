// @ts-check
/** Train, pause, stop; the figures of the run; its summary. */

import { t } from '../messages/messages.js';
import { isRunning, state, update, watch } from '../store.js';
import { saveAdapter } from './adapter.js';
import { button, byId, element, setNumber, setProgress, setText, textarea } from './dom.js';
import { formatCount, formatDuration, formatEta, formatLoss, formatRate } from './format.js';
import { isFull, mayLoseTuned, mayTrainAll } from './full-ask.js';
import { saveModel } from './full-save.js';
import { clearError, showFailure } from './messages.js';
import { runRequest } from './plan.js';

/** @import {Studio} from '../api.js' */
/** @import {Run, Step} from '../types.js' */

/** The time left follows the last steps of this run only, so that it is right after a pause. */
const RATE_STEPS = 20;
const CALIBRATION_STEPS = 3;

let stopping = false;

/** @param {Partial<Run>} patch */
function change(patch) {
  if (state.run) update({ run: { ...state.run, ...patch } });
}

/**
 * Make a run, or go on with the one that was interrupted.
 * @param {Studio} studio
 * @param {boolean} [resume]
 */
export async function train(studio, resume = false) {
  clearError();
  if (!resume && !(await mayTrainAll())) return;
  if (!resume && isFull() && !(await mayLoseTuned(studio, t('Another run of all weights takes its place.')))) return;
  stopping = false;
  const before = state.run;
  element('console').scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  update({ run: { numSteps: 0, plan: null, steps: [], phase: 'Getting ready', fraction: null, done: null, failed: false, evaluations: [], samples: [], keptAt: 0, warning: '' } });
  try {
    const done = await studio.request('train', { ...runRequest(), resume, confirm_full: isFull(), drop_tuned: isFull() });
    if (done.steps === 0) {
      update({ run: before });
      return;
    }
    change({ done, phase: '' });
    const useTuned = state.tuned !== null && state.run?.plan?.settings['mode'] === 'full';
    if (state.adapter || useTuned) update({ useLora: true, useTuned });
  } catch (error) {
    if (state.run?.steps.length) change({ failed: true, phase: 'The run ended early' });
    else update({ run: before });
    showFailure(error);
  }
}

/** @param {Run} run @returns {number|null} seconds still to go */
function timeLeft({ steps, numSteps, plan, done }) {
  const last = steps.at(-1);
  if (!last || done || !isRunning()) return null;
  // Until there are steps to go by, the plan knows better than the first one, which is slow.
  if (steps.length < CALIBRATION_STEPS && plan) return (Math.max(0, numSteps - last.step) * plan.seconds) / plan.num_steps;
  const recent = steps.slice(Math.max(1, steps.length - RATE_STEPS));
  if (!recent.length) return null;
  const each = recent.reduce((sum, step) => sum + step.seconds, 0) / recent.length;
  return Math.max(0, numSteps - last.step) * each;
}

function hint() {
  if (!state.supported) return 'Training needs a GPU: see above.';
  if (isRunning()) return '';
  if (!state.model) return 'The model has to load first.';
  if (!state.hasCorpus) return 'Add some text, or try a sample.';
  if (state.planProblems.length > 1) return t('{count} settings need a look: see Plan & settings.', { count: state.planProblems.length });
  return state.planProblem;
}

function renderButtons() {
  const { status } = state;
  const running = isRunning();
  const idle = state.model !== null && !running && (status === 'ready' || status === 'error');
  button('train').disabled = !idle;
  button('pause').disabled = !running || stopping || (status !== 'training' && status !== 'paused');
  setText(button('pause'), status === 'paused' ? 'Resume' : 'Pause');
  button('stop').disabled = !running || stopping;
  setText(button('stop'), stopping && running ? 'Stopping…' : 'Stop');
  setText(element('train-hint'), hint());
}

/** @param {Run|null} run */
function renderFigures(run) {
  const last = run?.steps.at(-1);
  setNumber(element('step'), last?.step, formatCount);
  setText(element('step-total'), last && run?.numSteps ? `/ ${formatCount(run.numSteps)}` : '');
  setNumber(element('loss'), last?.loss, formatLoss);
  setNumber(element('tokens'), last?.num_tokens, formatCount);
  setNumber(element('throughput'), last?.tokens_per_second, formatRate);
  const left = run ? timeLeft(run) : null;
  setNumber(element('eta'), left, formatEta);
  setNumber(element('foot-eta'), left, formatEta);
  const bar = byId('run-progress', HTMLProgressElement);
  if (run && !last && isRunning()) setProgress(bar, run.fraction);
  else setProgress(bar, last && run?.numSteps ? last.step / run.numSteps : 0);
  const phase = run && !run.done && last && !run.failed ? (state.status === 'paused' ? 'Paused: you can chat meanwhile' : '') : (run?.phase ?? '');
  setText(element('phase'), phase);
  const skipped = run?.steps.filter((step) => step.skipped).length ?? 0;
  element('skipped').hidden = skipped === 0;
  setText(element('skipped'), `${skipped} ${skipped === 1 ? 'step' : 'steps'} skipped: the loss was not a number`);
}

/** @param {Run|null} run */
function renderFinish(run) {
  const done = run?.done;
  const wasFull = run?.plan?.settings['mode'] === 'full';
  element('finish').hidden = !done || !(wasFull ? state.tuned : state.adapter);
  if (!run || !done) return;
  setText(button('finish-download'), wasFull ? 'Download the model' : 'Download the adapter');
  setText(element('finish-title'), done.stopped ? 'Stopped.' : done.stopped_early ? 'Finished early: the held-out loss no longer fell.' : 'Finished.');
  const first = run.steps.find((step) => !step.skipped);
  const change = first && run.steps.length > 1 ? `Loss ${formatLoss(first.loss)} → ${formatLoss(done.final_loss)}` : `Loss ${formatLoss(done.final_loss)}`;
  const steps = `${formatCount(done.steps)} ${done.steps === 1 ? 'step' : 'steps'}`;
  setText(element('finish-text'), `${change} in ${steps}, ${formatDuration(done.seconds)}.`);
}

/** @param {Studio} studio */
export function mountRun(studio) {
  studio.on('preparing', ({ stage, fraction }) => {
    const phase = stage === 'compiling' ? 'Compiling kernels' : stage;
    change({ phase: `${phase} · ${Math.floor(fraction * 100)} %`, fraction });
  });
  studio.on('plan', (plan) => {
    update({ plan });
    change({ numSteps: plan.num_steps, plan });
  });
  studio.on('step', (/** @type {Step} */ step) => {
    if (!state.run) return;
    state.run.steps.push(step);
    update({ run: state.run });
  });

  button('train').addEventListener('click', () => void train(studio));
  button('pause').addEventListener('click', () => {
    studio.request(state.status === 'paused' ? 'resume' : 'pause').catch(showFailure);
  });
  button('stop').addEventListener('click', () => {
    stopping = true;
    renderButtons();
    studio.request('stop').catch(showFailure);
  });
  button('finish-chat').addEventListener('click', () => {
    update({ useLora: true, useTuned: state.run?.plan?.settings['mode'] === 'full' });
    const box = textarea('chat-input');
    if (!box.value && state.question) box.value = state.question;
    box.focus();
  });
  button('finish-evaluate').addEventListener('click', () => {
    element('ppl-title').scrollIntoView({ block: 'center', behavior: 'smooth' });
    button('evaluate').click();
    button('evaluate').focus({ preventScroll: true });
  });
  button('finish-download').addEventListener('click', () => void (state.run?.plan?.settings['mode'] === 'full' ? saveModel(studio) : saveAdapter(studio)));

  watch(['status', 'model', 'run', 'hasCorpus', 'planProblem', 'supported'], renderButtons);
  watch(['run', 'status'], () => renderFigures(state.run));
  watch(['run', 'adapter', 'tuned'], () => renderFinish(state.run));
}
