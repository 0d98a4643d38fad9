// @ts-check
/** The catalogue of small open models: what is known of each, and what is said of it. Needs no document. */

import { plural, t } from '../../messages/messages.js';
import { formatAbout, formatBytes, formatCount, formatParameters } from '../format.js';

/** @import {Fit, Fits, ModelSource} from '../../types.js' */

/**
 * @typedef {object} Entry of catalogue.json; `config` has the keys of the model's config.json
 * @property {string} id
 * @property {string} name
 * @property {{kind: 'bundled'}|{kind: 'url', url: string, sha256: string}|
 *   {kind: 'url-folder', url: string, name: string, files: {name: string, size: number, sha256: string}[]}} source
 * @property {string} file
 * @property {number} bytes to fetch, of all files
 * @property {string} licence
 * @property {string} page where the model is described
 * @property {string} weights type of its projections
 * @property {string} [tables] type of its embedding, where it differs
 * @property {Record<string, any>} config
 */

/** @returns {Promise<Entry[]>} */
export async function fetchCatalogue() {
  const response = await fetch(new URL('../../catalogue.json', import.meta.url)).catch((error) => ({ ok: false, status: error.message, json: () => [] }));
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

/** What the list of models calls it. @param {Entry} entry */
export const valueOf = ({ source }) => (source.kind === 'bundled' ? 'bundled' : `url:${source.url}`);

/** What loading it asks for. @param {Entry} entry @returns {ModelSource} */
export const sourceOfEntry = ({ source, bytes }) => (source.kind === 'url' ? { ...source, size: bytes } : source);

/**
 * Where loading it takes its bytes from.
 * @param {Entry} entry
 * @param {{bytes: number, isComplete: boolean}} [kept] what lies on the device of it
 */
export function describeSource({ source, bytes }, kept) {
  if (source.kind === 'bundled') return t('Comes with the page.');
  const values = { host: new URL(source.url).host, loaded: formatBytes(kept?.bytes ?? 0), total: formatBytes(bytes) };
  if (kept?.isComplete) return t('Lies on this device.');
  if (kept?.bytes) return t('{loaded} of {total} have arrived from {host}; the download goes on from there.', values);
  if (source.kind === 'url') return t('Fetched from {host}.', values);
  return plural(source.files.length, { one: 'Fetched from {host}, {count} file.', other: 'Fetched from {host}, {count} files.' }, values);
}

/**
 * @param {Fit} fit
 * @param {Pick<Fits, 'budget_bytes'|'is_assumed'|'is_software'>} device
 */
export function describeFit(fit, device) {
  const fits = describeMemory(fit, device);
  if (fit.verdict !== 'fits' && fit.verdict !== 'tight') return fits;
  if (fit.seconds != null) return t('{fit}, and {time} for 10,000 tokens of text', { fit: fits, time: formatAbout(fit.seconds) });
  return device.is_software ? t('{fit}; slow here, where no GPU computes', { fit: fits }) : fits;
}

/** What is said while it is not known yet whether models fit. @param {{hasPython: boolean, isTraining: boolean}} now */
export function describePlanning({ hasPython, isTraining }) {
  if (isTraining) return t('Whether they fit is being planned, beside the run.');
  return hasPython ? t('Whether they fit is being planned.') : t('Whether they fit is being planned: as soon as Python has started.');
}

/**
 * @param {Fit} fit
 * @param {Pick<Fits, 'budget_bytes'|'is_assumed'>} budget
 */
function describeMemory(fit, { budget_bytes, is_assumed }) {
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
 * @param {Fit|null} fit null: not known yet
 * @returns {'load'|'try'|'refuse'}
 */
export function actionFor(fit) {
  if (fit?.is_refused) return 'refuse';
  return fit?.verdict === 'none' ? 'try' : 'load';
}
