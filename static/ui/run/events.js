// @ts-check
/** What accompanies a run: held-out loss, samples of what it writes, checkpoints, warnings. */

import { plural, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { isHeld, isKept } from '../adapter/shelf-kept.js';
import { element, make, setText } from '../dom.js';
import { formatLoss, formatPerplexity } from '../format.js';
import { announce } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {EvalPoint, Run, Sample} from '../../types.js' */

const SHOWN_SAMPLES = 20;

/**
 * Which part of what was held out is read each time; '' where it is all of it.
 * @param {Run['plan']} plan
 */
export function describeRead(plan) {
  const { num_eval_windows: count = 0, num_eval_windows_read: read = 0 } = plan ?? {};
  return read < count ? plural(count, { one: 'on {read} of {count} held-out window', other: 'on {read} of {count} held-out windows' }, { read }) : '';
}

/** @param {Run} run */
export function describeEvaluations({ evaluations, plan }) {
  const [first, last] = [evaluations[0], evaluations.at(-1)];
  if (!first || !last) return '';
  const values = { loss: formatLoss(last.loss), step: last.step, perplexity: formatPerplexity(last.perplexity), before: formatPerplexity(first.perplexity) };
  const words = first.step === 0 && last !== first
    ? t('Held-out loss {loss} after step {step}, perplexity {perplexity} (before: {before})', values)
    : t('Held-out loss {loss} after step {step}, perplexity {perplexity}', values);
  return [words, describeRead(plan)].filter(Boolean).join(' · ');
}

/** @param {(run: Run) => void} change */
function withRun(change) {
  if (!state.run) return;
  change(state.run);
  update({ run: state.run });
}

/**
 * A run that goes on after a stop, a reload or a crash is the one that was interrupted, and not
 * another: when its first step was done, and how long that took, tells them apart. What the
 * interrupted one did after its last checkpoint is done again.
 * @param {Run} run
 */
function joinEarlier(run) {
  const [first] = run.steps;
  const same = state.pastRuns.find(({ steps, done }) => first && steps.length && (!done || done.stopped) && Object.is(steps[0].loss, first.loss) && steps[0].seconds === first.seconds);
  if (!same) return;
  const { key, name, number, startedAt } = same;
  Object.assign(run, { key, name, number, startedAt });
  update({
    pastRuns: state.pastRuns.filter((other) => other !== same), hiddenRuns: state.hiddenRuns.filter((other) => other !== number),
    comparedRun: state.comparedRun === number ? null : state.comparedRun,
  });
}

/**
 * What of a run a reload does not lose: its checkpoint as long as there is one, then its adapter.
 * @param {Run} run
 */
function describeKept({ keptAt, done, failed, plan }) {
  if (keptAt && (state.resumable || !(done || failed))) return t('The run is kept as of step {step}: a reload does not lose it', { step: keptAt });
  if (!done || plan?.settings['mode'] === 'full' || !state.adapter || state.adapter.origin !== 'trained' || !isHeld(state.adapter)) return '';
  return isKept(state.adapter.id) ? t('The adapter is kept in this browser: a reload does not lose it') : t('The adapter is held in this browser until it is downloaded or deleted: a reload does not lose it');
}

/** @param {Run|null} run */
function render(run) {
  element('run-evaluation').hidden = !run?.evaluations.length;
  if (run) setText(element('run-evaluation'), describeEvaluations(run));
  const keptWords = run ? describeKept(run) : '';
  element('run-kept').hidden = !keptWords;
  setText(element('run-kept'), keptWords);
  element('run-warning').hidden = !run?.warning;
  setText(element('run-warning'), t(run?.warning ?? ''));
  const place = element('samples-written');
  place.hidden = !run?.samples.length;
  const list = element('sample-list');
  const shown = run?.samples.slice(-SHOWN_SAMPLES).reverse() ?? [];
  const key = shown.map((sample) => sample.step).join();
  if (list.dataset['steps'] === key) return;
  list.dataset['steps'] = key;
  list.replaceChildren(...shown.map((sample) => make(
    'li', {}, make('span', { class: 'sample-step', text: sample.step ? t('Step {step}', { step: sample.step }) : t('Before') }), ' ',
    make('q', { class: 'sample-prompt', text: sample.prompt, translate: 'no' }), make('span', { text: sample.text, translate: 'no' }),
  )));
}

/** @param {Studio} studio */
export function mountRunEvents(studio) {
  studio.on('evaluation', (/** @type {EvalPoint} */ point) => {
    withRun((run) => run.evaluations.push(point));
    announce(t('Held-out loss {loss} after step {step}', { loss: formatLoss(point.loss), step: point.step }));
  });
  studio.on('sample', (/** @type {Sample} */ sample) => withRun((run) => run.samples.push(sample)));
  studio.on('keeping', ({ step, fraction, is_full, is_model }) => update({ keeping: { step, fraction: fraction ?? null, is_full, is_model } }));
  studio.on('step', () => state.keeping && update({ keeping: null }));
  studio.on('checkpoint', ({ step }) => {
    update({ keeping: null });
    withRun((run) => { run.keptAt = step; });
  });
  studio.on('run-warning', ({ message }) => {
    update({ keeping: null });
    withRun((run) => { run.warning = message; });
  });
  studio.on('run-history', ({ steps, evaluations, samples }) => withRun((run) => {
    run.steps = [...steps];
    run.evaluations = [...evaluations];
    run.samples = [...samples];
    joinEarlier(run);
  }));
  watch(['run', 'resumable', 'adapter', 'shelf'], () => render(state.run));
}
