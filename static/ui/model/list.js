// @ts-check
/** The list of models that can be loaded, by where they are. */

import { t } from '../../messages/messages.js';
import { byId, make } from '../dom.js';

/** @import {ModelSource} from '../../types.js' */
/** @typedef {'bundled'|'kept'|'opened'} Group */

/** @type {Map<string, ModelSource>} option value → where its bytes are */
const sources = new Map();

/** @param {string} value */
export const sourceOf = (value) => sources.get(value);

/** How the list is divided. @type {Record<Group, () => string>} */
const GROUPS = { bundled: () => t('Comes with the page'), kept: () => t('On this device'), opened: () => t('Opened in this visit') };

/** @param {Group} name */
function groupOf(name) {
  const select = byId('model-select', HTMLSelectElement);
  const found = select.querySelector(`[data-group=${name}]`);
  if (found) return found;
  const made = make('optgroup', { 'data-group': name, label: GROUPS[name]() });
  const order = Object.keys(GROUPS);
  const next = [...select.children].find((child) => order.indexOf(child.getAttribute('data-group') ?? '') > order.indexOf(name));
  select.insertBefore(made, next ?? null);
  return made;
}

/** @param {string} value @param {string} label @param {ModelSource} source @param {Group} group */
function offer(value, label, source, group) {
  if (!sources.has(value)) groupOf(group).append(make('option', { value, text: label, translate: 'no' }));
  sources.set(value, source);
}

/** Offer a model and choose it. @param {string} value @param {string} label @param {ModelSource} source @param {Group} [group] */
export function addOption(value, label, source, group = 'opened') {
  offer(value, label, source, group);
  byId('model-select', HTMLSelectElement).value = value;
}

/** Offer it no longer. @param {string} value */
export function withdraw(value) {
  sources.delete(value);
  const option = [...byId('model-select', HTMLSelectElement).options].find((one) => one.value === value);
  const group = option?.parentElement;
  option?.remove();
  if (group instanceof HTMLOptGroupElement && !group.children.length) group.remove();
}

/** Show which models lie on the device. @param {{value: string, label: string, source: ModelSource}[]} models */
export function offerKept(models) {
  const select = byId('model-select', HTMLSelectElement);
  const chosen = select.value;
  const gone = [...select.querySelectorAll('[data-group=kept] option')].map((option) => /** @type {HTMLOptionElement} */ (option).value);
  for (const value of gone) if (value !== chosen && !models.some((model) => model.value === value)) withdraw(value);
  for (const { value, label, source } of models) offer(value, label, source, 'kept');
  select.value = chosen;
}

/** What a person typed as the address of a model, null where it is none. @param {string} text */
export function modelAddress(text) {
  try {
    const url = new URL(text, location.href);
    return ['http:', 'https:'].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}
