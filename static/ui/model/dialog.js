// @ts-check
/** The dialog of models: those on this device, and a catalogue with what fits it. */

import { onLanguage, t } from '../../messages/messages.js';
import { isRunning, state, watch } from '../../store.js';
import { button, byId, element, make, setText } from '../dom.js';
import { formatBytes } from '../format.js';
import { loadedValue, loadFrom } from './model.js';
import { actionFor, describeEntry, describeFit, describeSource, fetchCatalogue, isFloat } from './catalogue.js';
import { listKept } from './kept.js';
import { offerKept } from './list.js';

/** @import {Studio} from '../../api.js' */
/** @import {Fits, ModelSource} from '../../types.js' */
/** @import {Entry} from './catalogue.js' */
/** @import {Kept} from './kept.js' */

/** @type {Entry[]} */
let entries = [];
/** By quantization; what is missing is not known yet. @type {Map<string, Fits>} */
const fits = new Map();
let note = () => '';

const dialog = () => byId('models-dialog', HTMLDialogElement);
const quantization = () => byId('model-quantize', HTMLSelectElement).value;

/** @param {string} label @param {string} about @param {() => void} act */
function press(label, about, act) {
  const made = make('button', { type: 'button', class: 'quiet', text: label, 'aria-label': t('{action}: {what}', { action: label, what: about }) });
  made.addEventListener('click', act);
  return made;
}

/** @param {Studio} studio @param {string} value @param {string} name @param {ModelSource} source */
function load(studio, value, name, source) {
  dialog().close();
  void loadFrom(studio, value, name, source);
}

/** @param {Kept} kept */
function removeButton(kept) {
  const made = press(t('Delete'), kept.name, async () => {
    if (!made.dataset['sure']) {
      made.dataset['sure'] = 'yes';
      setText(made, t('Delete for good?'));
      made.setAttribute('aria-label', t('Delete {what} for good?', { what: kept.name }));
      return;
    }
    try {
      await kept.remove();
      setText(element('models-note'), '');
      await showKept(studioOf);
      button('models-close').focus();
    } catch {
      setText(element('models-note'), t('It is in use: try again when it is no longer being fetched.'));
    }
  });
  return made;
}

/** @type {Studio} */
let studioOf;

/** @param {Studio} studio @param {Kept} kept */
function keptRow(studio, kept) {
  const { value, name, bytes, isComplete, source } = kept;
  const size = isComplete ? formatBytes(bytes) : t('{size} of it so far: the download goes on from there', { size: formatBytes(bytes) });
  const actions = make('div', { class: 'model-actions' });
  if (source) {
    const isLoaded = state.model !== null && loadedValue() === value;
    const go = press(isLoaded ? t('In use') : isComplete ? t('Load') : t('Go on'), name, () => load(studio, value, name, source));
    go.disabled = isLoaded || isRunning() || !state.supported;
    actions.append(go);
  }
  actions.append(removeButton(kept));
  return make('li', { class: 'model-row', 'data-testid': 'kept-model' }, make('div', {}, make('b', { text: name, translate: 'no' }), make('small', { text: size })), actions);
}

/** @param {Studio} studio */
async function showKept(studio) {
  const kept = await listKept().catch(() => []);
  element('kept-empty').hidden = kept.length > 0;
  element('kept-rows').replaceChildren(...kept.map((one) => keptRow(studio, one)));
  offerKept(kept.flatMap(({ value, name, source, isComplete, isBundled, bytes }) => (
    source && isComplete && !isBundled ? [{ value, label: `${name} (${formatBytes(bytes)})`, source }] : [])));
}

/** @param {Entry} entry @param {number} index */
function fitLines(entry, index) {
  const kinds = isFloat(entry) && quantization() === 'none' ? ['none', 'int4'] : [quantization()];
  return kinds.flatMap((kind) => {
    const known = fits.get(kind);
    const fit = known?.fits[index];
    if (!known || !fit) return [];
    const text = describeFit(fit, known);
    return [make('span', { class: 'fit', 'data-verdict': fit.verdict, text: kind === 'none' || kinds.length === 1 ? text : t('To INT4: {fit}', { fit: text }) })];
  });
}

/** @param {Studio} studio @param {Entry} entry @param {number} index */
function entryRow(studio, entry, index) {
  const { id, name, page, source, bytes } = entry;
  const fit = fits.get(quantization())?.fits[index] ?? null;
  const link = make('a', { href: page, target: '_blank', rel: 'noopener noreferrer', text: t('its page') });
  const facts = make('div', {}, make('b', { text: name, translate: 'no' }), make('small', { text: describeEntry(entry) }),
    make('small', {}, `${describeSource(entry)} `, link), ...fitLines(entry, index));
  const actions = make('div', { class: 'model-actions' });
  const action = actionFor(entry, fit);
  if (action !== 'none' && source.kind !== 'by-hand') {
    const value = source.kind === 'bundled' ? 'bundled' : `url:${source.url}`;
    const go = press(action === 'try' ? t('Load all the same') : t('Load'), `${name} ${entry.weights}`, () => load(studio, value, entry.file,
      source.kind === 'bundled' ? source : { ...source, size: bytes }));
    go.disabled = action === 'refuse' || isRunning() || !state.supported;
    actions.append(go);
  }
  return make('li', { class: 'model-row', 'data-testid': 'catalogue-model', 'data-id': id }, facts, actions);
}

/** @param {Studio} studio */
function showCatalogue(studio) {
  setText(element('catalogue-note'), note());
  element('catalogue-rows').replaceChildren(...entries.map((entry, index) => entryRow(studio, entry, index)));
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
  showCatalogue(studio);
}

/** @param {Studio} studio */
async function open(studio) {
  setText(element('models-note'), isRunning() ? t('Another model can be loaded when the run is over.') : '');
  dialog().showModal();
  void showKept(studio);
  note = () => t('Whether they fit is being planned: as soon as Python has started.');
  showCatalogue(studio);
  try {
    if (!entries.length) entries = await fetchCatalogue();
  } catch (error) {
    setText(element('catalogue-note'), error instanceof Error ? error.message : String(error));
    return;
  }
  showCatalogue(studio);
  await planAll(studio);
}

/** @param {Studio} studio */
export function mountModels(studio) {
  studioOf = studio;
  button('models-open').addEventListener('click', () => void open(studio));
  onLanguage(() => {
    if (dialog().open) showCatalogue(studio);
  });
  let shown = '';
  watch(['model', 'supported'], () => {
    // What was fetched lies there now.
    if (!state.model || shown === loadedValue()) return;
    shown = loadedValue();
    void showKept(studio);
  });
  void showKept(studio);
}
