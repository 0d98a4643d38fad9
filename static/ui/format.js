// @ts-check
/** How numbers are written on the page. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** @param {number} value */
export const formatCount = (value) => whole.format(value);

/** @param {number} value a loss in nats */
export function formatLoss(value) {
  if (!Number.isFinite(value)) return 'not finite';
  return value >= 100 ? value.toFixed(1) : value.toFixed(value < 0.1 ? 4 : 3);
}

/** @param {number} value */
export function formatRate(value) {
  return value >= 100 ? whole.format(value) : value.toFixed(value < 10 ? 2 : 1);
}

/** @param {number} value */
export function formatPerplexity(value) {
  if (!Number.isFinite(value) || value >= 1e6) return '> 1,000,000';
  return value >= 100 ? whole.format(value) : value.toFixed(2);
}

/** @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(bytes < 1e4 ? 1 : 0)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

/** @param {number} value a number of parameters */
export function formatParameters(value) {
  if (value >= 1e9) return `${(value / 1e9).toFixed(1)} B`;
  return value >= 1e6 ? `${(value / 1e6).toFixed(value < 1e7 ? 1 : 0)} M` : `${(value / 1e3).toFixed(0)} k`;
}

/** @param {import('../types.js').Adapter} adapter */
export function describeAdapter({ rank, bits, num_parameters, origin, name, steps, strength }) {
  const width = bits < 32 ? ` in ${bits} ${bits === 1 ? 'bit' : 'bits'}` : '';
  const size = `rank ${rank}, ${formatParameters(num_parameters)} parameters${width}${strength === 1 ? '' : `, strength ${strength}`}`;
  if (origin === 'loaded') return `Loaded ${name} (${size})`;
  return `Trained ${formatCount(steps)} ${steps === 1 ? 'step' : 'steps'} (${size})`;
}

/** @param {number} seconds */
export function formatDuration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const total = Math.round(seconds);
  if (total < 60) return `${total} s`;
  const minutes = Math.floor(total / 60);
  if (minutes < 60) return `${minutes} min ${String(total % 60).padStart(2, '0')} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, '0')} min` : `${Math.round(hours / 24)} days`;
}

/** @param {number} seconds time still to go, coarser than a measured time */
export function formatEta(seconds) {
  if (seconds < 1) return '< 1 s';
  return formatDuration(seconds < 10 ? Math.ceil(seconds) : seconds).replace('.0 s', ' s');
}

/**
 * A time that was estimated, no finer than that.
 * @param {number} seconds
 */
export function formatRough(seconds) {
  if (seconds < 1) return '< 1 s';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${String(minutes % 60).padStart(2, '0')} min` : `${Math.round(hours / 24)} days`;
}

/** @param {number} value */
export function formatSmall(value) {
  if (value === 0) return '0';
  return Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toPrecision(3);
}
