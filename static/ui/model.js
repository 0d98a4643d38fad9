// @ts-check
/** Choosing and loading a model, and what is known of it. */

import { t } from '../messages/messages.js';
import { state, update, watch } from '../store.js';
import { button, byId, element, input, make, setProgress, setText } from './dom.js';
import { describeRate } from './download-rate.js';
import { folderName, modelParts } from './folders.js';
import { formatBytes, formatCount, formatParameters } from './format.js';
import { mayLoseTuned } from './full-ask.js';
import { clearError, showError, showFailure } from './messages.js';

/** @import {Studio} from '../api.js' */
/** @import {ModelSource} from '../types.js' */

const BUNDLED = { kind: /** @type {const} */ ('bundled') };

/** @type {Map<string, ModelSource>} option value → where its bytes are */
const sources = new Map();
let latest = 0;
let isCancelled = false;
let loadedOption = '';
let loadedQuantization = 'none';

/** @param {string} value @param {string} label @param {ModelSource} source */
function addOption(value, label, source) {
  const select = byId('model-select', HTMLSelectElement);
  if (!sources.has(value)) select.append(make('option', { value, text: label }));
  sources.set(value, source);
  select.value = value;
}

/**
 * Take what could not be loaded off the list, and show again what is in use.
 * @param {string} value
 */
function dropOption(value) {
  const select = byId('model-select', HTMLSelectElement);
  if (value !== 'bundled') {
    sources.delete(value);
    [...select.options].find((option) => option.value === value)?.remove();
  }
  if (loadedOption) select.value = loadedOption;
}

/** @param {Studio} studio @param {string} option */
async function load(studio, option) {
  const source = sources.get(option);
  if (!source) return;
  if (!(await mayLoseTuned(studio, t('Another model takes its place.')))) {
    if (loadedOption) byId('model-select', HTMLSelectElement).value = loadedOption;
    byId('model-quantize', HTMLSelectElement).value = loadedQuantization;
    return;
  }
  const turn = ++latest;
  isCancelled = false;
  const quantize = byId('model-quantize', HTMLSelectElement).value;
  clearError();
  try {
    await studio.request('load-model', { source, quantize, drop_tuned: true });
    loadedOption = option;
    loadedQuantization = quantize;
  } catch (error) {
    if (turn !== latest) return;
    update({ modelProgress: null });
    showFailure(error);
    byId('model-quantize', HTMLSelectElement).value = loadedQuantization;
    if (!isCancelled) {
      if (option !== loadedOption) dropOption(option);
    } else if (state.model) {
      byId('model-select', HTMLSelectElement).value = loadedOption; // what was cancelled stays on the list
    }
  }
}

/** @param {Studio} studio @param {File} file */
export function loadModelFile(studio, file) {
  const value = `file:${file.name}:${file.size}`;
  addOption(value, `${file.name} (${formatBytes(file.size)}, this computer)`, { kind: 'file', file });
  void load(studio, value);
}

/** @param {Studio} studio @param {File[]} chosen @param {string} name */
export function loadModelFolder(studio, chosen, name) {
  const files = modelParts(chosen);
  const size = files.reduce((sum, file) => sum + file.size, 0);
  addOption(`folder:${name}:${size}`, `${name} (${formatBytes(size)}, this computer)`, { kind: 'folder', files, name });
  void load(studio, `folder:${name}:${size}`);
}

/** @param {Studio} studio @param {File[]} files */
function loadChosen(studio, files) {
  const single = files.find((file) => /\.gguf$/i.test(file.name)) ?? files[0];
  if (modelParts(files).length) loadModelFolder(studio, files, folderName(files));
  else if (single) loadModelFile(studio, single);
}

/** @param {Studio} studio @param {string} address */
function loadModelUrl(studio, address) {
  let url;
  try {
    url = new URL(address, location.href);
  } catch {
    showError(`“${address}” is not an address: give one that begins with https:// and ends in .gguf.`);
    return;
  }
  addOption(`url:${url.href}`, url.pathname.split('/').at(-1) || url.host, { kind: 'url', url: url.href });
  void load(studio, `url:${url.href}`);
}

function isFetching() {
  const progress = state.modelProgress;
  return progress?.stage === 'download' && (!progress.total_bytes || progress.loaded_bytes < progress.total_bytes);
}

function describe() {
  const { boot, model, modelProgress: progress, supported } = state;
  if (!supported) return { text: 'Needs a GPU: see above.', fraction: undefined };
  const fetched = progress?.stage === 'download' && progress.total_bytes > 0 && progress.loaded_bytes >= progress.total_bytes;
  if (progress?.stage === 'tuning') {
    return { text: 'Choosing the fastest kernels for this GPU', fraction: progress.loaded_bytes / progress.total_bytes };
  }
  if (progress && !(fetched && state.status === 'booting')) {
    if (fetched) return { text: 'Checking what was fetched', fraction: null };
    const share = progress.total_bytes ? progress.loaded_bytes / progress.total_bytes : null;
    const verb = progress.stage === 'download' ? 'Fetching' : 'To the GPU:';
    const size = progress.total_bytes ? ` of ${formatBytes(progress.total_bytes)}` : '';
    const rate = progress.stage === 'download' ? describeRate(progress.loaded_bytes, progress.total_bytes) : '';
    return { text: `${verb} ${formatBytes(progress.loaded_bytes)}${size}${rate}`, fraction: share };
  }
  if (model) {
    const parts = [`${formatParameters(model.num_parameters)} parameters`, `${model.num_layers} layers`,
      `${formatBytes(model.weights_bytes)} on the GPU${model.quantization === 'none' ? '' : `, ${model.quantization}`}`, `context ${formatCount(model.max_context)}`];
    return { text: parts.join(' · '), fraction: undefined };
  }
  if (boot && state.status === 'booting') {
    return { text: boot.text, fraction: boot.total_bytes ? boot.loaded_bytes / boot.total_bytes : null };
  }
  if (state.status === 'error') return { text: 'No model is loaded.', fraction: undefined };
  if (state.status === 'loading') return { text: 'Opening the model', fraction: null };
  return { text: state.status === 'ready' ? 'Choose a model.' : 'Starting…', fraction: state.status === 'ready' ? undefined : null };
}

/** @param {Studio} studio */
export function mountModel(studio) {
  studio.on('model-progress', (progress) => update({ modelProgress: progress }));
  studio.on('model', (model) => {
    update({ model, modelProgress: null });
  });

  studio.on('model-lost', () => {
    loadedOption = '';
    update({ model: null, modelProgress: null });
  });

  addOption('bundled', 'SmolLM2-135M-Instruct (Q4_1)', BUNDLED);
  const select = byId('model-select', HTMLSelectElement);
  select.addEventListener('change', () => void load(studio, select.value));
  button('model-cancel').addEventListener('click', () => {
    isCancelled = true;
    studio.request('cancel-download').then(() => update({ modelProgress: null }), showFailure);
    select.focus();
  });
  button('model-retry').addEventListener('click', () => void load(studio, select.value));

  byId('model-url-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const address = input('model-url').value.trim();
    if (address) loadModelUrl(studio, address);
    else showError('There is no address to load from: paste one that ends in .gguf.');
  });
  for (const id of ['model-file', 'model-folder']) {
    input(id).addEventListener('change', () => {
      loadChosen(studio, [...(input(id).files ?? [])]);
      input(id).value = '';
    });
  }
  byId('model-quantize', HTMLSelectElement).addEventListener('change', () => void load(studio, select.value));
  watch(['boot', 'model', 'modelProgress', 'status', 'supported'], () => {
    const { text, fraction } = describe();
    setText(element('model-text'), text);
    button('model-retry').hidden = !(state.supported && state.model === null && state.status === 'error');
    button('model-cancel').hidden = !isFetching();
    const bar = byId('model-progress', HTMLProgressElement);
    bar.hidden = fraction === undefined;
    if (fraction !== undefined) setProgress(bar, fraction);
  });
}

/**
 * Load what the page opens with: the bundled model, or the one of this site that the
 * address names after #model=; #model=none loads nothing.
 * @param {Studio} studio
 */
export function loadFirstModel(studio) {
  const wanted = new URLSearchParams(location.hash.slice(1)).get('model');
  if (wanted === 'none') return;
  if (wanted && new URL(wanted, location.href).origin === location.origin) loadModelUrl(studio, wanted);
  else void load(studio, 'bundled');
}
