// @ts-check
/** How numbers are written on the page, in its language. */

import { locale, plural, said, t } from '../messages/messages.js';

/**
 * What is written anew when another language is chosen.
 * @template {any[]} A
 * @param {(...given: A) => string} write
 * @returns {(...given: A) => string}
 */
const number = (write) => {
  /** @param {A} given @returns {string} */
  const written = (...given) => said(write(...given), () => written(...given));
  return written;
};

/** @type {Map<string, Intl.NumberFormat>} */
const formats = new Map();

/** @param {number} value @param {number} [digits] after the point @param {boolean} [isGrouped] */
function digitsOf(value, digits = 0, isGrouped = false) {
  const key = `${locale()} ${digits} ${isGrouped}`;
  let format = formats.get(key);
  if (!format) {
    format = new Intl.NumberFormat(locale(), { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: isGrouped });
    formats.set(key, format);
  }
  return format.format(value);
}

export const formatCount = number((/** @type {number} */ value) => digitsOf(value, 0, true));

/** With so many digits after the point. */
export const formatFixed = number((/** @type {number} */ value, /** @type {number} */ digits) => digitsOf(value, digits, true));

/** As few digits as the number needs. */
export const formatPlain = number((/** @type {number} */ value) => new Intl.NumberFormat(locale(), { maximumFractionDigits: 6, useGrouping: false }).format(value));

/** A loss in nats. */
export const formatLoss = number((/** @type {number} */ value) => {
  if (!Number.isFinite(value)) return t('not finite');
  return digitsOf(value, value >= 100 ? 1 : value < 0.1 ? 4 : 3, true);
});

export const formatRate = number((/** @type {number} */ value) => (value >= 100 ? digitsOf(value, 0, true) : digitsOf(value, value < 10 ? 2 : 1)));

export const formatPerplexity = number((/** @type {number} */ value) => {
  if (!Number.isFinite(value) || value >= 1e6) return `> ${digitsOf(1e6, 0, true)}`;
  return value >= 100 ? digitsOf(value, 0, true) : digitsOf(value, 2);
});

export const formatBytes = number((/** @type {number} */ bytes) => {
  if (bytes < 1000) return `${digitsOf(bytes)} B`;
  if (bytes < 1e6) return `${digitsOf(bytes / 1e3, bytes < 1e4 ? 1 : 0)} kB`;
  if (bytes < 1e9) return `${digitsOf(bytes / 1e6, bytes < 1e7 ? 1 : 0)} MB`;
  return `${digitsOf(bytes / 1e9, 2)} GB`;
});

/** A number of parameters. */
export const formatParameters = number((/** @type {number} */ value) => {
  if (value >= 1e9) return t('{number} B', { number: digitsOf(value / 1e9, 1) });
  return value >= 1e6 ? t('{number} M', { number: digitsOf(value / 1e6, value < 1e7 ? 1 : 0) }) : t('{number} k', { number: digitsOf(value / 1e3) });
});

/** @param {import('../types.js').Adapter} adapter */
export function describeAdapter({ rank, bits, num_parameters, origin, name, steps, strength }) {
  const values = { number: formatParameters(num_parameters) };
  const parts = [t('rank {rank}', { rank }), bits < 32
    ? plural(bits, { one: '{number} parameters in {count} bit', other: '{number} parameters in {count} bits' }, values)
    : t('{number} parameters', values)];
  if (strength !== 1) parts.push(t('strength {strength}', { strength }));
  const size = parts.join(', ');
  if (origin === 'loaded') return t('Loaded {name} ({size})', { name, size });
  return plural(steps, { one: 'Trained {count} step ({size})', other: 'Trained {count} steps ({size})' }, { size });
}

/** @param {number} minutes @param {string} [rest] */
const hours = (minutes, rest = minutes % 60 ? ` ${minutes % 60} min` : '') => `${Math.floor(minutes / 60)} h${rest}`;
/** @param {number} minutes */
const days = (minutes) => plural(Math.round(minutes / 60 / 24), { one: '{count} day', other: '{count} days' });

export const formatDuration = number((/** @type {number} */ seconds) => {
  if (seconds < 10) return `${digitsOf(seconds, 1)} s`;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return total % 60 ? `${minutes} min ${total % 60} s` : `${minutes} min`;
  return minutes < 48 * 60 ? hours(minutes) : days(minutes);
});

/** Time still to go, coarser than a measured time. */
export const formatEta = number((/** @type {number} */ seconds) => {
  if (seconds < 1) return '< 1 s';
  return seconds < 10 ? `${Math.ceil(seconds)} s` : formatDuration(seconds);
});

/** Up to which time what grain is told, both in seconds; see `app/plan/durations.py`. */
const GRAINS = [[90, 1], [180, 10], [3600, 60], [3 * 3600, 300], [10 * 3600, 600], [48 * 3600, 3600]];

/** A time that was estimated, no finer than that. */
export const formatRough = number((/** @type {number} */ seconds) => {
  if (seconds < 1) return '< 1 s';
  const grain = GRAINS.find(([below = 0]) => seconds < below)?.[1] ?? 24 * 3600;
  const total = Math.round(seconds / grain) * grain;
  if (total < 90) return `${total} s`;
  if (total < 180) return total % 60 ? `${Math.floor(total / 60)} min ${total % 60} s` : `${total / 60} min`;
  if (total < 3600) return `${total / 60} min`;
  return total < 48 * 3600 ? hours(total / 60) : days(total / 60);
});

export const formatAbout = number((/** @type {number} */ seconds) => (seconds < 1 ? '< 1 s' : `≈ ${formatRough(seconds)}`));

/** Two such times; what lies between them is told as between. */
export const formatRoughRange = number((/** @type {number} */ low, /** @type {number} */ high) => {
  const ends = { low: formatRough(low), high: formatRough(high) };
  return ends.low === ends.high ? ends.low : t('{low} – {high}', ends);
});

/** A number of any size, learning rates above all: 9.9e-4, 0.01, 1.25. So it can be typed, too. */
export const formatSmall = number((/** @type {number} */ value, digits = 3) => {
  const short = Number(value.toPrecision(digits));
  const isPlain = short === 0 || (Math.abs(short) >= 0.01 && Math.abs(short) < 1e6);
  const text = isPlain ? String(short) : short.toExponential().replace('e+', 'e');
  return text.replace('.', digitsOf(0.5, 1).charAt(1));
});
