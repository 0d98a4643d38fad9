// @ts-check
/** The adapter: its state in the footer, downloading it, loading one. */

import { t } from '../../messages/messages.js';
import { state, update, watch } from '../../store.js';
import { button, element, input, saveFile, setText } from '../dom.js';
import { describeAdapter } from '../format.js';
import { announce, clearError, showFailure } from '../messages.js';
import { letGo } from './shelf-kept.js';

/** @import {Studio} from '../../api.js' */

/** @type {{bytes: Uint8Array<ArrayBuffer>, filename: string, adapter: number}[]} adapters that had to go unsaved */
let handedOut = [];

/**
 * Hand an adapter to the person.
 * @param {Studio} studio
 * @param {{adapter?: number, form?: 'file'|'folder'}} [which] the chosen one, as one file
 */
export async function saveAdapter(studio, which = {}) {
  try {
    const { bytes, filename } = await studio.request('export-adapter', which);
    saveFile(new Blob([bytes], { type: which.form === 'folder' ? 'application/zip' : 'application/octet-stream' }), filename);
  } catch (error) {
    showFailure(error);
  }
}

/** @param {Studio} studio */
async function downloadPacked(studio) {
  try {
    const { packed, packed_filename: filename } = await studio.request('export-adapter');
    saveFile(new Blob([packed], { type: 'application/octet-stream' }), filename);
  } catch (error) {
    showFailure(error);
  }
}

/** @param {Studio} studio */
async function downloadRecord(studio) {
  try {
    const { record } = await studio.request('export-adapter', { peek: true });
    saveFile(new Blob([record], { type: 'application/json' }), 'run.json');
  } catch (error) {
    showFailure(error);
  }
}

/**
 * Put adapters on the shelf; one that is found bad leaves it as it is.
 * @param {Studio} studio
 * @param {File[]} files one or several .safetensors, .lorabits or .zip, or one with its adapter_config.json
 */
export async function loadAdapter(studio, files) {
  const named = files.filter((file) => /\.(safetensors|lorabits|zip)$/i.test(file.name));
  const weights = named.length ? named : files.slice(0, 1);
  const configs = files.filter((file) => !weights.includes(file) && /\.json$/i.test(file.name));
  // Which of several a config belongs to cannot be told: those carry their own.
  const config = weights.length === 1 ? (configs[0] ?? null) : null;
  clearError();
  for (const file of weights) {
    try {
      await studio.request('import-adapter', { file, name: file.name, config });
      update({ useLora: true });
      announce(t('Adapter {name} is loaded.', { name: file.name }));
    } catch (error) {
      showFailure(error);
    }
  }
}

/** Beside a whole model it is said which of the two this is. */
function describeCurrent() {
  const { adapter, tuned } = state;
  if (!adapter) return tuned ? t('No adapter') : t('No adapter yet');
  const facts = describeAdapter(adapter);
  return tuned ? t('Adapter “{name}”: {facts}', { name: adapter.name, facts }) : facts;
}

/** @param {Studio} studio */
export function mountAdapter(studio) {
  studio.on('adapter', ({ adapter, shelf }) => {
    const isOther = adapter?.id !== state.adapter?.id || adapter?.steps !== state.adapter?.steps;
    // Python's None arrives as undefined.
    update({ adapter: adapter ?? null, shelf, ...(adapter ? {} : { useLora: false }), ...(isOther ? { evaluation: null } : {}) });
  });
  studio.on('adapter-replaced', (replaced) => {
    handedOut = [...handedOut, replaced];
    button('adapter-previous').hidden = false;
    setText(button('adapter-previous'), handedOut.length > 1 ? t('Download the {number} that had to go', { number: handedOut.length }) : t('Download the previous one'));
  });
  button('adapter-download').addEventListener('click', () => void saveAdapter(studio));
  button('adapter-packed').addEventListener('click', () => void downloadPacked(studio));
  button('adapter-record').addEventListener('click', () => void downloadRecord(studio));
  button('adapter-previous').addEventListener('click', () => {
    for (const { bytes, filename } of handedOut) saveFile(new Blob([bytes], { type: 'application/octet-stream' }), filename);
    void letGo(handedOut.map(({ adapter }) => adapter));
  });
  const chooser = input('adapter-file');
  chooser.addEventListener('change', () => {
    const files = [...(chooser.files ?? [])];
    if (files.length) void loadAdapter(studio, files);
    chooser.value = '';
  });
  watch(['adapter', 'status', 'model', 'tuned'], () => {
    setText(element('adapter-status'), describeCurrent());
    const busy = state.status === 'training' || state.status === 'generating' || state.status === 'checking';
    button('adapter-download').disabled = state.adapter === null || busy;
    button('adapter-packed').disabled = button('adapter-download').disabled;
    button('adapter-packed').hidden = (state.adapter?.bits ?? 32) === 32;
    button('adapter-record').hidden = !state.adapter?.has_record;
    button('adapter-record').disabled = button('adapter-download').disabled;
    chooser.disabled = state.model === null || busy || state.status === 'paused';
    element('adapter-drop').classList.toggle('disabled', chooser.disabled);
  });
}
