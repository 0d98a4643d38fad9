// @ts-check
/** One chart: a run's curve over the steps, the curves of other runs behind it. */

import { t } from '../../messages/messages.js';
import { pick, within } from './decimate.js';
import { formatTicks } from './specs.js';

/** @import {EvalPoint, Run} from '../../types.js' */
/** @import {Spec} from './specs.js' */
/** @import {Track} from './track.js' */

/** Stretches of which the least and the greatest value are drawn: finer than a screen shows. */
const STRETCHES = 800;
const FEW_POINTS = 40;
/** Of a held-out point of another run. */
const POINT_SIZE = 6;

/** @typedef {{run: Run, track: Track, evaluations: EvalPoint[], colour: string, dash: number[]}} Other evaluations: those that are drawn */
/** @typedef {{track: Track, evaluations: EvalPoint[], others: Other[], range: [number, number]}} View */
/**
 * @typedef {object} Options
 * @property {number} width
 * @property {number} height
 * @property {boolean} [isPicture] with titles on its axes, and no pointer
 * @property {(x: number|null) => void} [onHover] told the place under the pointer
 * @property {(range: [number, number]) => void} [onZoom] told what was dragged over
 */

/** @param {string} name */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** @param {number} value */
const orNull = (value) => (Number.isNaN(value) ? null : value);

/**
 * The curves to draw, over one x: of the loss each step, smoothed and held-out, else one.
 * @param {Spec} spec
 * @param {View} view
 * @returns {(number|null)[][]}
 */
export function aligned({ column, id }, { track, evaluations, range }) {
  const values = track.columns[column];
  const indices = pick(values, ...within(track.x, range), STRETCHES);
  // Axes need a width, also where only other runs have something to show.
  if (!indices.length && !evaluations.length) return [range, ...(id === 'loss' ? [1, 2, 3] : [1]).map(() => [null, null])];
  if (id !== 'loss') return [indices.map((index) => track.x[index]), indices.map((index) => orNull(values[index]))];
  const judged = new Map(evaluations.map(({ step, loss }) => [step, Number.isFinite(loss) ? loss : null]));
  const at = new Map(indices.map((index) => [track.x[index], index]));
  for (const step of judged.keys()) {
    const index = track.nearest(step);
    if (!at.has(step)) at.set(step, index >= 0 && track.x[index] === step ? index : -1);
  }
  const x = [...at.keys()].filter((step) => step >= range[0] && step <= range[1]).sort((a, b) => a - b);
  /** @param {number[]} list @param {number} step */
  const of = (list, step) => orNull(list[at.get(step) ?? -1] ?? NaN);
  return [x, x.map((step) => of(values, step)), x.map((step) => of(track.columns.smooth, step)), x.map((step) => judged.get(step) ?? null)];
}

export class Plot {
  /**
   * @param {any} UPlot
   * @param {HTMLElement} place
   * @param {Spec} spec
   * @param {View} view
   * @param {Options} options
   */
  constructor(UPlot, place, spec, view, options) {
    this.UPlot = UPlot;
    this.spec = spec;
    this.view = view;
    this.plot = new UPlot(this.setup(options), aligned(spec, view), place);
    // What stands above may have grown since: the chart is not where it was.
    this.plot.over.addEventListener('pointerenter', () => this.plot.syncRect(true));
  }

  /** Places on the x axis that are drawn. @returns {number} */
  get size() {
    return this.plot.data[0].length;
  }

  /** @param {View} view */
  draw(view) {
    this.view = view;
    this.plot.setData(aligned(this.spec, view));
  }

  /** @param {number} width @param {number} height */
  resize(width, height) {
    if (this.plot.width !== width || this.plot.height !== height) this.plot.setSize({ width, height });
  }

  /** @param {number|null} step puts the cursor there, on all charts */
  point(step) {
    const left = step === null ? -10 : this.plot.valToPos(step, 'x');
    this.plot.setCursor({ left, top: step === null ? -10 : this.plot.over.clientHeight / 2 }, true, true);
  }

  destroy() {
    this.plot.destroy();
  }

  /** @returns {[number, number]} of all that is drawn, with some room */
  extent() {
    let least = Infinity, greatest = -Infinity;
    /** @param {number|null} value */
    const see = (value) => {
      if (value === null || Number.isNaN(value)) return;
      least = Math.min(least, value);
      greatest = Math.max(greatest, value);
    };
    aligned(this.spec, this.view).slice(1).forEach((values) => values.forEach(see));
    for (const other of this.view.others) {
      const values = other.track.columns[this.spec.compared];
      for (const index of pick(values, ...within(other.track.x, this.view.range), STRETCHES)) see(values[index]);
      for (const { loss } of this.judged(other)) see(loss);
    }
    if (least > greatest) return [0, 1];
    const [low, high] = this.UPlot.rangeNum(this.spec.fromZero ? Math.min(0, least) : least, greatest, 0.1, true);
    return [this.spec.fromZero && least >= 0 ? 0 : low, high];
  }

  /** @param {Other} other @returns {EvalPoint[]} its held-out points that lie on this chart */
  judged({ evaluations }) {
    const [low, high] = this.view.range;
    return this.spec.id === 'loss' ? evaluations.filter(({ step, loss }) => Number.isFinite(loss) && step >= low && step <= high) : [];
  }

  /** @param {any} u the curves of other runs, on its canvas */
  drawOthers(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    for (const other of this.view.others) {
      const { track, colour: name, dash } = other;
      const values = track.columns[this.spec.compared];
      ctx.strokeStyle = colour(name);
      ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
      ctx.beginPath();
      let isDown = false;
      for (const index of pick(values, ...within(track.x, this.view.range), STRETCHES / 2)) {
        const isGap = Number.isNaN(values[index]);
        if (!isGap) ctx[isDown ? 'lineTo' : 'moveTo'](u.valToPos(track.x[index], 'x', true), u.valToPos(values[index], 'y', true));
        isDown = !isGap;
      }
      ctx.stroke();
      ctx.fillStyle = ctx.strokeStyle;
      const size = POINT_SIZE * devicePixelRatio;
      for (const { step, loss } of this.judged(other)) ctx.fillRect(u.valToPos(step, 'x', true) - size / 2, u.valToPos(loss, 'y', true) - size / 2, size, size);
    }
    ctx.restore();
  }

  /** @param {Options} options */
  setup({ width, height, isPicture = false, onHover, onZoom }) {
    const { spec } = this;
    const isLoss = spec.id === 'loss';
    const font = `${isLoss ? 12 : 11}px ${colour('--font')}`;
    const line = { stroke: colour('--line'), width: 1 };
    const axis = { stroke: colour('--muted'), font, grid: line, ticks: { ...line, size: 4 }, labelFont: font, labelSize: 16 };
    const few = (/** @type {any} */ u) => u.data[0].length < FEW_POINTS;
    const curve = { width: 1.25, points: { show: few, size: 5 } };
    return {
      width, height, padding: [8, 12, isPicture ? 6 : 0, 0], legend: { show: false },
      scales: { x: { time: false, range: () => this.view.range }, y: { range: () => this.extent() } },
      cursor: {
        show: !isPicture, y: false, sync: { key: 'console', scales: ['x', null], filters: { pub: isMove } },
        drag: { x: true, y: false, setScale: false }, bind: { dblclick: () => null },
      },
      axes: [
        { ...axis, size: 28, space: isLoss ? 60 : 45, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5], values: ticks, ...(isPicture && { label: t('Step') }) },
        { ...axis, size: isLoss ? 46 : 42, space: isLoss ? 36 : 26, values: ticks, ...(isPicture && { label: [t(spec.title), spec.unit && `(${t(spec.unit)})`].join(' ') }) },
      ],
      series: isLoss ? [
        {},
        { ...curve, stroke: colour('--curve-raw') },
        { ...curve, width: 2.5, stroke: colour('--accent') },
        { width: 1.25, stroke: colour('--ink'), dash: [4, 4], spanGaps: true, points: { show: true, size: 7, fill: colour('--ink') } },
      ] : [{}, { ...curve, width: 1.5, stroke: colour('--accent'), ...(spec.stepped && { paths: this.UPlot.paths.stepped({ align: 1 }) }) }],
      hooks: {
        drawAxes: [(/** @type {any} */ u) => this.drawOthers(u)],
        setCursor: [(/** @type {any} */ u) => onHover?.(u.cursor.left >= 0 ? u.posToVal(u.cursor.left, 'x') : null)],
        setSelect: [(/** @type {any} */ u) => {
          if (u.select.width < 8) return;
          const range = /** @type {[number, number]} */ ([u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x')]);
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          onZoom?.(range);
        }],
      },
    };
  }
}

/** Charts share where the pointer is, not what is dragged over. @param {string} type */
const isMove = (type) => type !== 'mousedown' && type !== 'mouseup';

/** @param {unknown} _u @param {number[]} values */
const ticks = (_u, values) => formatTicks(values);
