// @ts-check
/** How fast a download goes, measured over its last seconds. */

const WINDOW_MS = 5_000;
const LEAST_MS = 1_000;

/** @typedef {{bytesPerSecond: number, secondsLeft: number|null}} Rate `secondsLeft`: null where the size is not known */

/** @type {{at: number, bytes: number}[]} */
let seen = [];

/**
 * Take note of a progress and tell its speed, once there is one to measure.
 * @param {number} bytes @param {number} total 0 where it is not known
 * @returns {Rate|null}
 */
export function measureRate(bytes, total) {
  const now = performance.now();
  const last = seen.at(-1);
  if (last && (bytes < last.bytes || now - last.at > WINDOW_MS)) seen = [];
  if (!last || bytes !== last.bytes) seen.push({ at: now, bytes });
  while (seen.length > 2 && now - seen[0].at > WINDOW_MS) seen.shift();
  const first = seen[0];
  if (!first || now - first.at < LEAST_MS || bytes === first.bytes) return null;
  const bytesPerSecond = (1e3 * (bytes - first.bytes)) / (now - first.at);
  return { bytesPerSecond, secondsLeft: total > bytes ? (total - bytes) / bytesPerSecond : null };
}
