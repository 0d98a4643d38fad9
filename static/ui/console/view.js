// @ts-check
/** What the charts show of a run and of those drawn behind it; what is known of a step, in words. */

import { t } from '../../messages/messages.js';
import { formatFixed, formatLoss } from '../format.js';
import { epochsOf } from './columns.js';
import { comparedRun, runsBehind, titleOf } from './runs.js';
import { markOf } from './specs.js';
import { Track, trackOf } from './track.js';

/** @import {Run} from '../../types.js' */
/** @import {View} from './plot.js' */

/** @param {Run|null} run @param {[number, number]|null} [zoom] @returns {View} */
export function viewOf(run, zoom = null) {
  const track = run ? trackOf(run) : new Track();
  const others = runsBehind().filter((other) => other !== run)
    .map((other) => ({ run: other, track: trackOf(other), evaluations: other === comparedRun() ? other.evaluations : [], ...markOf(other.number) }));
  const evaluations = run?.evaluations ?? [];
  const starts = [track, ...others.map((other) => other.track)].filter((one) => one.length).map((one) => one.x[0]);
  const ends = [track, ...others.map((other) => other.track)].map((one) => one.x.at(-1) ?? 0);
  const judged = [evaluations, ...others.map((other) => other.evaluations)].filter((points) => points.length);
  const first = Math.min(...starts, ...judged.map((points) => points[0].step));
  const last = Math.max(...ends);
  const low = Number.isFinite(first) ? first : 0;
  return { track, evaluations, others, range: zoom ?? [low, Math.max(last, low + 1)] };
}

/** @param {Run} run @param {number} step @returns {string[]} its smoothed and its held-out loss there */
function comparison(run, step) {
  const track = trackOf(run);
  const index = track.nearest(step);
  const smooth = index >= 0 && track.x[index] === step ? track.columns.smooth[index] : NaN;
  const judged = run.evaluations.findLast((point) => point.step === step);
  const parts = [
    ...(Number.isNaN(smooth) ? [] : [t('smoothed {smooth}', { smooth: formatLoss(smooth) })]),
    ...(judged ? [t('held-out {loss}', { loss: formatLoss(judged.loss) })] : []),
  ];
  return parts.length ? [`${titleOf(run)}: ${parts.join(', ')}`] : [];
}

/**
 * What is known of a step, in words.
 * @param {Run} run
 * @param {number} x a place on the charts
 * @param {Run|null} [other] what it is compared with
 */
export function readoutOf(run, x, other = null) {
  const track = trackOf(run);
  const index = track.nearest(x);
  if (index < 0) return '';
  const { step, loss, skipped, num_tokens: numTokens } = run.steps[index];
  const judged = run.evaluations.findLast((point) => point.step === step);
  const epochs = epochsOf(run, numTokens);
  const own = [
    skipped ? t('Step {step}: skipped', { step })
      : t('Step {step}: loss {loss}, smoothed {smooth}', { step, loss: formatLoss(loss), smooth: formatLoss(track.columns.smooth[index]) }),
    ...(judged ? [t('held-out {loss}', { loss: formatLoss(judged.loss) })] : []),
    ...(epochs === null ? [] : [t('{number} epochs', { number: formatFixed(epochs, 2) })]),
  ].join(', ');
  return [own, ...(other ? comparison(other, step) : [])].join(' · ');
}
