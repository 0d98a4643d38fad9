// @ts-check
/** Which charts there are, and how what they show is written. */

import { mark } from '../../messages/mark.js';
import { formatCount, formatLoss, formatPlain, formatRate, formatSmall } from '../format.js';

/** @import {Column} from './track.js' */

/**
 * @typedef {object} Spec
 * @property {string} id
 * @property {string} title a message
 * @property {string} unit for the axis of a picture
 * @property {Column} column that is drawn of this run
 * @property {Column} compared that is drawn of other runs
 * @property {string[]} table columns of the chart's table
 * @property {boolean} fromZero
 * @property {boolean} stepped
 * @property {(value: number) => string} format
 */

/** @type {Spec} */
export const LOSS = {
  id: 'loss', title: mark('Loss'), unit: mark('nats per token'), column: 'loss', compared: 'smooth',
  table: ['step', 'loss', 'smooth', 'heldOut'], fromZero: false, stepped: false, format: formatLoss,
};

/** @type {Spec[]} */
export const SMALL = [
  { id: 'learning-rate', title: mark('Learning rate'), unit: '', column: 'learningRate', compared: 'learningRate', table: ['step', 'learningRate'], fromZero: true, stepped: false, format: formatSmall },
  { id: 'gradient-norm', title: mark('Gradient norm'), unit: 'L2', column: 'gradNorm', compared: 'gradNorm', table: ['step', 'gradNorm'], fromZero: true, stepped: false, format: formatSmall },
  { id: 'tokens-per-second', title: mark('Tokens / s'), unit: '', column: 'rate', compared: 'rate', table: ['step', 'tokens', 'epochs', 'rate', 'busy'], fromZero: true, stepped: false, format: formatRate },
  { id: 'ranks-in-use', title: mark('Ranks in use'), unit: '', column: 'ranks', compared: 'ranks', table: ['step', 'ranks'], fromZero: true, stepped: true, format: formatCount },
];

/**
 * The numbers of an axis, short, all of them written in one way.
 * @param {number[]} values
 */
export function formatTicks(values) {
  const areSmall = Math.max(...values.map(Math.abs)) < 0.01;
  return values.map((value) => (areSmall && value !== 0 ? formatSmall(value, 2) : formatTick(value)));
}

/** @param {number} value */
function formatTick(value) {
  const size = Math.abs(value);
  if (size >= 1e6) return `${formatPlain(+(value / 1e6).toPrecision(3))}M`;
  return size >= 1e4 ? `${formatPlain(+(value / 1e3).toPrecision(3))}k` : formatPlain(+value.toPrecision(4));
}

/** Colours and dashes of earlier runs, in turn; either alone tells them apart. */
export const MARKS = [
  { colour: '--run-1', dash: [7, 3] },
  { colour: '--run-2', dash: [2, 3] },
  { colour: '--run-3', dash: [10, 3, 2, 3] },
  { colour: '--run-4', dash: [5, 5] },
  { colour: '--run-5', dash: [12, 4] },
];
/** @param {number} number of a run, from 1 */
export const markOf = (number) => MARKS[(number - 1) % MARKS.length];
