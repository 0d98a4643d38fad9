// @ts-check
/** What is asked before all weights are trained, and before a trained model would be lost. */

import { plural, t } from '../../messages/messages.js';
import { state, update } from '../../store.js';
import { make } from '../dom.js';
import { formatBytes, formatRough } from '../format.js';
import { saveModel } from './save.js';

/** @import {Studio} from '../../api.js' */

/**
 * Ask in a dialog; the answer is the name of the button, '' where it was closed otherwise.
 * @param {{id: string, title: string, paragraphs: string[], buttons: [string, string][]}} question buttons: name and label, the last one is meant to be pressed
 * @returns {Promise<string>}
 */
function ask({ id, title, paragraphs, buttons }) {
  const last = buttons.length - 1;
  const dialog = make('dialog', { class: 'ask', id, 'data-testid': id, 'aria-labelledby': `${id}-title` },
    make('form', { method: 'dialog' },
      make('header', {}, make('h2', { id: `${id}-title`, text: title })),
      make('div', { class: 'ask-body' }, ...paragraphs.map((text) => make('p', { text }))),
      make('footer', {}, ...buttons.map(([value, text], index) => make('button', { value, text, ...(index === last ? { class: 'primary' } : {}) })))));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    dialog.showModal();
  });
}

/** Whether the next run trains all weights. */
export const isFull = () => state.plan?.settings['mode'] === 'full';

/**
 * Say what training all weights takes, where this device is slower than advised, and ask.
 * @returns {Promise<boolean>} whether to begin
 */
export async function mayTrainAll() {
  const plan = state.plan?.modes.find(({ mode }) => mode === 'full');
  if (!isFull() || !plan?.confirm) return true;
  const adapter = state.plan?.modes.find(({ mode }) => mode === 'adapter');
  const instead = adapter?.bytes && adapter.seconds !== null ? [t('An adapter would take {size} and about {time}.', { size: formatBytes(adapter.bytes['total'] ?? 0), time: formatRough(adapter.seconds) })] : [];
  const answer = await ask({
    id: 'full-confirm',
    title: t('Train all weights on this device?'),
    paragraphs: [t(plan.confirm), t('You can pause or stop at any time, and what was learned so far is kept. Base stays as it is and goes on answering.'), ...instead],
    buttons: [['cancel', t('Cancel')], ['adapter', t('Train an adapter instead')], ['go', t('Train all weights')]],
  });
  if (answer === 'adapter') update({ edits: { ...state.edits, mode: 'adapter' } });
  return answer === 'go';
}

/**
 * Ask before a trained model that was never downloaded is lost.
 * @param {Studio} studio
 * @param {string} why what would let it go, as a sentence
 * @returns {Promise<boolean>} whether to go on
 */
export async function mayLoseTuned(studio, why) {
  const { tuned } = state;
  if (!tuned || tuned.is_saved) return true;
  const size = formatBytes(tuned.num_parameters * (tuned.weights_format === 'f32' ? 4 : 2));
  const answer = await ask({
    id: 'unsaved-model',
    title: t('Your trained model is not downloaded'),
    paragraphs: [why, tuned.is_kept
      ? plural(tuned.steps, { one: 'You trained it for {count} step. It lies in this browser alone and would go from there; the file has about {size}.', other: 'You trained it for {count} steps. It lies in this browser alone and would go from there; the file has about {size}.' }, { size })
      : plural(tuned.steps, { one: 'You trained it for {count} step. It is stored nowhere; the file has about {size}.', other: 'You trained it for {count} steps. It is stored nowhere; the file has about {size}.' }, { size })],
    buttons: [['cancel', t('Cancel')], ['drop', t('Let it go')], ['save', t('Download it first')]],
  });
  return answer === 'drop' || (answer === 'save' && (await saveModel(studio)));
}

/**
 * Ask before a trained model that lies here from an earlier visit is lost to another run.
 * @returns {Promise<boolean>} whether to go on
 */
export async function mayLoseKept() {
  const kept = state.tuned ? null : state.keptModel;
  if (!kept) return true;
  const answer = await ask({
    id: 'kept-model',
    title: t('A trained model was not downloaded'),
    paragraphs: [t('Another run of all weights takes its place.'), plural(kept.steps, { one: 'It comes from an earlier visit ({model}, {count} step, {size}). To have it, open it and download it first.', other: 'It comes from an earlier visit ({model}, {count} steps, {size}). To have it, open it and download it first.' },
      { model: kept.base_name, size: formatBytes(kept.bytes) })],
    buttons: [['drop', t('Let it go')], ['cancel', t('Cancel')]],
  });
  return answer === 'drop';
}
