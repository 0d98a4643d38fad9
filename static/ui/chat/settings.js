// @ts-check
/** How the model answers: a form built from the settings that Python describes. */

import { keep, kept } from '../../kept/kept.js';
import { onLanguage, t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { button, byId, element, make } from '../dom.js';
import { fieldNumber, readNumber } from '../number.js';

/** @import {Field} from '../../types.js' */

/** @type {Record<string, number|string>} what the person changed; the rest is as described */
const edits = {};
/** @type {(() => void)[]} */
const listeners = [];
let raw = false;
let system = '';

/** Call `tell` whenever the person has changed something. @param {() => void} tell */
export const onAnswerSettings = (tell) => void listeners.push(tell);

/** What an answer is asked for with. `attempt` moves the seed on: another answer, not a rerun. @param {number} attempt */
export function answerSettings(attempt) {
  const seed = state.answerFields.find((field) => field.name === 'seed')?.default;
  const first = edits['seed'] ?? seed ?? 0;
  const settings = attempt && typeof first === 'number' ? { ...edits, seed: (first + attempt) % 2 ** 32 } : { ...edits };
  return { raw, system: raw ? '' : system, settings };
}

/** The answer is drawn, not always the likeliest: another attempt can differ. */
export function isSampling() {
  const described = state.answerFields.find((field) => field.name === 'temperature')?.default;
  return (edits['temperature'] ?? described ?? 0) !== 0;
}

/** @param {Field} field */
function shown({ name, default: suggested }) {
  const value = edits[name] ?? suggested;
  return typeof value === 'number' ? fieldNumber(value) : String(value);
}

/** @param {Field} field */
function row(field) {
  const id = `chat-${field.name}`;
  const node = make('input', {
    id, type: 'text', inputmode: field.kind === 'int' ? 'numeric' : 'decimal', autocomplete: 'off', spellcheck: 'false', value: shown(field),
  });
  node.addEventListener('change', () => {
    const text = node.value.trim();
    // What is no number goes to Python as it is: its refusal names the setting.
    if (text === '') delete edits[field.name];
    else edits[field.name] = readNumber(text) ?? text;
    node.value = shown(field);
    keep('chat', Object.keys(edits).length ? edits : undefined);
  });
  return make('label', { class: 'field', for: id }, make('span', { text: t(field.label) }), node, make('small', { text: t(field.help) }));
}

function ownFields() {
  const prompt = make('textarea', { id: 'chat-system', rows: '2', placeholder: t('Who the model is and how it should answer') });
  prompt.addEventListener('input', () => (system = prompt.value.trim()));
  const plain = make('input', { id: 'chat-raw', type: 'checkbox' });
  plain.addEventListener('change', () => (raw = plain.checked));
  return [
    make('label', { class: 'field wide', for: 'chat-system' }, make('span', { text: t('System prompt') }), prompt,
      make('small', { text: t('Goes before every conversation. Empty: what the model’s own chat format says.') })),
    make('label', { class: 'field check', for: 'chat-raw' }, plain, make('span', { text: t('Continue my text instead of answering') }),
      make('small', { text: t('Leaves out the chat format and what was said before: the model goes on where your message ends.') })),
  ];
}

/** Take up what was set on the last visit, as far as this version of the page knows it. */
function restore() {
  for (const [name, value] of Object.entries(kept('chat') ?? {})) {
    if (typeof value === 'number' && state.answerFields.some((field) => field.name === name)) edits[name] ??= value;
  }
}

export function mountChatSettings() {
  const dialog = byId('chat-dialog', HTMLDialogElement);
  onLanguage(() => {
    for (const field of state.answerFields) byId(`chat-${field.name}`, HTMLInputElement).value = shown(field);
  });
  element('chat-own-fields').append(...ownFields());
  watch(['answerFields'], () => {
    const place = element('chat-fields');
    restore();
    if (state.answerFields.length) place.replaceChildren(...state.answerFields.map(row));
    else place.replaceChildren(make('p', { class: 'hint', text: t('The other settings appear here once Python has started.') }));
  });
  dialog.addEventListener('keydown', (event) => {
    // Enter in a field means “use this”, not “close the dialog”.
    if (event.key === 'Enter' && event.target instanceof HTMLInputElement && event.target.type === 'text') {
      event.preventDefault();
      event.target.dispatchEvent(new Event('change'));
    }
  });
  for (const kind of ['input', 'change']) dialog.addEventListener(kind, () => listeners.forEach((tell) => tell()));
  button('chat-settings-open').addEventListener('click', () => dialog.showModal());
}
