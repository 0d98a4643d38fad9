// @ts-check
/** The catalogue of small open models: what is known of each, and what is said of it. Needs no document. */

import { t } from '../../messages/messages.js';
import { formatBytes, formatCount, formatParameters } from '../format.js';

/** @import {Fit, Fits} from '../../types.js' */

/**
 * @typedef {object} Entry of catalogue.json; `config` has the keys of the model's config.json
 * @property {string} id
 * @property {string} name
 * @property {{kind: 'bundled'}|{kind: 'url', url: string, sha256: string}|{kind: 'by-hand', files: string[]}} source
 * @property {string} file
 * @property {number} bytes
 * @property {string} licence
 * @property {string} page where the model is described
 * @property {string} weights type of its projections
 * @property {string} [tables] type of its embedding, where it differs
 * @property {Record<string, any>} config
 */

/** @returns {Promise<Entry[]>} */
export async function fetchCatalogue() {
  const response = await fetch(new URL('../../catalogue.json', import.meta.url));
  if (!response.ok) throw new Error(t('The catalogue could not be fetched ({status}): check the connection and try again.', { status: response.status }));
  return response.json();
}

/** @param {Record<string, any>} config @returns {number} parameters of a Llama of this shape */
export function countParameters(config) {
  const { hidden_size: hidden, intermediate_size: inner, num_hidden_layers: layers, num_attention_heads: heads } = config;
  const kept = config['num_key_value_heads'] / heads;
  const width = config['head_dim'] ? config['head_dim'] * heads : hidden;
  const layer = 2 * hidden * width * (1 + kept) + 3 * hidden * inner + 2 * hidden;
  return layers * layer + config['vocab_size'] * hidden * (config['tie_word_embeddings'] ? 1 : 2) + hidden;
}

/** Whether quantizing on load changes anything. @param {Entry} entry */
export const isFloat = ({ weights }) => ['F32', 'F16', 'BF16'].includes(weights);

/** @param {Entry} entry */
export function describeEntry({ bytes, weights, licence, config }) {
  return t('{parameters} parameters · {size}, {kind} · {licence} · context {context}', {
    parameters: formatParameters(countParameters(config)), size: formatBytes(bytes), kind: weights, licence, context: formatCount(config['max_position_embeddings']),
  });
}

/** @param {Entry} entry where loading it takes its bytes from */
export function describeSource({ source, page }) {
  if (source.kind === 'bundled') return t('Comes with the page.');
  if (source.kind === 'url') return t('Fetched from {host}.', { host: new URL(source.url).host });
  return t('Fetch {files} from {host}, put them in one folder, and choose it with “Folder…”.', { files: source.files.join(', '), host: new URL(page).host });
}

/**
 * @param {Fit} fit
 * @param {Pick<Fits, 'budget_bytes'|'is_assumed'>} budget
 */
export function describeFit(fit, { budget_bytes, is_assumed }) {
  const values = { size: formatBytes(fit.total_bytes), budget: formatBytes(budget_bytes), reason: t(fit.reason) };
  if (fit.verdict === 'unsupported') return t('Does not load: {reason}', values);
  if (fit.verdict === 'none') return t('Does not fit: {reason}', values);
  if (fit.verdict === 'fits') {
    return is_assumed ? t('Fits: training it takes {size} of the {budget} assumed', values) : t('Fits: training it takes {size} of {budget}', values);
  }
  return is_assumed ? t('Tight: training it takes {size} of the {budget} assumed', values) : t('Tight: training it takes {size} of {budget}', values);
}

/**
 * What the button may do: nothing is offered that a limit of the device rules out; memory that is
 * only assumed rules nothing out.
 * @param {Entry} entry
 * @param {Fit|null} fit null: not known yet
 * @returns {'load'|'try'|'refuse'|'none'}
 */
export function actionFor({ source }, fit) {
  if (source.kind === 'by-hand') return 'none';
  if (fit?.is_refused) return 'refuse';
  return fit?.verdict === 'none' ? 'try' : 'load';
}
