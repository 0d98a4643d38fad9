// @ts-check
/** The form inside the plan dialog: built from the settings that Python describes. */

import { plural, t } from '../../messages/messages.js';
import { state } from '../../store.js';
import { make } from '../dom.js';
import { fieldNumber, readNumber } from '../number.js';
import { choiceText } from './choices.js';
import { sentence } from './modes.js';
import { MODULES, OF_ADAPTERS, OF_WHOLE } from './setting-words.js';

/** @import {Field, Plan, Preset, Setting} from '../../types.js' */

/** @param {Setting|undefined} value */
const asText = (value) => {
  if (Array.isArray(value)) return value.join(',');
  return typeof value === 'number' ? fieldNumber(value) : String(value ?? '');
};

/** @param {Field} field @param {string} id */
function control(field, id) {
  if (field.kind === 'switch') {
    return make('select', { id }, make('option', { value: 'false', text: t('no') }), make('option', { value: 'true', text: t('yes') }));
  }
  if (field.kind === 'choice' || field.kind === 'modules') {
    const options = field.kind === 'modules'
      ? Object.entries(MODULES).map(([text, names]) => make('option', { value: names.join(','), text: t(text) }))
      : field.choices.map((choice) => make('option', { value: choice, text: choiceText(field.name, choice) }));
    return make('select', { id }, ...options);
  }
  return make('input', {
    id, type: 'text', inputmode: field.kind === 'text' ? 'text' : field.kind === 'int' ? 'numeric' : 'decimal', autocomplete: 'off', spellcheck: 'false',
  });
}

/**
 * @param {Field} field
 * @param {string} text as typed
 * @returns {Setting|undefined} undefined: back to the suggestion
 */
function parse(field, text) {
  if (field.kind === 'modules') return text.split(',');
  if (field.kind === 'choice') return text;
  if (field.kind === 'switch') return text === 'true';
  if (field.kind === 'text') return text;
  const trimmed = text.trim();
  if (trimmed === '') return field.optional ? null : undefined;
  // What is no number goes to Python as it is: its refusal names the field.
  return readNumber(trimmed) ?? trimmed;
}

/**
 * Build the fields once, when Python has described them.
 * @param {HTMLElement} place
 * @param {{onEdit: (name: string, value: Setting|undefined) => void, onKeep: (keep: boolean) => void}} handlers
 */
export function buildFields(place, { onEdit, onKeep }) {
  if (state.fields.length === 0) {
    place.replaceChildren(make('p', { class: 'hint', text: state.supported ? t('The settings appear here once Python has started.') : t('The settings appear here once there is a GPU to use them.') }));
    return;
  }
  const keep = make('input', { id: 'keep-adapter', type: 'checkbox' });
  keep.addEventListener('change', () => onKeep(keep.checked));
  const keepRow = make('label', { class: 'field check', id: 'keep-adapter-row' }, keep,
    make('span', { text: t('Continue from the current adapter') }),
    make('small', { text: t('Otherwise a new run starts from a fresh one. Rank, alpha and projections stay as they are.') }));
  const rows = state.fields.map((field) => {
    const id = `setting-${field.name}`;
    const node = control(field, id);
    node.dataset['setting'] = field.name;
    // The name is the label's words alone: help and problem are told after it.
    node.setAttribute('aria-labelledby', `${id}-label`);
    node.setAttribute('aria-describedby', `${id}-help`);
    node.addEventListener('change', () => onEdit(field.name, parse(field, node.value)));
    const problem = make('span', { class: 'problem', id: `${id}-problem` });
    problem.hidden = true;
    return make('label', { class: 'field', for: id }, make('span', { id: `${id}-label`, text: t(field.label) }), node, problem, make('small', { id: `${id}-help`, text: t(field.help) }));
  });
  place.replaceChildren(keepRow, ...rows);
}

/**
 * Fill the fields with what a run would use.
 * @param {HTMLElement} place
 * @param {Plan|null} plan
 * @param {Record<string, Setting>} edits
 */
export function showPlanIn(place, plan, edits) {
  const isFull = (edits['mode'] ?? plan?.settings['mode']) === 'full';
  for (const field of state.fields) {
    const node = place.querySelector(`[data-setting="${field.name}"]`);
    if (!(node instanceof HTMLInputElement || node instanceof HTMLSelectElement)) continue;
    if (node.parentElement) node.parentElement.hidden = (isFull ? OF_ADAPTERS : OF_WHOLE).includes(field.name);
    if (node === document.activeElement) continue;
    const edited = Object.hasOwn(edits, field.name);
    if (edited) node.parentElement?.setAttribute('data-edited', t('yours'));
    else node.parentElement?.removeAttribute('data-edited');
    node.value = asText(edited ? edits[field.name] : (plan?.settings[field.name] ?? field.default));
    if (node instanceof HTMLInputElement) node.placeholder = field.optional ? (field.name === 'steps' ? t('by epochs') : t('not set')) : asText(plan?.suggested[field.name] ?? field.default);
  }
  const keep = place.querySelector('#keep-adapter');
  if (!(keep instanceof HTMLInputElement)) return;
  keep.disabled = state.adapter === null;
  if (keep.parentElement) keep.parentElement.hidden = isFull;
}

/** What a preset is for, and what it comes to here. @param {Preset[]} presets @param {string} chosen @param {Plan|null} plan */
export function presetWords(presets, chosen, plan) {
  const preset = presets.find(({ name }) => name === chosen);
  // What the device has does not change how far a run goes; with anything else it is another run than the preset promises.
  const count = Object.keys(state.edits).filter((name) => name !== 'device_memory_gb' && name !== 'mode').length;
  const words = !preset ? '' : count
    ? plural(count, { one: '{preset}, with {count} setting of your own.', other: '{preset}, with {count} settings of your own.' }, { preset: t(preset.label) })
    : t(preset.help);
  return [words, sentence(t(plan?.coverage ?? ''))].join(' ').trim();
}

/**
 * The presets as one choice.
 * @param {HTMLElement} place
 * @param {Preset[]} presets
 * @param {string} chosen
 * @param {(name: string) => void} onPreset
 */
export function buildPresets(place, presets, chosen, onPreset) {
  const help = make('p', { class: 'hint', id: 'preset-help', text: presetWords(presets, chosen, null) });
  const choices = presets.map(({ name, label }) => {
    const radio = make('input', { type: 'radio', name: 'preset', id: `preset-${name}`, value: name, 'aria-describedby': 'preset-help' });
    radio.checked = name === chosen;
    radio.addEventListener('change', () => {
      help.textContent = presetWords(presets, name, null);
      onPreset(name);
    });
    return make('label', { class: 'segment', for: `preset-${name}` }, radio, make('span', { text: t(label) }));
  });
  place.replaceChildren(make('legend', { class: 'sr', text: t('How far to go') }), make('div', { class: 'segments' }, ...choices), help);
}
