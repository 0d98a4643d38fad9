// @ts-check
/** The table of figures, one body a section, filled as figures come. */

import { t } from '../../messages/messages.js';
import { element, make } from '../dom.js';

/**
 * @typedef {object} BenchFigure
 * @property {Record<string, any>} figure the line of `python -m app bench --json`
 * @property {string} section
 * @property {string[]} cells
 * @property {number|null|undefined} share of the peak
 * @property {string} note
 */

/** @type {BenchFigure[]} */
let shown = [];
/** @type {HTMLTableSectionElement|null} */
let body = null;
let section = '';

/** @returns {Record<string, any>[]} all figures so far */
export const figures = () => shown.map(({ figure }) => figure);

export function clearFigures() {
  shown = [];
  section = '';
  element('bench-table').hidden = true;
  for (const old of element('bench-table').querySelectorAll('tbody')) old.remove();
  element('bench-empty').hidden = false;
}

/** @param {string} title */
function begin(title) {
  section = title;
  body = make('tbody', { 'data-section': title }, make('tr', {}, make('th', { colspan: '5', scope: 'rowgroup', text: t(title) })));
  element('bench-table').append(body);
}

/** @param {BenchFigure} event */
export function addFigure(event) {
  shown.push(event);
  if (event.figure['bench'] === 'device') return; // it stands above the table
  element('bench-empty').hidden = true;
  element('bench-table').hidden = false;
  if (event.section !== section || !body) begin(event.section);
  const cells = event.cells.map((text) => make('td', { text: t(text) }));
  if (event.note) cells[0].append(make('span', { class: 'note', text: t(event.note) }));
  if (typeof event.share === 'number') {
    const value = String(Math.min(1, event.share));
    cells[4].append(make('progress', { max: '1', value, 'aria-hidden': 'true' }));
  }
  body?.append(make('tr', { 'data-bench': event.figure['bench'] }, ...cells));
}
