// @ts-check
/** Settings last from visit to visit; the text does where the person asks for it. */

import { forgetText, itsTurn, keep, keepText, kept, keptText, onReread } from '../../kept/kept.js';
import { t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { restoreCorpus, typedOrChosen } from './corpus.js';
import { debounce, input } from '../dom.js';
import { showError } from '../messages.js';

const KEEP_AFTER_MS = 600;

function mountSettings() {
  const edits = kept('settings');
  if (edits && typeof edits === 'object') update({ edits });
  onReread('settings', (now) => update({ edits: now && typeof now === 'object' ? now : {} }));
  watch(['edits', 'fields'], () => {
    const known = state.fields.map((field) => field.name);
    const stale = known.length > 0 && Object.keys(state.edits).some((name) => !known.includes(name));
    // Another version of the page may have had settings that this one does not know.
    if (stale) update({ edits: Object.fromEntries(Object.entries(state.edits).filter(([name]) => known.includes(name))) });
    else keep('settings', Object.keys(state.edits).length ? state.edits : undefined);
  });
}

async function mountText() {
  const box = input('remember-text');
  box.checked = kept('remember-text') === true;
  const save = () => {
    const text = typedOrChosen();
    const done = text.files.length ? keepText(text) : forgetText();
    done.catch(() => showError(t('Your text could not be kept on this device: its storage is full or switched off.')));
  };
  let restored = -1; // the version of the text that is the one which lies here
  const saveSoon = debounce(KEEP_AFTER_MS, () => {
    if (box.checked && state.corpusVersion !== restored) save();
  });
  /** @param {string} [known] @returns {Promise<string|undefined>} the key of the text that is shown now */
  const restore = async (known) => {
    const text = box.checked ? await keptText(known) : null;
    if (!text || (state.hasCorpus && state.corpusVersion !== restored)) return known;
    await restoreCorpus(text);
    restored = state.corpusVersion;
    return text.key;
  };
  onReread('remember-text', (now) => {
    box.checked = now === true;
  });
  box.addEventListener('change', () => {
    keep('remember-text', box.checked || undefined);
    if (box.checked) save();
    else forgetText().catch(() => showError(t('The text that was kept could not be deleted: clear the data of this site in the browser’s settings.')));
  });
  const known = await restore();
  watch(['corpusVersion'], saveSoon);
  await itsTurn;
  await restore(known); // another tab may have kept another one meanwhile
}

export function mountRemember() {
  mountSettings();
  void mountText();
}
