// @ts-check
/** How fast a download goes, measured over its last seconds. */

import { t } from '../messages/messages.js';
import { formatBytes, formatEta } from './format.js';

const WINDOW_MS = 5_000;
const LEAST_MS = 1_000;

/** @type {{at: number, bytes: number}[]} */
let seen = [];

/**
 * Take note of a progress and say its speed and the time left, once there is one to measure.
 * @param {number} bytes @param {number} total 0 where it is not known
 */
export function describeRate(bytes, total) {
  const now = performance.now();
  const last = seen.at(-1);
  if (last && (bytes < last.bytes || now - last.at > WINDOW_MS)) seen = [];
  if (!last || bytes !== last.bytes) seen.push({ at: now, bytes });
  while (seen.length > 2 && now - seen[0].at > WINDOW_MS) seen.shift();
  const first = seen[0];
  if (!first || now - first.at < LEAST_MS || bytes === first.bytes) return '';
  const rate = (1e3 * (bytes - first.bytes)) / (now - first.at);
  const values = { rate: formatBytes(Math.round(rate)), time: formatEta((total - bytes) / rate) };
  return total > bytes ? t(', {rate}/s, {time} left', values) : t(', {rate}/s', values);
}
