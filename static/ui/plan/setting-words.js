// @ts-check
/** Settings as words: what they are called, what their values mean, which of them count. Needs no document. */

import { mark } from '../../messages/mark.js';
import { t } from '../../messages/messages.js';
import { state } from '../../store.js';
import { fieldNumber } from '../number.js';
import { choiceText } from './choices.js';

/** @import {Setting} from '../../types.js' */

/** @type {Record<string, string[]>} */
export const MODULES = {
  [mark('All seven projections')]: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  [mark('Attention only')]: ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
  [mark('Query and value only')]: ['q_proj', 'v_proj'],
  [mark('Feed-forward only')]: ['gate_proj', 'up_proj', 'down_proj'],
};

/** Settings that mean nothing where all weights are trained, and where an adapter is. */
export const OF_ADAPTERS = ['rank', 'alpha', 'target_modules', 'use_rslora', 'adapter_bits', 'rank_schedule', 'lora_plus_ratio'];
export const OF_WHOLE = ['full_weights'];

/** @param {string} name */
export function labelOf(name) {
  const label = state.fields.find((field) => field.name === name)?.label;
  return label ? t(label) : name.replaceAll('_', ' ');
}

/** @param {string} name @param {Setting|undefined} value undefined: Python's None */
export function valueOf(name, value) {
  if (!isSet(value)) return t('not set');
  if (typeof value === 'boolean') return value ? t('yes') : t('no');
  if (typeof value === 'number') return fieldNumber(value);
  if (!Array.isArray(value)) return choiceText(name, String(value));
  const known = Object.keys(MODULES).find((words) => MODULES[words].join() === value.join());
  return known ? t(known) : value.join(', ');
}

/**
 * The settings that had a say in a run: where the steps are given, the passes over the text have none.
 * @param {Record<string, Setting>} settings
 */
export function usedSettings(settings) {
  const idle = [...(settings['mode'] === 'full' ? OF_ADAPTERS : OF_WHOLE), ...(typeof settings['steps'] === 'number' ? ['epochs'] : [])];
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !idle.includes(name)));
}

/** @param {Setting|undefined} value */
const isSet = (value) => value !== null && value !== undefined && value !== '';

/**
 * What a run was made with, as words: in the order of the form, without what was not set.
 * @param {Record<string, Setting>} settings
 * @returns {[string, string][]} label and value
 */
export function settingsInWords(settings) {
  const used = usedSettings(settings);
  const known = state.fields.map(({ name }) => name);
  const names = [...known.filter((name) => name in used), ...Object.keys(used).filter((name) => !known.includes(name))];
  return names.filter((name) => isSet(used[name])).map((name) => [labelOf(name), valueOf(name, used[name])]);
}
