// @ts-check
/** Why no run can be planned: one line each, and what mends it with one press. */

import { t } from '../../messages/messages.js';
import { make } from '../dom.js';

/** @import {Field, Setting} from '../../types.js' */

/**
 * The edited setting that a problem is about: its sentence begins with the setting's name.
 * @param {string} problem
 * @param {Field[]} fields
 * @param {Record<string, Setting>} edits
 */
export function settingAtFault(problem, fields, edits) {
  const named = fields.filter(({ name, label }) => Object.hasOwn(edits, name) && problem.startsWith(`${label} `));
  return named.sort((a, b) => b.label.length - a.label.length)[0];
}

/**
 * @param {string[]} problems
 * @param {Field[]} fields
 * @param {Record<string, Setting>} edits
 * @param {(name: string) => void} onForget puts the suggested value in the place of an edit
 */
export function problemList(problems, fields, edits, onForget) {
  return make('ul', { class: 'plan-problems' }, ...problems.map((problem) => {
    const item = make('li', {}, make('span', { text: t(problem) }));
    const field = settingAtFault(problem, fields, edits);
    if (field) {
      const fix = make('button', { type: 'button', class: 'remedy', text: t('Use the suggested value'), 'aria-label': t('Use the suggested value: {label}', { label: t(field.label) }) });
      fix.addEventListener('click', () => onForget(field.name));
      item.append(' ', fix);
    }
    return item;
  }));
}

/**
 * Say at each field what is wrong with its value, for eyes and for screen readers.
 * @param {HTMLElement} place the form
 * @param {string[]} problems
 * @param {Field[]} fields
 * @param {Record<string, Setting>} edits
 */
export function markFields(place, problems, fields, edits) {
  /** @type {Map<string, string>} */
  const wrong = new Map();
  for (const problem of problems) {
    const field = settingAtFault(problem, fields, edits);
    if (field) wrong.set(field.name, t(problem));
  }
  for (const { name } of fields) {
    const node = place.querySelector(`[data-setting="${name}"]`);
    const words = place.querySelector(`#setting-${name}-problem`);
    if (!(node instanceof HTMLElement) || !(words instanceof HTMLElement)) continue;
    const text = wrong.get(name) ?? '';
    const isNew = text !== '' && words.textContent !== text;
    words.hidden = text === '';
    if (words.textContent !== text) words.textContent = text;
    if (text) node.setAttribute('aria-invalid', 'true');
    else node.removeAttribute('aria-invalid');
    node.setAttribute('aria-describedby', text ? `setting-${name}-problem setting-${name}-help` : `setting-${name}-help`);
    if (isNew) (node.closest('label') ?? node).scrollIntoView({ block: 'nearest' });
  }
}
