// @ts-check
/** A run as rows: one a step, with what was evaluated and written after it. */

import { mark } from '../../messages/mark.js';
import { formatCount, formatFixed, formatLoss, formatRate, formatSmall } from '../format.js';
import { trackOf } from './track.js';

/** @import {EvalPoint, Run, Sample, Step} from '../../types.js' */

/**
 * @typedef {{step: number, record: Step|null, smooth: number, ranks: number, epochs: number|null,
 *   evaluation: EvalPoint|null, samples: Sample[]}} Row
 */

/**
 * @typedef {object} TableColumn
 * @property {string} key
 * @property {string} label of the table, a message; none where the column is for files only
 * @property {string} file heading in a file, with the unit; the same in every language
 * @property {(row: Row) => number|string|boolean|null} of null where nothing was reported
 * @property {(value: any) => string} [format] for the table
 */

/** @param {number} value */
const asShare = (value) => `${formatCount(100 * value)} %`;

/** @type {TableColumn[]} */
export const COLUMNS = [
  { key: 'step', label: mark('Step'), file: 'step', of: (row) => row.step, format: formatCount },
  { key: 'loss', label: mark('Loss'), file: 'loss (nats/token)', of: ({ record }) => record?.loss ?? null, format: formatLoss },
  { key: 'smooth', label: mark('Smoothed'), file: 'smoothed loss (nats/token)', of: ({ smooth }) => (Number.isNaN(smooth) ? null : smooth), format: formatLoss },
  { key: 'skipped', label: '', file: 'skipped (1 = the loss was not finite; nothing was updated)', of: ({ record }) => (record ? Number(record.skipped) : null) },
  { key: 'gradNorm', label: mark('Gradient norm'), file: 'gradient norm (L2)', of: ({ record }) => record?.grad_norm ?? null, format: formatSmall },
  { key: 'learningRate', label: mark('Learning rate'), file: 'learning rate', of: ({ record }) => record?.learning_rate ?? null, format: formatSmall },
  { key: 'tokens', label: mark('Tokens'), file: 'tokens seen', of: ({ record }) => record?.num_tokens ?? null, format: formatCount },
  { key: 'epochs', label: mark('Epochs'), file: 'epochs done', of: ({ epochs }) => epochs, format: (value) => formatFixed(value, 2) },
  { key: 'rate', label: mark('Tokens / s'), file: 'throughput (tokens/s)', of: ({ record }) => record?.tokens_per_second ?? null, format: formatRate },
  { key: 'seconds', label: '', file: 'step time (s)', of: ({ record }) => record?.seconds ?? null },
  { key: 'busy', label: mark('GPU busy'), file: 'GPU busy (share of 1)', of: ({ record }) => record?.gpu_busy ?? null, format: asShare },
  { key: 'ranks', label: mark('Ranks in use'), file: 'ranks in use', of: ({ ranks }) => (Number.isNaN(ranks) ? null : ranks), format: formatCount },
  { key: 'layers', label: '', file: 'ranks by projection, where they change (JSON)', of: ({ record }) => (record?.ranks ? JSON.stringify(record.ranks) : null) },
  { key: 'heldOut', label: mark('Held-out loss'), file: 'held-out loss (nats/token)', of: ({ evaluation }) => evaluation?.loss ?? null, format: formatLoss },
  { key: 'perplexity', label: '', file: 'held-out perplexity', of: ({ evaluation }) => evaluation?.perplexity ?? null },
  { key: 'prompt', label: '', file: 'sample prompt', of: ({ samples }) => (samples.length ? samples.map(({ prompt }) => prompt).join('\n') : null) },
  { key: 'sample', label: '', file: 'sample text', of: ({ samples }) => (samples.length ? samples.map(({ text }) => text).join('\n') : null) },
];

/**
 * How often the text was gone through: every window is visited once an epoch.
 * @param {Run} run
 * @param {number} numTokens seen
 */
export const epochsOf = ({ plan }, numTokens) => (plan?.num_tokens ? numTokens / plan.num_tokens : null);

/**
 * All of a run; what came before the first step, or has no step of its own, is a row as well.
 * @param {Run} run
 * @returns {Row[]} by step
 */
export function rowsOf(run) {
  const track = trackOf(run);
  /** @type {Map<number, Row>} */
  const rows = new Map();
  /** @param {number} step */
  const at = (step) => {
    let row = rows.get(step);
    if (!row) rows.set(step, row = { step, record: null, smooth: NaN, ranks: NaN, epochs: null, evaluation: null, samples: [] });
    return row;
  };
  run.steps.forEach((record, index) => Object.assign(at(record.step), {
    record, smooth: track.columns.smooth[index], ranks: track.columns.ranks[index], epochs: epochsOf(run, record.num_tokens),
  }));
  for (const evaluation of run.evaluations) at(evaluation.step).evaluation = evaluation;
  for (const sample of run.samples) at(sample.step).samples.push(sample);
  return [...rows.values()].sort((a, b) => a.step - b.step);
}
