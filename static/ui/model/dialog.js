// @ts-check
/** The dialog of models: those on this device, and a catalogue with what fits it. */

import { onLanguage, t } from '../../messages/messages.js';
import { isRunning, state, watch } from '../../store.js';
import { button, byId, element, setText } from '../dom.js';
import { formatBytes } from '../format.js';
import { loadedValue, loadFrom } from './model.js';
import { describePlanning, fetchCatalogue } from './catalogue.js';
import { listKept } from './kept.js';
import { offerKept } from './list.js';
import { arrange, EntryRow, KeptRow } from './rows.js';

/** @import {Studio} from '../../api.js' */
/** @import {Fits} from '../../types.js' */
/** @import {Entry} from './catalogue.js' */
/** @import {Kept} from './kept.js' */
/** @import {Load} from './rows.js' */

/** @type {Entry[]} */
let entries = [];
/** @type {Kept[]} */
let kept = [];
/** By quantization; what is missing is not known yet. @type {Map<string, Fits>} */
const fits = new Map();
/** By what they show. @type {Map<string, KeptRow>} */
const keptRows = new Map();
/** @type {Map<string, EntryRow>} */
const entryRows = new Map();
let note = () => '';
/** @type {Load} */
let load = () => {};

const dialog = () => byId('models-dialog', HTMLDialogElement);
const quantization = () => byId('model-quantize', HTMLSelectElement).value;

async function showKept() {
  kept = await listKept().catch(() => []);
  drawKept();
  if (entries.length) showCatalogue();
  offerKept(kept.flatMap(({ value, name, source, isComplete, isBundled, bytes }) => (
    source && isComplete && !isBundled ? [{ value, label: `${name} (${formatBytes(bytes)})`, source }] : [])));
}

async function afterRemoval() {
  await showKept();
  button('models-close').focus();
}

function drawKept() {
  element('kept-empty').hidden = kept.length > 0;
  arrange(element('kept-rows'), keptRows, kept, ({ key }) => key, (one) => new KeptRow(one, load, afterRemoval));
}

function showCatalogue() {
  setText(element('catalogue-note'), navigator.onLine ? note() : t('No network: what lies on this device loads, the others wait.'));
  const offered = entries.map((entry, index) => ({ entry, index, fits, quantization: quantization(), kept }));
  arrange(element('catalogue-rows'), entryRows, offered, ({ entry }) => entry.id, ({ entry }) => new EntryRow(entry, load));
}

/** Plan each model by its shape. @param {Studio} studio */
async function planAll(studio) {
  const wanted = quantization() === 'none' ? ['none', 'int4'] : [quantization()];
  const memory = state.edits['device_memory_gb'] ?? null;
  try {
    for (const quantize of wanted) {
      /** @type {Fits} */
      const found = await studio.request('fit-models', { models: entries, quantize, device_memory_gb: memory });
      fits.set(quantize, found);
      note = () => t('Planned for this device: an adapter on windows of 256 tokens, four at once. {source}', { source: t(found.source) });
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    note = () => t(reason);
  }
  showCatalogue();
}

/** @param {Studio} studio */
async function open(studio) {
  setText(element('models-note'), isRunning() ? t('Another model can be loaded when the run is over.') : '');
  dialog().showModal();
  void showKept();
  note = () => describePlanning({ hasPython: state.fields.length > 0, isTraining: isRunning() });
  showCatalogue();
  try {
    if (!entries.length) entries = await fetchCatalogue();
  } catch (error) {
    setText(element('catalogue-note'), error instanceof Error ? error.message : String(error));
    return;
  }
  showCatalogue();
  await planAll(studio);
}

/** @param {Studio} studio */
export function mountModels(studio) {
  load = (value, name, source) => {
    dialog().close();
    void loadFrom(studio, value, name, source);
  };
  button('models-open').addEventListener('click', () => void open(studio));
  const drawAgain = () => {
    if (!dialog().open) return;
    drawKept();
    showCatalogue();
  };
  onLanguage(drawAgain);
  addEventListener('online', drawAgain);
  addEventListener('offline', drawAgain);
  let shown = '';
  watch(['model', 'supported'], () => {
    // What was fetched lies there now.
    if (!state.model || shown === loadedValue()) return;
    shown = loadedValue();
    void showKept();
  });
  void showKept();
}
