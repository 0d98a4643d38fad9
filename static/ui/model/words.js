// @ts-check
/** What is said under the model: how far it is, or what it is. Needs no document. */

import { t } from '../../messages/messages.js';
import { formatBytes, formatCount, formatEta, formatParameters } from '../format.js';

/** @import {State} from '../../store.js' */
/** @import {ModelInfo, ModelProgress} from '../../types.js' */
/** @import {Rate} from './download-rate.js' */

/** `fraction`: null moves without claiming a share, undefined shows no bar. @typedef {{text: string, fraction: number|null|undefined}} Words */

/** @param {ModelProgress|null} progress */
export const isFetching = (progress) => progress?.stage === 'check' || progress?.stage === 'offline'
  || (progress?.stage === 'download' && (!progress.total_bytes || progress.loaded_bytes < progress.total_bytes));

/** @param {ModelProgress} progress @param {Rate|null} rate */
function fetching({ loaded_bytes, total_bytes }, rate) {
  if (!loaded_bytes && !total_bytes) return t('Waiting for the host to answer');
  const values = {
    loaded: formatBytes(loaded_bytes), total: formatBytes(total_bytes),
    rate: rate ? formatBytes(Math.round(rate.bytesPerSecond)) : '', left: rate?.secondsLeft != null ? formatEta(rate.secondsLeft) : '',
  };
  if (!total_bytes) return rate ? t('Fetching {loaded}, {rate}/s', values) : t('Fetching {loaded}', values);
  if (!rate) return t('Fetching {loaded} of {total}', values);
  return values.left ? t('Fetching {loaded} of {total}, {rate}/s, {left} left', values) : t('Fetching {loaded} of {total}, {rate}/s', values);
}

/** @param {ModelInfo} model */
function facts(model) {
  const values = {
    parameters: formatParameters(model.num_parameters), layers: formatCount(model.num_layers),
    size: formatBytes(model.weights_bytes), kind: model.quantization, context: formatCount(model.max_context),
  };
  return model.quantization === 'none'
    ? t('{parameters} parameters · {layers} layers · {size} on the GPU · chat up to {context} tokens', values)
    : t('{parameters} parameters · {layers} layers · {size} on the GPU, {kind} · chat up to {context} tokens', values);
}

/**
 * @param {State} state
 * @param {Rate|null} rate of a download
 * @param {boolean} wasAsked a model was asked for
 * @returns {Words}
 */
export function describeModel({ boot, model, modelProgress: progress, status, supported, gpu, isWaiting }, rate, wasAsked) {
  if (!supported) return { text: t('Needs a GPU: see above.'), fraction: undefined };
  if (isWaiting) return { text: t('Waits for the other tab.'), fraction: undefined };
  const fetched = progress?.stage === 'download' && !isFetching(progress);
  const share = progress?.total_bytes ? progress.loaded_bytes / progress.total_bytes : null;
  if (progress?.stage === 'tuning') return { text: t('Choosing the fastest kernels for this GPU'), fraction: share };
  if (progress && !(fetched && status === 'booting')) {
    if (fetched) return { text: t('Checking what was fetched'), fraction: null };
    const values = { loaded: formatBytes(progress.loaded_bytes), total: formatBytes(progress.total_bytes) };
    if (progress.stage === 'check') return { text: t('Checking what has arrived before: {loaded} of {total}', values), fraction: share };
    if (progress.stage === 'offline') return { text: t('No network: {loaded} have arrived, the download goes on when it is back', values), fraction: null };
    if (progress.stage === 'download') return { text: fetching(progress, rate), fraction: share };
    return { text: t('To the GPU: {loaded} of {total}', values), fraction: share };
  }
  if (model) return { text: facts(model), fraction: undefined };
  if (status === 'booting' && gpu && !wasAsked) return { text: t('Choose a model.'), fraction: undefined };
  if (boot && status === 'booting') {
    return { text: t(boot.text), fraction: boot.total_bytes ? boot.loaded_bytes / boot.total_bytes : null };
  }
  if (status === 'error') return { text: t('No model is loaded.'), fraction: undefined };
  if (status === 'loading') return { text: t('Opening the model'), fraction: null };
  return status === 'ready' ? { text: t('Choose a model.'), fraction: undefined } : { text: t('Starting…'), fraction: null };
}
