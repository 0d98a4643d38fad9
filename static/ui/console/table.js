// @ts-check
/** The table twin of each chart: all steps, a page at a time, the newest first. */

import { plural, t } from '../../messages/messages.js';
import { button, byId, element, make, setText } from '../dom.js';
import { COLUMNS, rowsOf } from './columns.js';

/** @import {Run} from '../../types.js' */
/** @import {Row, TableColumn} from './columns.js' */
/** @import {Spec} from './specs.js' */

const PAGE_ROWS = 500;

/** @type {{rows: Row[], columns: TableColumn[], page: number}} */
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
  table.tHead?.replaceChildren(make('tr', {}, ...columns.map(({ label }) => make('th', { scope: 'col', text: t(label) }))));
  table.tBodies[0]?.replaceChildren(...shown.map((row) => make(
    'tr', {}, ...columns.map((column) => make('td', { text: textOf(column, row) })),
  )));
  setText(element('table-range'), rows.length > PAGE_ROWS
    ? t('Rows {first} to {last} of {total}', { first: first + 1, last: first + shown.length, total: rows.length })
    : plural(rows.length, { one: '{count} row', other: '{count} rows' }));
  for (const id of ['table-newer', 'table-older']) button(id).hidden = rows.length <= PAGE_ROWS;
  button('table-newer').disabled = page === 0;
  button('table-older').disabled = first + PAGE_ROWS >= rows.length;
}

/**
 * Show a run as a table: the columns of one chart, or all that it reported.
 * @param {Run|null} run
 * @param {Spec} [spec]
 */
export function openTable(run, spec) {
  if (!run) return;
  const rows = rowsOf(run).reverse();
  const columns = COLUMNS.filter(({ key, format, of }) => format && (!spec || spec.table.includes(key)) && (key === 'heldOut' || rows.some((row) => of(row) !== null)));
  open = { rows: spec ? rows.filter((row) => columns.some(({ key, of }) => key !== 'step' && of(row) !== null)) : rows, columns, page: 0 };
  setText(element('table-title'), spec ? t('{what} of run {number}', { what: t(spec.title), number: run.number }) : t('Steps of run {number}', { number: run.number }));
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
