// @ts-check
/** The loss chart: every step faint, a smoothed line above it; and the same as a table. */

import { state, watch } from '../store.js';
import { button, byId, element, make, setText } from './dom.js';
import { formatCount, formatLoss, formatRate, formatSmall } from './format.js';

/** @import {EvalPoint, Step} from '../types.js' */

const TABLE_ROWS = 500;

/**
 * Exponential moving average without the pull of its start; steps that were skipped are gaps.
 * @param {Step[]} steps
 * @param {number} numSteps of the whole run: the longer, the smoother
 * @param {EvalPoint[]} [evaluations] held-out loss, which may also be of step 0
 */
export function series(steps, numSteps, evaluations = []) {
  const keep = Math.min(0.98, Math.max(0.6, 1 - 10 / Math.max(1, numSteps)));
  const heldOut = new Map(evaluations.map(({ step, loss }) => [step, Number.isFinite(loss) ? loss : null]));
  const x = [], raw = [], smooth = [], judged = [];
  let sum = 0, weight = 0;
  if (heldOut.has(0)) {
    x.push(0);
    raw.push(null);
    smooth.push(null);
    judged.push(heldOut.get(0) ?? null);
  }
  for (const { step, loss, skipped } of steps) {
    const known = !skipped && Number.isFinite(loss);
    if (known) {
      sum = keep * sum + (1 - keep) * loss;
      weight = keep * weight + (1 - keep);
    }
    x.push(step);
    raw.push(known ? loss : null);
    smooth.push(known ? sum / weight : null);
    judged.push(heldOut.get(step) ?? null);
  }
  return [x, raw, smooth, judged];
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
      { stroke: colour('--ink'), width: 1.25, dash: [4, 4], spanGaps: true, points: { show: true, size: 7, fill: colour('--ink') } },
    ],
    hooks: { setCursor: [showReadout] },
  };
}

/** @param {any} plot */
function showReadout(plot) {
  const index = plot.cursor.idx;
  const readout = plot.root.parentElement?.querySelector('.readout');
  if (!(readout instanceof HTMLElement)) return;
  const known = index !== null && index !== undefined;
  const [loss, heldOut] = known ? [plot.data[1][index], plot.data[3][index]] : [null, null];
  readout.hidden = loss === null && heldOut === null;
  const parts = loss === null ? [] : [`${formatLoss(loss)}, smoothed ${formatLoss(plot.data[2][index])}`];
  if (heldOut !== null) parts.push(`held-out ${formatLoss(heldOut)}`);
  if (known && parts.length) setText(readout, `Step ${formatCount(plot.data[0][index])}: ${parts.join(', ')}`);
}

function fillTable() {
  const steps = state.run?.steps ?? [];
  const heldOut = new Map((state.run?.evaluations ?? []).map(({ step, loss }) => [step, formatLoss(loss)]));
  const rows = steps.slice(-TABLE_ROWS).reverse().map((step) => {
    const cells = [formatCount(step.step), step.skipped ? 'skipped' : formatLoss(step.loss), formatSmall(step.grad_norm),
      formatSmall(step.learning_rate), formatCount(step.num_tokens), formatRate(step.tokens_per_second), heldOut.get(step.step) ?? ''];
    return make('tr', {}, ...cells.map((text) => make('td', { text })));
  });
  const before = heldOut.get(0);
  if (before) rows.push(make('tr', {}, ...['0', '', '', '', '', '', before].map((text) => make('td', { text }))));
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
    const evaluations = state.run?.evaluations ?? [];
    element('key-held-out').hidden = evaluations.length === 0;
    if (!UPlot) return;
    if (!steps.length) {
      plot?.destroy();
      plot = null;
    } else if (plot) plot.setData(series(steps, state.run?.numSteps ?? 0, evaluations));
    else plot = new UPlot(options(place), series(steps, state.run?.numSteps ?? 0, evaluations), place);
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
