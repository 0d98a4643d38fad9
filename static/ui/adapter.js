// @ts-check
/** The adapter: its state in the footer, downloading it, loading one. */

import { state, update, watch } from '../store.js';
import { button, element, input, saveFile, setText } from './dom.js';
import { formatCount, formatParameters } from './format.js';
import { announce, clearError, showFailure } from './messages.js';

/** @import {Studio} from '../api.js' */

/** @type {{bytes: Uint8Array<ArrayBuffer>, filename: string}|null} the adapter that a new one replaced */
let previous = null;

/** @param {Studio} studio */
export async function downloadAdapter(studio) {
  try {
    const { bytes, filename } = await studio.request('export-adapter');
    saveFile(new Blob([bytes], { type: 'application/octet-stream' }), filename);
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
async function downloadConfig(studio) {
  try {
    const { config } = await studio.request('export-adapter');
    saveFile(new Blob([config], { type: 'application/json' }), 'adapter_config.json');
  } catch (error) {
    showFailure(error);
  }
}

/**
 * Load an adapter; the one in use stays until the new one has been found good.
 * @param {Studio} studio
 * @param {File[]} files a .safetensors and perhaps its adapter_config.json, or a packed .lorabits
 */
export async function loadAdapter(studio, files) {
  const weights = files.find((file) => /\.(safetensors|lorabits)$/i.test(file.name)) ?? files[0];
  const config = files.find((file) => file !== weights && file.name.toLowerCase().endsWith('.json')) ?? null;
  if (!weights) return;
  clearError();
  try {
    await studio.request('import-adapter', { file: weights, name: weights.name, config });
    update({ useLora: true });
    announce(`Adapter ${weights.name} is loaded.`);
  } catch (error) {
    showFailure(error);
  }
}

function describe() {
  const { adapter } = state;
  if (!adapter) return 'No adapter yet';
  const width = adapter.bits < 32 ? ` in ${adapter.bits} ${adapter.bits === 1 ? 'bit' : 'bits'}` : '';
  const size = `rank ${adapter.rank}, ${formatParameters(adapter.num_parameters)} parameters${width}`;
  if (adapter.origin === 'loaded') return `Loaded ${adapter.name} (${size})`;
  return `Trained ${formatCount(adapter.steps)} ${adapter.steps === 1 ? 'step' : 'steps'} (${size})`;
}

/** @param {Studio} studio */
export function mountAdapter(studio) {
  studio.on('adapter', ({ adapter }) => update({ adapter: adapter ?? null, ...(adapter ? {} : { useLora: false }), evaluation: null }));
  studio.on('adapter-replaced', (replaced) => {
    previous = replaced;
    button('adapter-previous').hidden = false;
  });
  button('adapter-download').addEventListener('click', () => void downloadAdapter(studio));
  button('adapter-config').addEventListener('click', () => void downloadConfig(studio));
  button('adapter-packed').addEventListener('click', () => void downloadPacked(studio));
  button('adapter-previous').addEventListener('click', () => {
    if (previous) saveFile(new Blob([previous.bytes], { type: 'application/octet-stream' }), previous.filename);
  });
  const chooser = input('adapter-file');
  chooser.addEventListener('change', () => {
    const files = [...(chooser.files ?? [])];
    if (files.length) void loadAdapter(studio, files);
    chooser.value = '';
  });
  watch(['adapter', 'status', 'model'], () => {
    setText(element('adapter-status'), describe());
    const busy = state.status === 'training' || state.status === 'generating';
    button('adapter-download').disabled = state.adapter === null || busy;
    button('adapter-config').disabled = button('adapter-download').disabled;
    button('adapter-packed').disabled = button('adapter-download').disabled;
    button('adapter-packed').hidden = (state.adapter?.bits ?? 32) === 32;
    chooser.disabled = state.model === null || busy || state.status === 'paused';
    element('adapter-drop').classList.toggle('disabled', chooser.disabled);
  });
}
