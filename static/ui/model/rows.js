// @ts-check
/** The rows of the dialog of models. */

import { t } from '../../messages/messages.js';
import { isRunning, state } from '../../store.js';
import { element, make, setText } from '../dom.js';
import { formatBytes } from '../format.js';
import { actionFor, describeEntry, describeFit, describeSource, isFloat, sourceOfEntry, valueOf } from './catalogue.js';
import { loadedValue } from './model.js';

/** @import {Fits, ModelSource} from '../../types.js' */
/** @import {Entry} from './catalogue.js' */
/** @import {Kept} from './kept.js' */
/** @typedef {(value: string, name: string, source: ModelSource) => void} Load */

/** @param {string} label @param {string} about @param {() => void} act */
function press(label, about, act) {
  const made = make('button', { type: 'button', class: 'quiet', text: label, 'aria-label': t('{action}: {what}', { action: label, what: about }) });
  made.addEventListener('click', act);
  return made;
}

const canLoad = () => !isRunning() && state.supported;
const isOffline = () => navigator.onLine === false;

/** @param {Kept} kept @param {() => Promise<void>} onRemoved */
function removeButton(kept, onRemoved) {
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
      await onRemoved();
    } catch {
      setText(element('models-note'), t('It is in use: try again when it is no longer being fetched.'));
    }
  });
  return made;
}

/** @param {Kept} kept */
function sizeOf({ bytes, total, isComplete }) {
  const values = { size: formatBytes(bytes), total: formatBytes(total) };
  if (isComplete) return formatBytes(bytes);
  return total ? t('{size} of {total} so far: the download goes on from there', values) : t('{size} of it so far: the download goes on from there', values);
}

/** @param {Kept} kept @param {Load} load @param {() => Promise<void>} onRemoved */
export function keptRow(kept, load, onRemoved) {
  const { value, name, isComplete, source } = kept;
  const actions = make('div', { class: 'model-actions' });
  if (source) {
    const isLoaded = state.model !== null && loadedValue() === value;
    const go = press(isLoaded ? t('In use') : isComplete ? t('Load') : t('Go on'), name, () => load(value, name, source));
    go.disabled = isLoaded || !canLoad() || (!isComplete && isOffline());
    actions.append(go);
  }
  actions.append(removeButton(kept, onRemoved));
  return make('li', { class: 'model-row', 'data-testid': 'kept-model' }, make('div', {}, make('b', { text: name, translate: 'no' }), make('small', { text: sizeOf(kept) })), actions);
}

/**
 * @param {Entry} entry @param {number} index
 * @param {Map<string, Fits>} fits by quantization; what is missing is not known yet
 * @param {string} quantization that is chosen
 */
function fitLines(entry, index, fits, quantization) {
  const kinds = isFloat(entry) && quantization === 'none' ? ['none', 'int4'] : [quantization];
  return kinds.flatMap((kind) => {
    const known = fits.get(kind);
    const fit = known?.fits[index];
    if (!known || !fit) return [];
    const text = describeFit(fit, known);
    return [make('span', { class: 'fit', 'data-verdict': fit.verdict, text: kind === 'none' || kinds.length === 1 ? text : t('To INT4: {fit}', { fit: text }) })];
  });
}

/**
 * @param {Entry} entry @param {number} index
 * @param {{fits: Map<string, Fits>, quantization: string, kept: Kept[], load: Load}} known
 */
export function entryRow(entry, index, { fits, quantization, kept, load }) {
  const { id, name, page } = entry;
  const value = valueOf(entry);
  const mine = kept.find((one) => one.value === value);
  const link = make('a', { href: page, target: '_blank', rel: 'noopener noreferrer', text: t('Model page'), 'aria-label': t('Model page: {name}', { name: `${name} ${entry.weights}` }) });
  const facts = make('div', {}, make('b', { text: name, translate: 'no' }), make('small', { text: describeEntry(entry) }),
    make('small', {}, `${describeSource(entry, mine)} `, link), ...fitLines(entry, index, fits, quantization));
  const action = actionFor(fits.get(quantization)?.fits[index] ?? null);
  const isLoaded = state.model !== null && loadedValue() === value;
  const isPart = Boolean(mine && !mine.isComplete && mine.bytes);
  const label = isLoaded ? t('In use') : action === 'try' ? t('Load all the same') : isPart ? t('Go on') : t('Load');
  const isHere = entry.source.kind === 'bundled' || mine?.isComplete;
  const go = press(label, `${name} ${entry.weights}`, () => load(value, entry.source.kind === 'url-folder' ? name : entry.file, sourceOfEntry(entry)));
  go.disabled = isLoaded || action === 'refuse' || !canLoad() || (!isHere && isOffline());
  return make('li', { class: 'model-row', 'data-testid': 'catalogue-model', 'data-id': id }, facts, make('div', { class: 'model-actions' }, go));
}
