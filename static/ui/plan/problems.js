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
    const item = make('li', {}, make('span', { text: problem }));
    const field = settingAtFault(problem, fields, edits);
    if (field) {
      const fix = make('button', { type: 'button', class: 'remedy', text: t('Use the suggested value'), 'aria-label': t('Use the suggested value: {label}', { label: field.label }) });
      fix.addEventListener('click', () => onForget(field.name));
      item.append(' ', fix);
    }
    return item;
  }));
}
