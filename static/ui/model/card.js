// @ts-check
/** The model's card: what is said in it, and what can be pressed. */

import { t } from '../../messages/messages.js';
import { isRunning, isSearching, state, watch } from '../../store.js';
import { button, byId, element, input, setProgress, setText } from '../dom.js';
import { announce } from '../messages.js';
import { showNotice } from '../notices.js';
import { measureRate } from './download-rate.js';
import { describeModel, isFetching } from './words.js';

/**
 * What the person has done is no error; that what has arrived stays is worth a word.
 * @param {unknown} error @param {boolean} hadSome
 */
export function sayCancelled(error, hadSome) {
  announce(t('The download was cancelled.'));
  if (hadSome && error instanceof Error) showNotice('cancelled', t(error.message));
}

/** During a run, also while it is paused, its model stays. */
function renderChoice() {
  const isBusy = isRunning() || isSearching();
  const why = isBusy ? t('A run is under way: stop it first') : '';
  for (const id of ['model-select', 'model-quantize']) byId(id, HTMLSelectElement).disabled = isBusy;
  input('model-url').disabled = isBusy;
  button('model-load').disabled = isBusy;
  for (const id of ['model-file', 'model-folder']) {
    input(id).disabled = isBusy;
    input(id).closest('label')?.classList.toggle('disabled', isBusy);
  }
  for (const id of ['model-select', 'model-load', 'model-file', 'model-folder']) element(id).title = why;
}

/** @param {() => boolean} wasAsked whether a model was asked for */
export function mountModelCard(wasAsked) {
  watch(['run', 'search', 'status'], renderChoice);
  watch(['boot', 'model', 'modelProgress', 'status', 'supported', 'gpu', 'isWaiting'], () => {
    const progress = state.modelProgress;
    const rate = progress?.stage === 'download' ? measureRate(progress.loaded_bytes, progress.total_bytes) : null;
    const { text, fraction } = describeModel(state, rate, wasAsked());
    setText(element('model-text'), text);
    button('model-retry').hidden = !(state.supported && state.model === null && state.status === 'error');
    button('model-cancel').hidden = !isFetching(progress);
    const bar = byId('model-progress', HTMLProgressElement);
    bar.hidden = fraction === undefined;
    if (fraction !== undefined) setProgress(bar, fraction);
  });
}
