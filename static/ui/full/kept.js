// @ts-check
/** The offer to open a trained model that an earlier visit kept because nobody had downloaded it. */

import { onDeleted } from '../../offline/stored.js';
import { locale, plural, t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { formatBytes } from '../format.js';
import { showFailure } from '../messages.js';
import { clearNotice, showNotice } from '../notices.js';

/** @import {Studio} from '../../api.js' */
/** @import {KeptModel} from '../../types.js' */

const KEY = 'kept-model';

/** What is offered as it stands: it is shown anew only where that changes, and its buttons stay. */
let shown = '';

/** @param {KeptModel} kept */
export function describe({ steps, saved_at, base_name, bytes, is_this_model }) {
  const when = new Date(saved_at);
  const values = { model: base_name, size: formatBytes(bytes), when: when.toLocaleString(locale()) };
  const what = Number.isNaN(when.getTime())
    ? plural(steps, { one: 'A trained model that was not downloaded is still here: {model}, {count} step of all weights ({size}).', other: 'A trained model that was not downloaded is still here: {model}, {count} steps of all weights ({size}).' }, values)
    : plural(steps, { one: 'A trained model that was not downloaded is still here: {model}, {count} step of all weights, kept {when} ({size}).', other: 'A trained model that was not downloaded is still here: {model}, {count} steps of all weights, kept {when} ({size}).' }, values);
  return is_this_model ? what : t('{sentence} To open it, choose that model.', { sentence: what });
}

/** @param {Studio} studio */
function render(studio) {
  const { keptModel: kept, tuned, model } = state;
  if (!kept || tuned || !model || isRunning()) {
    shown = '';
    clearNotice(KEY);
    return;
  }
  const key = JSON.stringify([kept, locale()]);
  if (shown === key) return;
  shown = key;
  const open = {
    label: t('Open'),
    act: () => void studio.request('open-kept-model').then(() => update({ useTuned: true, useLora: true }), showFailure),
  };
  const discard = () => void studio.request('discard-kept-model').catch(showFailure);
  /** @param {string} label @param {() => void} act */
  const show = (label, act) => showNotice(KEY, describe(kept), { actions: [...(kept.is_this_model ? [open] : []), { label, act }] });
  // What cannot be had again is asked for twice.
  show(t('Discard'), () => show(t('Really discard?'), discard));
}

/** @param {Studio} studio */
export function mountFullKept(studio) {
  studio.on('kept-model', ({ model }) => update({ keptModel: model ?? null }));
  watch(['keptModel', 'tuned', 'model', 'run'], () => render(studio));
  onDeleted('tuned', async () => {
    await (await navigator.storage.getDirectory()).removeEntry('tuned', { recursive: true });
    void studio.request('discard-kept-model').catch(() => {}); // it knows of it too
  });
}
