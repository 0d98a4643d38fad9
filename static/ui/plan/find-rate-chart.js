// @ts-check
/** The curve of a search for a learning rate: a chart, and the same as a table. */

import { t } from '../../messages/messages.js';
import { colour } from '../console/plot.js';
import { make, setText } from '../dom.js';
import { formatFixed, formatLoss, formatPlain, formatSmall } from '../format.js';

/** @import {RatePoint, RateSearch} from '../../types.js' */

/** What lies further above zero than the curve falls below is cut off: its fall is what counts. */
const SHOWN_RISE = 1.2;
const LEAST_HEIGHT = 0.02;

/** A rate as it can be typed. @param {number} rate */
export const rateText = (rate) => formatSmall(rate, 2);

/** A change of the loss, with its sign. @param {number} change */
function changeText(change) {
  const size = Math.abs(change);
  return (size < 5e-5 ? '' : change < 0 ? '−' : '+') + formatFixed(size, size < 0.1 ? 4 : 3);
}

/**
 * Rates, change of each step, smoothed change.
 * @param {RateSearch} search
 * @returns {(number|null)[][]}
 */
export function curves({ points, result }) {
  return [points.map((point) => point.learning_rate), points.map((point) => point.change), points.map((_, index) => result?.smoothed[index] ?? null)];
}

/**
 * From a little below the lowest point to as far above zero, if the curve rises so far.
 * @param {RatePoint[]} points
 * @returns {[number, number]}
 */
export function heights(points) {
  const changes = points.map((point) => point.change);
  const least = Math.min(-LEAST_HEIGHT, ...changes);
  return [least * 1.1, Math.min(Math.max(LEAST_HEIGHT, ...changes) * 1.1, -least * SHOWN_RISE)];
}

/** @param {RateSearch|null} search */
export function describeCurve(search) {
  const [first, last] = [search?.points[0], search?.points.at(-1)];
  if (!search || !first || !last) return t('Change of the loss over the learning rate: nothing measured yet');
  const where = { from: rateText(first.learning_rate), to: rateText(last.learning_rate) };
  const { result } = search;
  if (!result?.suggestion) return t('Change of the loss over learning rates from {from} to {to}', where);
  return t('Change of the loss over learning rates from {from} to {to}: it falls by {fall} and falls steepest at {rate}', {
    ...where, fall: formatLoss(result.fall), rate: rateText(result.suggestion),
  });
}

/** @param {HTMLTableElement} table @param {RateSearch} search */
export function fillRateTable(table, { points, result }) {
  const rows = points.map((point, index) => {
    const smoothed = result?.smoothed[index];
    const cells = [rateText(point.learning_rate), formatLoss(point.loss_before), formatLoss(point.loss), changeText(point.change), smoothed === undefined ? '' : changeText(smoothed)];
    return make('tr', {}, ...cells.map((text) => make('td', { text })));
  });
  table.tBodies[0]?.replaceChildren(...rows);
}

/** @param {number} low @param {number} high @returns {number[]} the powers of ten between */
export function decades(low, high) {
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-6), Math.floor(Math.log10(high) + 1e-6)];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => 10 ** (first + index));
}

/** @param {any} _u @param {number[]} ticks */
const unfiltered = (_u, ticks) => ticks;

/** @param {any} u a line at zero, and one at the suggestion @param {() => number|null} suggestion */
function drawMarks(u, suggestion) {
  const { ctx, bbox } = u;
  /** @param {string} name @param {number[]} dash @param {number[]} line from x, y to x, y */
  const line = (name, dash, [x0, y0, x1, y1]) => {
    ctx.strokeStyle = colour(name);
    ctx.lineWidth = 1.25 * devicePixelRatio;
    ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
  };
  ctx.save();
  const zero = u.valToPos(0, 'y', true);
  line('--line-strong', [], [bbox.left, zero, bbox.left + bbox.width, zero]);
  const rate = suggestion();
  if (rate !== null) {
    const x = u.valToPos(rate, 'x', true);
    line('--ink', [4, 4], [x, bbox.top, x, bbox.top + bbox.height]);
  }
  ctx.restore();
}

/** The chart; what it draws is asked for anew each time. */
export class RateChart {
  /** @param {HTMLElement} place @param {() => RateSearch|null} search */
  constructor(place, search) {
    this.place = place;
    this.search = search;
    /** @type {any} */
    this.plot = null;
    this.readout = make('p', { class: 'readout', hidden: '' });
    place.append(this.readout);
    new ResizeObserver(() => {
      if (place.clientWidth) this.plot?.setSize({ width: place.clientWidth, height: place.clientHeight });
    }).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      this.clear();
      this.draw();
    });
  }

  /** @param {any} UPlot */
  use(UPlot) {
    this.UPlot = UPlot;
    this.draw();
  }

  clear() {
    this.plot?.destroy();
    this.plot = null;
  }

  draw() {
    const search = this.search();
    this.place.setAttribute('aria-label', describeCurve(search));
    this.place.dataset['points'] = String(search?.points.length ?? 0);
    if (!search?.points.length) this.clear();
    else if (this.plot) this.plot.setData(curves(search));
    else if (this.UPlot) this.plot = new this.UPlot(this.options(), curves(search), this.place);
  }

  options() {
    const font = `12px ${colour('--font')}`;
    const line = { stroke: colour('--line'), width: 1 };
    const axis = { stroke: colour('--muted'), font, grid: line, ticks: { ...line, size: 4 } };
    const points = () => this.search()?.points ?? [];
    return {
      width: Math.max(120, this.place.clientWidth), height: Math.max(120, this.place.clientHeight), padding: [10, 14, 0, 0], legend: { show: false },
      scales: {
        x: { distr: 3, time: false, range: (/** @type {any} */ _u, /** @type {number} */ low, /** @type {number} */ high) => [low, Math.max(high, low * 10)] },
        y: { range: () => heights(points()) },
      },
      cursor: { y: false, drag: { x: false, y: false } },
      axes: [
        { ...axis, size: 28, splits: (/** @type {any} */ u) => decades(u.scales.x.min, u.scales.x.max), filter: unfiltered, values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map(rateText) },
        { ...axis, size: 50, values: (/** @type {any} */ _u, /** @type {number[]} */ ticks) => ticks.map((tick) => formatPlain(+tick.toFixed(3))) },
      ],
      series: [
        {},
        { stroke: colour('--curve-raw'), width: 1.25, points: { show: true, size: 5, fill: colour('--curve-raw') } },
        { stroke: colour('--accent'), width: 2.5, points: { show: false } },
      ],
      hooks: {
        drawAxes: [(/** @type {any} */ u) => drawMarks(u, () => this.search()?.result?.suggestion ?? null)],
        setCursor: [(/** @type {any} */ u) => {
          const point = points()[u.cursor.idx ?? -1];
          this.readout.hidden = !point;
          if (point) setText(this.readout, t('At {rate}: {change} nats', { rate: rateText(point.learning_rate), change: changeText(point.change) }));
        }],
      },
    };
  }
}
