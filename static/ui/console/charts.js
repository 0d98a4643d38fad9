// @ts-check
/** The charts of the run that is shown: loss large, the rest small, one pointer over all. */

import { onLanguage, plural, t } from '../../messages/messages.js';
import { watch } from '../../store.js';
import { button, element, make, setText } from '../dom.js';
import { announce } from '../messages.js';
import { Plot } from './plot.js';
import { comparedRun, shownRun } from './runs.js';
import { LOSS, SMALL } from './specs.js';
import { openTable } from './table.js';
import { trackOf } from './track.js';
import { readoutOf, viewOf } from './view.js';

/** @import {Run} from '../../types.js' */
/** @import {Spec} from './specs.js' */
/** @import {Track} from './track.js' */

/** @typedef {{spec: Spec, place: HTMLElement, figure: HTMLElement, value: HTMLElement|null, plot: Plot|null}} Chart */

/** @param {number} value */
const isKnown = (value) => !Number.isNaN(value);

/** @param {Spec} spec @param {Track} track */
function describe({ title, column, format }, track) {
  const values = track.columns[column];
  const [first, last] = [values.find(isKnown), values.findLast(isKnown)];
  if (first === undefined || last === undefined) return t('{what} over the steps of the run: no run yet', { what: t(title) });
  return plural(track.length, {
    one: '{what} over {count} step: from {first} to {last}', other: '{what} over {count} steps: from {first} to {last}',
  }, { what: t(title), first: format(first), last: format(last) });
}

/** @param {Spec} spec @returns {Chart} */
function smallChart(spec) {
  const value = make('span', { class: 'chart-value' });
  const table = make('button', { type: 'button', class: 'link', 'aria-label': t('{what} as a table', { what: t(spec.title) }), text: t('Table'), 'data-testid': `table-${spec.id}` });
  table.addEventListener('click', () => openTable(shownRun(), comparedRun(), spec));
  const place = make('div', { class: 'chart', role: 'img', 'data-testid': `chart-${spec.id}` });
  const figure = make('figure', { class: 'small-chart', hidden: '' }, make('figcaption', {}, make('span', { class: 'chart-title', text: t(spec.title) }), value, table), place);
  element('small-charts').append(figure);
  return { spec, place, figure, value, plot: null };
}

/** Fetched at run time from what the build puts beside the page. @returns {Promise<any>} */
export async function fetchUPlot() {
  return (await import(new URL('../../vendor/uplot/uplot.mjs', import.meta.url).href)).default;
}

export async function mountCharts() {
  const place = element('loss-chart');
  const readout = make('p', { class: 'readout', hidden: '' });
  place.append(readout);
  /** @type {Chart[]} */
  const charts = [{ spec: LOSS, place, figure: element('chart-box'), value: null, plot: null }, ...SMALL.map(smallChart)];
  /** @type {any} */
  let UPlot = null;
  /** @type {[number, number]|null} */
  let zoom = null;
  /** @type {number|null} */
  let hovered = null;
  /** @type {Run['steps']|null} */
  let drawn = null;

  const clear = () => charts.forEach((chart) => {
    chart.plot?.destroy();
    chart.plot = null;
  });
  /** @param {number|null} x */
  const hover = (x) => {
    hovered = x;
    const run = shownRun();
    const track = run ? trackOf(run) : null;
    const index = track && x !== null ? track.nearest(x) : -1;
    readout.hidden = index < 0;
    if (run && x !== null && index >= 0) setText(readout, readoutOf(run, x, comparedRun()));
    for (const { spec, value } of charts) {
      const shown = track?.columns[spec.column][index < 0 ? track.length - 1 : index];
      if (value) setText(value, shown === undefined || Number.isNaN(shown) ? '–' : spec.format(shown));
    }
  };
  /** @param {[number, number]|null} range */
  const zoomTo = (range) => {
    zoom = range;
    button('zoom-out').hidden = !range;
    draw();
  };
  const draw = () => {
    const run = shownRun();
    if (run?.steps !== drawn) {
      drawn = run?.steps ?? null;
      zoom = null;
      button('zoom-out').hidden = true;
    }
    const view = viewOf(run, zoom);
    const count = view.track.length;
    const isEmpty = count === 0 && view.others.length === 0;
    element('chart-empty').hidden = !isEmpty;
    element('small-charts').hidden = isEmpty;
    element('key-held-out').hidden = view.evaluations.length === 0;
    for (const id of ['table-open', 'export-csv', 'export-png']) button(id).disabled = count === 0;
    place.dataset['points'] = String(count);
    place.tabIndex = count ? 0 : -1;
    for (const chart of charts) {
      const { spec, figure } = chart;
      chart.place.setAttribute('aria-label', describe(spec, view.track));
      if (spec !== LOSS) figure.hidden = ![view.track, ...view.others.map(({ track }) => track)].some((track) => track.columns[spec.column].some(isKnown));
      if (!UPlot || isEmpty || figure.hidden) {
        chart.plot?.destroy();
        chart.plot = null;
      } else if (chart.plot) chart.plot.draw(view);
      else chart.plot = new Plot(UPlot, chart.place, spec, view, { ...sizeOf(chart.place), onHover: hover, onZoom: zoomTo });
    }
    place.dataset['drawn'] = String(charts[0].plot?.size ?? 0);
    hover(hovered);
  };
  // What nobody sees is drawn when it is looked at: a hidden tab leaves its time to the run.
  const drawIfSeen = () => document.hidden || draw();
  watch(['run', 'pastRuns', 'shownRun', 'hiddenRuns', 'comparedRun'], drawIfSeen);
  document.addEventListener('visibilitychange', drawIfSeen);
  button('zoom-out').addEventListener('click', () => zoomTo(null));
  button('table-open').addEventListener('click', () => openTable(shownRun(), comparedRun()));
  place.addEventListener('dblclick', () => zoomTo(null));
  place.addEventListener('blur', () => charts[0].plot?.point(null));
  place.addEventListener('keydown', (event) => {
    const run = shownRun();
    const moves = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity });
    const move = moves[event.key];
    if (move === undefined || !run?.steps.length) return;
    event.preventDefault();
    const last = run.steps.length - 1;
    const from = hovered === null ? last : trackOf(run).nearest(hovered);
    const { step } = run.steps[Math.min(last, Math.max(0, from + move))];
    charts[0].plot?.point(step);
    hover(step);
    announce(readoutOf(run, step, comparedRun()));
  });
  const observer = new ResizeObserver(() => charts.forEach(({ plot, place: box }) => {
    const { width, height } = sizeOf(box);
    plot?.resize(width, height);
  }));
  charts.forEach((chart) => observer.observe(chart.place));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    clear();
    draw();
  });
  onLanguage(() => {
    clear(); // its numbers and names stand in the drawing
    draw();
  });
  UPlot = await fetchUPlot();
  draw();
}

/** @param {HTMLElement} place */
const sizeOf = (place) => ({ width: Math.max(120, place.clientWidth), height: Math.max(72, place.clientHeight) });
