// @ts-check
/** The table twin of each chart: all steps, a page at a time, the newest first. */

import { plural, t } from '../../messages/messages.js';
import { button, byId, element, make, setText } from '../dom.js';
import { COLUMNS, rowsOf } from './columns.js';
import { titleOf } from './runs.js';

/** @import {Run} from '../../types.js' */
/** @import {Row, TableColumn} from './columns.js' */
/** @import {Spec} from './specs.js' */

const PAGE_ROWS = 500;

/** Columns of the run that is compared with, beside all of the shown one's. */
const COMPARED = ['loss', 'smooth', 'heldOut'];

/** @typedef {{label: string, textOf: (row: Row) => string}} Shown a column, of either run */
/** @type {{rows: Row[], columns: Shown[], page: number}} */
let open = { rows: [], columns: [], page: 0 };

/** @param {TableColumn} column @param {Row} row */
function textOf({ key, of, format }, row) {
  if (key === 'loss' && row.record?.skipped) return t('skipped');
  const value = of(row);
  return value === null || !format ? '' : format(value);
}

function render() {
  const { rows, columns, page } = open;
  const first = page * PAGE_ROWS;
  const shown = rows.slice(first, first + PAGE_ROWS);
  const table = byId('step-table', HTMLTableElement);
  table.tHead?.replaceChildren(make('tr', {}, ...columns.map(({ label }) => make('th', { scope: 'col', text: label }))));
  table.tBodies[0]?.replaceChildren(...shown.map((row) => make(
    'tr', {}, ...columns.map(({ textOf: text }) => make('td', { text: text(row) })),
  )));
  setText(element('table-range'), rows.length > PAGE_ROWS
    ? t('Rows {first} to {last} of {total}', { first: first + 1, last: first + shown.length, total: rows.length })
    : plural(rows.length, { one: '{count} row', other: '{count} rows' }));
  for (const id of ['table-newer', 'table-older']) button(id).hidden = rows.length <= PAGE_ROWS;
  button('table-newer').disabled = page === 0;
  button('table-older').disabled = first + PAGE_ROWS >= rows.length;
}

/** @param {Row} row @returns {Row} of a step of which the run itself reported nothing */
const emptyRow = ({ step }) => ({ step, record: null, smooth: NaN, ranks: NaN, epochs: null, evaluation: null, samples: [] });

/**
 * Show a run as a table: the columns of one chart, or all that it reported; beside them what the
 * run that it is compared with reported at the same steps.
 * @param {Run|null} run
 * @param {Run|null} other
 * @param {Spec} [spec]
 */
export function openTable(run, other, spec) {
  if (!run) return;
  const own = rowsOf(run);
  const others = new Map(other ? rowsOf(other).map((row) => [row.step, row]) : []);
  const told = COLUMNS.filter(({ key, format, of }) => format && (!spec || spec.table.includes(key)) && (key === 'heldOut' || own.some((row) => of(row) !== null)));
  const compared = COLUMNS.filter(({ key }) => other && (spec ? spec.table : COMPARED).includes(key) && key !== 'step')
    .filter(({ of }) => [...others.values()].some((row) => of(row) !== null));
  /** @param {Row} row */
  const holds = (row) => !spec || told.some(({ key, of }) => key !== 'step' && of(row) !== null) || compared.some(({ of }) => of(others.get(row.step) ?? emptyRow(row)) !== null);
  const steps = new Set(own.map(({ step }) => step));
  const all = [...own, ...[...others.values()].filter(({ step }) => compared.length && !steps.has(step)).map(emptyRow)];
  open = {
    rows: all.sort((a, b) => b.step - a.step).filter(holds),
    columns: [
      ...told.map((column) => ({ label: t(column.label), textOf: (/** @type {Row} */ row) => textOf(column, row) })),
      ...compared.map((column) => ({
        label: t('{run}: {what}', { run: other ? titleOf(other) : '', what: t(column.label) }), textOf: (/** @type {Row} */ row) => textOf(column, others.get(row.step) ?? emptyRow(row)),
      })),
    ],
    page: 0,
  };
  setText(element('table-title'), spec ? t('{what} of {run}', { what: t(spec.title), run: titleOf(run) }) : t('Steps of {run}', { run: titleOf(run) }));
  render();
  byId('table-dialog', HTMLDialogElement).showModal();
}

export function mountTable() {
  /** @param {number} by */
  const turn = (by) => () => {
    open.page += by;
    render();
    element('table-scroll').scrollTop = 0;
  };
  button('table-newer').addEventListener('click', turn(-1));
  button('table-older').addEventListener('click', turn(1));
}
