// @ts-check
/** The loss chart: every step faint, a smoothed line above it; and the same as a table. */

import { state, watch } from '../store.js';
import { button, byId, element, make, setText } from './dom.js';
import { formatCount, formatLoss, formatRate, formatSmall } from './format.js';

/** @import {Step} from '../types.js' */

const TABLE_ROWS = 500;

/**
 * Exponential moving average without the pull of its start; steps that were skipped are gaps.
 * @param {Step[]} steps
 * @param {number} numSteps of the whole run: the longer, the smoother
 */
export function series(steps, numSteps) {
  const keep = Math.min(0.98, Math.max(0.6, 1 - 10 / Math.max(1, numSteps)));
  const x = [], raw = [], smooth = [];
  let sum = 0, weight = 0;
  for (const { step, loss, skipped } of steps) {
    const known = !skipped && Number.isFinite(loss);
    if (known) {
      sum = keep * sum + (1 - keep) * loss;
      weight = keep * weight + (1 - keep);
    }
    x.push(step);
    raw.push(known ? loss : null);
    smooth.push(known ? sum / weight : null);
  }
  return [x, raw, smooth];
}

/** @param {string} name */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {HTMLElement} place */
function options(place) {
  const font = `12px ${colour('--font')}`;
  const axis = { stroke: colour('--muted'), font, grid: { stroke: colour('--line'), width: 1 }, ticks: { stroke: colour('--line'), width: 1, size: 4 } };
  return {
    width: Math.max(120, place.clientWidth), height: Math.max(120, place.clientHeight),
    padding: [10, 12, 0, 0], legend: { show: false }, scales: { x: { time: false } },
    cursor: { y: false, drag: { x: true, y: false } },
    axes: [
      { ...axis, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      { ...axis, size: 46, values: (/** @type {unknown} */ _u, /** @type {number[]} */ ticks) => ticks.map((tick) => String(+tick.toFixed(3))) },
    ],
    series: [
      {},
      { stroke: colour('--raw'), width: 1.25, points: { show: (/** @type {any} */ u) => u.data[0].length < 40, size: 5, fill: colour('--raw') } },
      { stroke: colour('--accent'), width: 2.5, points: { show: (/** @type {any} */ u) => u.data[0].length < 2, size: 7, fill: colour('--accent') } },
    ],
    hooks: { setCursor: [showReadout] },
  };
}

/** @param {any} plot */
function showReadout(plot) {
  const index = plot.cursor.idx;
  const readout = plot.root.parentElement?.querySelector('.readout');
  if (!(readout instanceof HTMLElement)) return;
  const loss = index === null || index === undefined ? null : plot.data[1][index];
  readout.hidden = loss === null;
  if (loss !== null) setText(readout, `Step ${formatCount(plot.data[0][index])}: ${formatLoss(loss)}, smoothed ${formatLoss(plot.data[2][index])}`);
}

function fillTable() {
  const steps = state.run?.steps ?? [];
  const rows = steps.slice(-TABLE_ROWS).reverse().map((step) => {
    const cells = [formatCount(step.step), step.skipped ? 'skipped' : formatLoss(step.loss), formatSmall(step.grad_norm),
      formatSmall(step.learning_rate), formatCount(step.num_tokens), formatRate(step.tokens_per_second)];
    return make('tr', {}, ...cells.map((text) => make('td', { text })));
  });
  byId('step-table', HTMLTableElement).tBodies[0]?.replaceChildren(...rows);
}

export async function mountChart() {
  const place = element('loss-chart');
  button('table-open').addEventListener('click', () => {
    fillTable();
    byId('table-dialog', HTMLDialogElement).showModal();
  });

  /** @type {any} */
  let plot = null;
  /** @type {any} */
  let UPlot = null;
  const draw = () => {
    const steps = state.run?.steps ?? [];
    element('chart-empty').hidden = steps.length > 0;
    button('table-open').disabled = steps.length === 0;
    place.dataset['points'] = String(steps.length);
    const last = steps.at(-1);
    place.setAttribute('aria-label', last && steps[0]
      ? `Loss over ${steps.length} steps: from ${formatLoss(steps[0].loss)} to ${formatLoss(last.loss)}` : 'Loss over the steps of the run: no run yet');
    if (!UPlot) return;
    if (!steps.length) {
      plot?.destroy();
      plot = null;
    } else if (plot) plot.setData(series(steps, state.run?.numSteps ?? 0));
    else plot = new UPlot(options(place), series(steps, state.run?.numSteps ?? 0), place);
  };
  watch(['run'], draw);
  place.append(make('p', { class: 'readout', hidden: '' }));
  new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: place.clientHeight })).observe(place);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    plot?.destroy();
    plot = null;
    draw();
  });
  // Fetched at run time from what the build puts beside the page.
  const module = new URL('../vendor/uplot/uplot.mjs', import.meta.url).href;
  UPlot = (await import(module)).default;
  draw();
}
