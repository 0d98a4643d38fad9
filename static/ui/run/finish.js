// @ts-check
/** What a run came to: in a sentence where it ended, and what can be done with it. */

import { plural, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { saveAdapter } from '../adapter/adapter.js';
import { resultOf } from '../console/track.js';
import { button, element, setText, textarea } from '../dom.js';
import { formatDuration, formatLoss } from '../format.js';
import { saveModel } from '../full/save.js';

/** @import {Studio} from '../../api.js' */
/** @import {Run, TrainDone} from '../../types.js' */

/** @param {TrainDone} done */
function titleOf(done) {
  if (done.stopped) return t('Stopped.');
  return done.stopped_early ? t('Finished early: the held-out loss no longer fell.') : t('Finished.');
}

/** @param {Run} run @param {TrainDone} done */
function sentenceOf(run, done) {
  const result = resultOf(run);
  const values = { before: formatLoss(result.before), loss: formatLoss(result.after), time: formatDuration(done.seconds) };
  if (result.kind === 'held-out') {
    return plural(done.steps, { one: 'Held-out loss {before} → {loss} in {count} step, {time}.', other: 'Held-out loss {before} → {loss} in {count} steps, {time}.' }, values);
  }
  if (run.steps.length < 2) {
    return plural(done.steps, { one: 'Loss {loss} in {count} step, {time}.', other: 'Loss {loss} in {count} steps, {time}.' }, { ...values, loss: formatLoss(done.final_loss) });
  }
  return plural(done.steps, { one: 'Smoothed loss {before} → {loss} in {count} step, {time}.', other: 'Smoothed loss {before} → {loss} in {count} steps, {time}.' }, values);
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
  setText(element('finish-title'), titleOf(done));
  setText(element('finish-text'), sentenceOf(run, done));
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
  watch(['run', 'adapter', 'tuned'], () => render(state.run));
}
