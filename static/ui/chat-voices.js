// @ts-check
/** Who can answer, and who answers the next message: the base model, adapters, two side by side. */

import { t } from '../messages/messages.js';
import { state, update, watch } from '../store.js';
import { byId, element, make } from './dom.js';
import { formatPlain } from './format.js';
import { showFailure } from './messages.js';

/** @import {Studio} from '../api.js' */
/** @import {Adapter} from '../types.js' */

/** @typedef {{key: string, label: string, adapter: number|null}} Voice */

/** @type {Voice} */
const BASE = { key: 'base', get label() { return t('Base'); }, adapter: null };

/** Whom the person picked for each side, '' as long as it is left to the page. */
const picked = { left: '', right: '' };

/** @param {Adapter} adapter @returns {Voice} */
function voiceOf({ id, name, strength }) {
  const own = state.shelf.length > 1 ? name : 'LoRA';
  return { key: `adapter-${id}`, label: strength === 1 ? own : `${own} × ${formatPlain(strength)}`, adapter: id };
}

/** @returns {Voice[]} */
const everyone = () => [BASE, ...state.shelf.map(voiceOf)];

/** @param {string} key @param {Voice} otherwise */
const voiceWith = (key, otherwise) => everyone().find((voice) => voice.key === key) ?? otherwise;

/** Who answers the next message. @returns {Voice[]} */
export function voices() {
  if (!state.adapter) return [BASE];
  const chosen = voiceOf(state.adapter);
  if (state.compare) return [voiceWith(picked.left, BASE), voiceWith(picked.right, chosen)];
  return [state.useLora ? chosen : BASE];
}

/** @param {string} id @param {Voice[]} options @param {string} value */
function fill(id, options, value) {
  const select = byId(id, HTMLSelectElement);
  const words = options.map((voice) => `${voice.key} ${voice.label}`).join('|');
  if (select.dataset['for'] !== words) {
    select.dataset['for'] = words;
    select.replaceChildren(...options.map((voice) => make('option', { value: voice.key, text: voice.label })));
  }
  select.value = value;
}

/** The choosers above the conversation: two side by side, or which of several adapters. */
function render() {
  const [left, right] = voices();
  const isComparing = state.compare && state.adapter !== null;
  element('voice-sides').hidden = !isComparing;
  element('voice-chosen').hidden = isComparing || state.shelf.length < 2;
  element('chat-voices').hidden = element('voice-sides').hidden && element('voice-chosen').hidden;
  if (isComparing && left && right) {
    fill('voice-left', everyone(), left.key);
    fill('voice-right', everyone(), right.key);
  }
  if (state.adapter) fill('voice-adapter', state.shelf.map(voiceOf), `adapter-${state.adapter.id}`);
}

/** @param {Studio} studio */
export function mountVoices(studio) {
  for (const side of /** @type {const} */ (['left', 'right'])) {
    byId(`voice-${side}`, HTMLSelectElement).addEventListener('change', (event) => {
      if (event.target instanceof HTMLSelectElement) picked[side] = event.target.value;
      update({ compare: true });
    });
  }
  byId('voice-adapter', HTMLSelectElement).addEventListener('change', (event) => {
    const voice = event.target instanceof HTMLSelectElement ? voiceWith(event.target.value, BASE) : BASE;
    if (voice.adapter === null) return;
    studio.request('edit-adapter', { adapter: voice.adapter, chosen: true }).then(() => update({ useLora: true }), showFailure);
  });
  watch(['adapter', 'shelf', 'compare', 'useLora'], render);
}
