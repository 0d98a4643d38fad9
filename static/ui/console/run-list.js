// @ts-check
/** The list of runs: which is shown, which are drawn behind, in what they differ, what they came to. */

import { MOST_BYTES, MOST_RUNS } from '../../kept/run-store.js';
import { currentLanguage, onLanguage, plural, t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { button, byId, element, make, refill, setText } from '../dom.js';
import { formatBytes, formatCount, formatLoss, formatRate } from '../format.js';
import { settingsInWords } from '../plan/setting-words.js';
import { allBytes, deleteRuns, keptBytes } from './history.js';
import { markLine } from './mark-line.js';
import { resultOf } from './result.js';
import { deleteButton, runTools } from './run-tools.js';
import { allRuns, differencesInWords, endOf, lostOf, shownRun, titleOf, tokensPerSecond, whenOf } from './runs.js';

/** @import {DamagedRecord, Run} from '../../types.js' */

/** So many are listed at first. */
const FEW_RUNS = 10;

/**
 * @typedef {{row: HTMLTableRowElement, more: HTMLTableRowElement, show: HTMLInputElement, behind: HTMLInputElement,
 *   title: HTMLElement, end: HTMLElement, about: HTMLElement, settings: HTMLElement, tools: ReturnType<typeof runTools>, cells: HTMLElement[]}} RunRow
 */

/** @param {number} number */
const runOf = (number) => allRuns().find((run) => run.number === number);

/** What a cell is called where the columns' heads do not stand above it. */
const HEADS = [() => t('Differs in'), () => t('Steps'), () => t('Loss'), () => t('Held-out'), () => t('Tokens / s')];

/** @param {Run} run @returns {RunRow} */
function rowOf({ number }) {
  const show = make('input', { type: 'radio', name: 'shown-run', value: String(number) });
  show.addEventListener('change', () => update({ shownRun: number === state.run?.number ? null : number }));
  const behind = make('input', { type: 'checkbox' });
  behind.addEventListener('change', () => update({
    hiddenRuns: behind.checked ? state.hiddenRuns.filter((other) => other !== number) : [...state.hiddenRuns, number],
  }));
  const cells = HEADS.map(() => make('td', { role: 'cell' }));
  const [title, end, about, settings] = [make('span', { translate: 'no' }), make('small', { class: 'run-end' }), make('p'), make('dl', { class: 'run-settings' })];
  const tools = runTools(() => runOf(number));
  const more = make('tr', { class: 'run-more', role: 'row', hidden: '', id: `run-more-${number}` }, make('td', { colspan: '8', role: 'cell' }, about, settings, tools.place));
  const open = make('button', { type: 'button', class: 'run-open', 'aria-expanded': 'false', 'aria-controls': more.id }, title);
  open.addEventListener('click', () => {
    more.hidden = !more.hidden;
    open.setAttribute('aria-expanded', String(!more.hidden));
  });
  const head = make('th', { scope: 'row', role: 'rowheader' }, open, end);
  const row = make('tr', { 'data-run': String(number), role: 'row' }, make('td', { role: 'cell' }, show), make('td', { class: 'run-behind', role: 'cell' }, behind, markLine(number)), head, ...cells);
  return { row, more, show, behind, title, end, about, settings, tools, cells };
}

/** @param {Run} run @param {string} differing */
function cellsOf(run, differing) {
  const { before, after, kind } = resultOf({ ...run, evaluations: [] }); // the column beside it is of held-out text
  const judged = run.evaluations.at(-1);
  const atEnd = judged?.step === run.steps.at(-1)?.step;
  return [
    differing || t('same settings'),
    formatCount(run.steps.at(-1)?.step ?? 0),
    kind === 'step' ? formatLoss(after) : `${formatLoss(before)} → ${formatLoss(after)}`,
    judged ? (atEnd ? formatLoss(judged.loss) : t('{loss} after step {step}', { loss: formatLoss(judged.loss), step: judged.step })) : '–',
    formatRate(tokensPerSecond(run)),
  ];
}

/** @param {RunRow} row @param {Run} run @param {string} differing */
function fill({ show, behind, title, end, about, settings, tools, cells }, run, differing) {
  const [words, shown] = [titleOf(run), shownRun()];
  show.checked = run === shown;
  show.setAttribute('aria-label', t('Show {run}', { run: words }));
  behind.checked = !state.hiddenRuns.includes(run.number);
  behind.disabled = run === shown;
  behind.setAttribute('aria-label', t('Draw {run} behind the shown one', { run: words }));
  setText(title, words);
  setText(end, `${whenOf(run)} · ${endOf(run)}`);
  setText(about, [
    t('{model}, begun {time}.', { model: run.model, time: whenOf(run) }), lostOf(run),
    keptBytes(run) ? t('Kept in this browser: {size}.', { size: formatBytes(keptBytes(run)) }) : t('Not kept for another visit.'),
  ].filter(Boolean).join(' '));
  const told = settingsInWords(run.plan?.settings ?? {});
  const key = JSON.stringify(told);
  if (settings.dataset['told'] !== key) settings.replaceChildren(...told.map(([label, value]) => make('div', {}, make('dt', { text: label }), make('dd', { text: value }))));
  settings.dataset['told'] = key;
  tools.render(run);
  cellsOf(run, differing).forEach((text, index) => {
    cells[index].dataset['head'] = HEADS[index]();
    setText(cells[index], text);
  });
}

/** @param {DamagedRecord} record */
function damagedItem(record) {
  const { kind, at, bytes } = record;
  const when = Number.isNaN(at) ? record.key : whenOf(/** @type {Run} */ ({ startedAt: at }));
  const text = kind === 'newer'
    ? t('A run of {when} ({size}) was kept by a newer version of this page, which can show it.', { when, size: formatBytes(bytes) })
    : t('The record of a run of {when} ({size}) is damaged and cannot be shown.', { when, size: formatBytes(bytes) });
  return make('li', {}, make('span', { text }), ' ', deleteButton(() => t('Delete'), text, () => deleteRuns([], [record])).press);
}

/** What is kept, and what went. @param {Run[]} runs */
function keptInWords(runs) {
  const bounds = { runs: MOST_RUNS, size: formatBytes(MOST_BYTES) };
  const gone = state.numRunsGone;
  return [
    t('Kept in this browser: {used}. The newest {runs} runs stay, {size} at most.', { ...bounds, used: formatBytes(allBytes()) }),
    gone ? plural(gone, { one: '{count} older run went to make room.', other: '{count} older runs went to make room.' }) : '',
    runs.some(({ samples }) => samples.length) ? t('What the model wrote is kept only where your text is remembered.') : '',
  ].filter(Boolean).join(' ');
}

export function mountRuns() {
  /** @type {Map<number, RunRow>} */
  const rows = new Map();
  const body = byId('run-table', HTMLTableElement).tBodies[0];
  const all = deleteButton(() => t('Delete all earlier runs'), '', () => deleteRuns(state.pastRuns, state.damagedRecords));
  element('runs-foot').append(all.press);
  /** @type {string[]} */
  let differing = [];
  let showsAll = false;
  const render = () => {
    const runs = allRuns();
    const shown = shownRun();
    const isEarlier = shown !== null && shown !== state.run && shown.steps.length > 0;
    element('shown-run').hidden = !isEarlier;
    button('shown-run-back').hidden = state.run === null;
    if (isEarlier) setText(element('shown-run-text'), t('The charts show {run} ({when}, {end}).', { run: titleOf(shown), when: whenOf(shown), end: endOf(shown) }));
    element('runs').hidden = !state.pastRuns.length && !state.damagedRecords.length;
    if (element('runs').hidden) return;
    setText(element('runs-sum'), t('Runs: {count}', { count: runs.length }));
    element('run-scroll').hidden = !runs.length;
    differing = differencesInWords(runs);
    for (const [number, { row, more }] of rows) {
      if (runs.some((run) => run.number === number)) continue;
      row.remove();
      more.remove();
      rows.delete(number);
    }
    // The newest first: after many visits the list is long.
    runs.toReversed().forEach((run, index) => {
      let row = rows.get(run.number);
      if (!row) rows.set(run.number, row = rowOf(run));
      if (body.rows[2 * index] !== row.row) body.insertBefore(row.row, body.rows[2 * index] ?? null);
      if (row.row.nextElementSibling !== row.more) row.row.after(row.more);
      row.row.hidden = !showsAll && index >= FEW_RUNS;
      if (row.row.hidden) row.more.hidden = true;
      fill(row, run, differing[runs.length - 1 - index]);
    });
    button('runs-all').hidden = showsAll || runs.length <= FEW_RUNS;
    setText(button('runs-all'), t('All {count} runs', { count: runs.length }));
    element('runs-damaged').hidden = !state.damagedRecords.length;
    refill(element('runs-damaged'), [currentLanguage(), state.damagedRecords], () => state.damagedRecords.map(damagedItem));
    all.name('');
    all.press.hidden = !state.pastRuns.length;
    all.press.disabled = isRunning();
    setText(element('runs-kept'), keptInWords(runs));
  };
  let rendered = '';
  watch(['pastRuns', 'resumable', 'damagedRecords', 'numRunsGone', 'shownRun', 'hiddenRuns', 'comparedRun', 'fields'], render);
  watch(['run'], () => {
    const { run } = state;
    const row = run && rows.get(run.number);
    const key = JSON.stringify([run?.number, run?.key, run?.name, run?.done, run?.failed, run?.plan?.settings]);
    if (!run || !row || key !== rendered) render();
    else fill(row, run, differing.at(-1) ?? ''); // the others stay as they are
    rendered = key;
  });
  onLanguage(render);
  button('runs-all').addEventListener('click', () => {
    showsAll = true;
    render();
    body.rows[2 * FEW_RUNS]?.querySelector('input')?.focus();
  });
  button('shown-run-back').addEventListener('click', () => update({ shownRun: null }));
}
