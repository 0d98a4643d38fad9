// @ts-check
/** What a run came to: in a sentence where it ended, and what can be done with it. */

import { onLanguage, plural, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { saveAdapter } from '../adapter/adapter.js';
import { resultOf } from '../console/result.js';
import { button, element, setText, textarea } from '../dom.js';
import { formatDuration, formatLoss } from '../format.js';
import { saveModel } from '../full/save.js';
import { followFocus } from './focus.js';

/** @import {Studio} from '../../api.js' */
/** @import {Result} from '../console/result.js' */
/** @import {Run, TrainDone} from '../../types.js' */

/** @param {TrainDone} done */
function titleOf(done) {
  if (done.stopped) return t('Stopped.');
  return done.stopped_early ? t('Finished early: the held-out loss no longer fell.') : t('Finished.');
}

/** What is said before the numbers of a run whose loss did not fall, and what may help. */
const FINDINGS = {
  fell: () => '',
  unclear: () => t('Whether the loss fell cannot be told: the difference may be chance. Train for more steps.'),
  rose: () => t('The loss did not fall. Train for more steps, or with a lower learning rate.'),
};

/**
 * @param {Result} result
 * @param {TrainDone} done
 */
function numbersOf({ kind, before, after, count, at }, done) {
  const values = { before: formatLoss(before), loss: formatLoss(after), number: count, time: formatDuration(done.seconds), step: at };
  if (kind === 'held-out') {
    return at === done.steps
      ? plural(done.steps, { one: 'Held-out loss {before} → {loss} in {count} step, {time}.', other: 'Held-out loss {before} → {loss} in {count} steps, {time}.' }, values)
      : plural(done.steps, { one: 'Held-out loss {before} → {loss} after step {step}; {count} step, {time}.', other: 'Held-out loss {before} → {loss} after step {step}; {count} steps, {time}.' }, values);
  }
  if (kind === 'step' || count === 1) {
    return kind === 'step'
      ? plural(done.steps, { one: 'Loss {loss} in {count} step, {time}.', other: 'Loss {loss} in {count} steps, {time}.' }, { ...values, loss: formatLoss(done.final_loss) })
      : t('Loss of the first step {before}, of the last {loss}; {steps} steps, {time}.', { ...values, steps: done.steps });
  }
  return t('Loss {before} → {loss} (means of the first and of the last {number} steps), {steps} steps, {time}.', { ...values, steps: done.steps });
}

/**
 * How a run ended, in words.
 * @param {Run} run
 * @param {TrainDone} done
 * @returns {{title: string, text: string, fell: boolean}}
 */
export function endInWords(run, done) {
  const result = resultOf(run);
  const text = [FINDINGS[result.course](), numbersOf(result, done)].filter(Boolean).join(' ');
  return { title: titleOf(done), text, fell: result.course === 'fell' };
}

/** @param {Run|null} run */
const isOfAllWeights = (run) => run?.plan?.settings['mode'] === 'full';

/** @param {Run|null} run */
function render(run) {
  const done = run?.done;
  const isFull = isOfAllWeights(run);
  element('finish').hidden = !done || !(isFull ? state.tuned : state.adapter);
  if (!run || !done) return;
  setText(button('finish-download'), isFull ? t('Download the model') : t('Download the adapter'));
  const { title, text, fell } = endInWords(run, done);
  setText(element('finish-title'), title);
  setText(element('finish-text'), text);
  element('finish').classList.toggle('unproven', !fell);
  button('finish-chat').classList.toggle('primary', fell);
}

/** @param {Studio} studio */
export function mountFinish(studio) {
  button('finish-chat').addEventListener('click', () => {
    update({ useLora: true, useTuned: isOfAllWeights(state.run) });
    const box = textarea('chat-input');
    if (!box.value && state.question) box.value = state.question;
    box.focus();
  });
  button('finish-evaluate').addEventListener('click', () => {
    element('ppl-title').scrollIntoView({ block: 'center', behavior: 'smooth' });
    button('evaluate').click();
    button('evaluate').focus({ preventScroll: true });
  });
  button('finish-download').addEventListener('click', () => void (isOfAllWeights(state.run) ? saveModel(studio) : saveAdapter(studio)));
  watch(['run', 'adapter', 'tuned'], () => {
    render(state.run);
    followFocus();
  });
  onLanguage(() => render(state.run));
}
