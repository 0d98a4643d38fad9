// @ts-check
/** Who can answer, and who answers the next message: the base model, adapters, two side by side. */

import { plural, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { byId, element, make } from '../dom.js';
import { formatPlain } from '../format.js';
import { showFailure } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {Adapter} from '../../types.js' */

/** @typedef {{key: string, label: string, adapter: number|null, isTuned?: boolean}} Voice */

/** @type {Voice} */
const BASE = { key: 'base', get label() { return t('Base'); }, adapter: null };

/** The model whose weights were all trained. @type {Voice} */
const TUNED = { key: 'tuned', get label() { return t('Tuned'); }, adapter: null, isTuned: true };

/** Whom the person picked for each side, '' as long as it is left to the page. */
const picked = { left: '', right: '' };

/** What tells an adapter from the others; a run that was stopped and gone on with has made two of one name. @param {Adapter} adapter */
function nameOf({ id, name, steps }) {
  if (state.shelf.length < 2) return 'LoRA';
  const isShared = state.shelf.some((other) => other.id !== id && other.name === name);
  return isShared ? plural(steps, { one: '{name}, {count} step', other: '{name}, {count} steps' }, { name }) : name;
}

/** @param {Adapter} adapter @returns {Voice} */
export function voiceOf(adapter) {
  const { id, strength } = adapter;
  const own = nameOf(adapter);
  return { key: `adapter-${id}`, label: strength === 1 ? own : `${own} × ${formatPlain(strength)}`, adapter: id };
}

/** @returns {Voice[]} */
const trained = () => [...state.shelf.map(voiceOf), ...(state.tuned ? [TUNED] : [])];
const everyone = () => [BASE, ...trained()];

/** Who answers where it is not the base; null: nobody else is there. @returns {Voice|null} */
export function other() {
  if (state.tuned && (state.useTuned || !state.adapter)) return TUNED;
  return state.adapter && voiceOf(state.adapter);
}

/** @param {string} key @param {Voice} otherwise */
const voiceWith = (key, otherwise) => everyone().find((voice) => voice.key === key) ?? otherwise;

/** Who answers the next message. @returns {Voice[]} */
export function voices() {
  const chosen = other();
  if (!chosen) return [BASE];
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
  const chosen = other();
  const isComparing = state.compare && chosen !== null;
  element('voice-sides').hidden = !isComparing;
  element('voice-chosen').hidden = isComparing || trained().length < 2;
  element('chat-voices').hidden = element('voice-sides').hidden && element('voice-chosen').hidden;
  if (isComparing && left && right) {
    fill('voice-left', everyone(), left.key);
    fill('voice-right', everyone(), right.key);
  }
  if (chosen) fill('voice-adapter', trained(), chosen.key);
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
    if (voice.isTuned) update({ useLora: true, useTuned: true });
    if (voice.adapter === null) return;
    studio.request('edit-adapter', { adapter: voice.adapter, chosen: true }).then(() => update({ useLora: true, useTuned: false }), showFailure);
  });
  watch(['adapter', 'shelf', 'tuned', 'useTuned', 'compare', 'useLora'], render);
}
