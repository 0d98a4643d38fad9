// @ts-check
/** Choosing and loading a model, and what is known of it. */

import { StudioError } from '../../api.js';
import { t } from '../../messages/messages.js';
import { state, update } from '../../store.js';
import { button, byId, input } from '../dom.js';
import { mountModelCard, sayCancelled } from './card.js';
import { folderName, modelParts } from '../folders.js';
import { formatBytes } from '../format.js';
import { mayLoseTuned } from '../full/ask.js';
import { clearError, showError, showFailure } from '../messages.js';
import { clearNotice, showNotice } from '../notices.js';
import { addOption, modelAddress, sourceOf, withdraw } from './list.js';

/** @import {Studio} from '../../api.js' */
/** @import {ModelSource} from '../../types.js' */

const BUNDLED = { kind: /** @type {const} */ ('bundled') };

let latest = 0;
let isCancelled = false;
/** The host had answered by then. */
let hadSome = false;
let loadedOption = '';
let loadedQuantization = 'none';
/** What is being loaded, or was in use when the GPU went away. */
let wanted = { option: '', quantization: 'none' };

/**
 * Load a model from a source that a person chose elsewhere than in the list.
 * @param {Studio} studio @param {string} value @param {string} label @param {ModelSource} source
 */
export function loadFrom(studio, value, label, source) {
  addOption(value, label, source);
  return load(studio, value);
}

/** A model was in use, or on its way. */
export const hadModel = () => wanted.option !== '';

/**
 * Load again what went with the GPU, or was on its way to it.
 * @param {Studio} studio
 * @returns {Promise<boolean>} whether there is a model again
 */
export async function reload(studio) {
  const { option, quantization } = wanted;
  byId('model-select', HTMLSelectElement).value = option;
  byId('model-quantize', HTMLSelectElement).value = quantization;
  await load(studio, option);
  return state.model !== null;
}

/** What is in use now, as the list calls it; '' before the first. */
export const loadedValue = () => loadedOption;

/**
 * Take what could not be loaded off the list, and show again what is in use.
 * @param {string} value
 */
function dropOption(value) {
  const select = byId('model-select', HTMLSelectElement);
  if (value !== 'bundled') withdraw(value);
  if (loadedOption) select.value = loadedOption;
}

/** The GPU went away meanwhile; the model is not to blame. @param {unknown} error */
const isLost = (error) => error instanceof StudioError && error.kind === 'DeviceLostError';
/** There is no GPU to load it to. @param {unknown} error */
const isGone = (error) => error instanceof StudioError && error.kind === 'NoAdapterError';

/** @param {Studio} studio @param {string} option */
async function load(studio, option) {
  const source = sourceOf(option);
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
  clearNotice('cancelled');
  wanted = { option, quantization: quantize };
  // A host may never answer: from here on it can be cancelled.
  if (source.kind === 'url' || source.kind === 'url-folder') {
    update({ modelProgress: { name: option, stage: 'download', loaded_bytes: 0, total_bytes: 0 } });
  }
  try {
    await studio.request('load-model', { source, quantize, drop_tuned: true });
    loadedOption = option;
    loadedQuantization = quantize;
  } catch (error) {
    if (turn !== latest || isLost(error)) return;
    if (loadedOption) wanted = { option: loadedOption, quantization: loadedQuantization };
    update({ modelProgress: null });
    if (isCancelled) sayCancelled(error, hadSome);
    else showFailure(error);
    if (loadedOption) byId('model-quantize', HTMLSelectElement).value = loadedQuantization;
    if (!isCancelled) {
      if (option !== loadedOption && !isGone(error)) dropOption(option);
    } else if (state.model) {
      byId('model-select', HTMLSelectElement).value = loadedOption; // what was cancelled stays on the list
    }
  }
}

/** @param {Studio} studio @param {File} file */
export function loadModelFile(studio, file) {
  const value = `file:${file.name}:${file.size}`;
  addOption(value, t('{name} ({size}, this computer)', { name: file.name, size: formatBytes(file.size) }), { kind: 'file', file });
  return load(studio, value);
}

/** @param {Studio} studio @param {File[]} chosen @param {string} name */
export function loadModelFolder(studio, chosen, name) {
  const files = modelParts(chosen);
  const size = files.reduce((sum, file) => sum + file.size, 0);
  addOption(`folder:${name}:${size}`, t('{name} ({size}, this computer)', { name, size: formatBytes(size) }), { kind: 'folder', files, name });
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
  const url = modelAddress(address);
  if (!url) {
    showError(t('“{address}” is not an address: give one that begins with https://, of a .gguf file or of a model’s folder.', { address }));
    return;
  }
  const name = url.pathname.split('/').filter(Boolean).at(-1) ?? url.host;
  addOption(`url:${url.href}`, name, { kind: 'url', url: url.href });
  void load(studio, `url:${url.href}`);
}

/** @param {Studio} studio */
export function mountModel(studio) {
  studio.on('model-progress', (progress) => update({ modelProgress: progress }));
  studio.on('model', (model) => {
    update({ model, modelProgress: null });
    if (model.made_room) showNotice('made-room', t('There was no room for two models on the GPU: the one before it was freed first.'));
    else clearNotice('made-room');
  });

  studio.on('model-lost', () => {
    loadedOption = '';
    update({ model: null, modelProgress: null });
  });

  addOption('bundled', 'SmolLM2-135M-Instruct (Q4_1)', BUNDLED, 'bundled');
  const select = byId('model-select', HTMLSelectElement);
  select.addEventListener('change', () => void load(studio, select.value));
  button('model-cancel').addEventListener('click', () => {
    isCancelled = true;
    hadSome = Boolean(state.modelProgress?.loaded_bytes || state.modelProgress?.total_bytes);
    studio.request('cancel-download').then(() => update({ modelProgress: null }), showFailure);
    select.focus();
  });
  button('model-retry').addEventListener('click', () => void load(studio, select.value));

  byId('model-url-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    const address = input('model-url').value.trim();
    if (address) loadModelUrl(studio, address);
    else showError(t('There is no address to load from: paste that of a .gguf file or of a model’s folder.'));
  });
  for (const id of ['model-file', 'model-folder']) {
    input(id).addEventListener('change', () => {
      loadChosen(studio, [...(input(id).files ?? [])]);
      input(id).value = '';
    });
  }
  byId('model-quantize', HTMLSelectElement).addEventListener('change', () => {
    if (latest) void load(studio, select.value); // before the first, it is a choice for that one
  });
  mountModelCard(() => latest > 0);
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
