// @ts-check
/** The runs of this visit: none is thrown away, any can be shown again and compared. */

import { locale, t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { button, byId, element, make, setText } from '../dom.js';
import { formatCount, formatLoss, formatRate } from '../format.js';
import { markOf } from './specs.js';
import { trackOf } from './track.js';

/** @import {Run, Setting} from '../../types.js' */

/** All runs of this visit that made a step, in order. */
export const allRuns = () => [...state.pastRuns, ...(state.run ? [state.run] : [])].filter((run) => run.steps.length > 0);

/** The run whose charts are shown: the current one, unless another was chosen. @returns {Run|null} */
export const shownRun = () => state.pastRuns.find(({ number }) => number === state.shownRun) ?? state.run;

/** Runs whose curves are drawn behind. */
export const comparedRuns = () => allRuns().filter(({ number }) => !state.hiddenRuns.includes(number));

/**
 * Settings in which runs differ, of each run.
 * @param {Run[]} runs
 * @returns {Record<string, Setting>[]}
 */
export function differences(runs) {
  const names = [...new Set(runs.flatMap(({ plan }) => Object.keys(plan?.settings ?? {})))];
  const differing = names.filter((name) => new Set(runs.map(({ plan }) => JSON.stringify(plan?.settings[name] ?? null))).size > 1);
  return runs.map(({ plan }) => Object.fromEntries(differing.map((name) => [name, plan?.settings[name] ?? null])));
}

/** @param {string} name */
const labelOf = (name) => {
  const label = state.fields.find((field) => field.name === name)?.label;
  return label ? t(label) : name.replaceAll('_', ' ');
};

/** @param {Record<string, Setting>} settings */
export const inWords = (settings) => Object.entries(settings).map(([name, value]) => `${labelOf(name)} ${value === null ? t('not set') : Array.isArray(value) ? value.join(' ') : value}`).join(', ');

/** @typedef {{row: HTMLTableRowElement, show: HTMLInputElement, behind: HTMLInputElement, cells: HTMLElement[], all: HTMLElement}} RunRow */

/** @param {Run} run @returns {RunRow} */
function rowOf({ number }) {
  const show = make('input', { type: 'radio', name: 'shown-run', value: String(number), 'aria-label': t('Show run {number}', { number }) });
  show.addEventListener('change', () => update({ shownRun: number === state.run?.number ? null : number }));
  const behind = make('input', { type: 'checkbox', 'aria-label': t('Draw run {number} behind the shown one', { number }) });
  behind.addEventListener('change', () => update({
    hiddenRuns: behind.checked ? state.hiddenRuns.filter((other) => other !== number) : [...state.hiddenRuns, number],
  }));
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  line.setAttribute('viewBox', '0 0 34 8');
  line.setAttribute('aria-hidden', 'true');
  line.setAttribute('class', 'run-mark');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const mark = markOf(number);
  path.setAttribute('d', 'M1 4h32');
  path.setAttribute('stroke', `var(${mark.colour})`);
  path.setAttribute('stroke-dasharray', mark.dash.join(' '));
  line.append(path);
  const cells = Array.from({ length: 5 }, () => make('td'));
  const all = make('p');
  const head = make('th', { scope: 'row' }, make('details', {}, make('summary', { text: t('Run {number}', { number }) }), all));
  const row = make('tr', {}, make('td', {}, show), make('td', { class: 'run-behind' }, behind, line), head, ...cells);
  return { row, show, behind, cells, all };
}

/** @param {Run} run @param {Record<string, Setting>} differing */
function cellsOf(run, differing) {
  const { columns } = trackOf(run);
  const [first, last] = [columns.loss.find((value) => value > -Infinity), columns.smooth.findLast((value) => value > -Infinity)];
  const judged = run.evaluations.at(-1);
  return [
    inWords(differing) || t('same settings'),
    formatCount(run.steps.at(-1)?.step ?? 0),
    first === undefined || last === undefined ? '–' : `${formatLoss(first)} → ${formatLoss(last)}`,
    judged ? formatLoss(judged.loss) : '–',
    formatRate(tokensPerSecond(run)),
  ];
}

/** @param {Run} run @returns {number} over all of its steps */
export function tokensPerSecond({ steps }) {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const last = steps.at(-1);
  return last && seconds > 0 ? last.num_tokens / seconds : 0;
}

export function mountRuns() {
  /** @type {Map<number, RunRow>} */
  const rows = new Map();
  const body = byId('run-table', HTMLTableElement).tBodies[0];
  const render = () => {
    const runs = allRuns();
    element('runs').hidden = runs.length < 2;
    const shown = shownRun();
    const isEarlier = shown !== null && shown !== state.run;
    element('shown-run').hidden = !isEarlier;
    if (isEarlier) setText(element('shown-run-text'), t('The charts show run {number} of this visit.', { number: shown.number }));
    if (runs.length < 2) return;
    setText(element('runs-sum'), t('Runs of this visit: {count}', { count: runs.length }));
    const differing = differences(runs);
    runs.forEach((run, index) => {
      let row = rows.get(run.number);
      if (!row) {
        rows.set(run.number, row = rowOf(run));
        body.append(row.row);
      }
      row.show.checked = run === shown;
      row.behind.checked = !state.hiddenRuns.includes(run.number);
      row.behind.disabled = run === shown;
      cellsOf(run, differing[index]).forEach((text, cell) => setText(row.cells[cell], text));
      const time = new Date(run.startedAt).toLocaleTimeString(locale());
      setText(row.all, `${t('{model}, begun {time}.', { model: run.model, time })} ${inWords(run.plan?.settings ?? {})}`);
    });
    for (const [number, { row }] of rows) {
      if (runs.some((run) => run.number === number)) continue;
      row.remove();
      rows.delete(number);
    }
  };
  watch(['run', 'pastRuns', 'shownRun', 'hiddenRuns', 'fields'], render);
  button('shown-run-back').addEventListener('click', () => update({ shownRun: null }));
}
