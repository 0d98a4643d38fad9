// @ts-check
/**
 * The rows of the dialog of models. A row stays as long as what it shows: it is changed in place, so
 * that neither the focus nor a press is lost when something more becomes known.
 */

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
/** @typedef {{entry: Entry, index: number, fits: Map<string, Fits>, quantization: string, kept: Kept[]}} Offered `fits` by quantization; what is missing is not known yet */

/** @param {() => void} act */
function pressable(act) {
  const made = make('button', { type: 'button', class: 'quiet' });
  made.addEventListener('click', act);
  return made;
}

/** @param {HTMLButtonElement} press @param {string} label @param {string} about what it acts on */
function name(press, label, about) {
  setText(press, label);
  press.setAttribute('aria-label', t('{action}: {what}', { action: label, what: about }));
}

const canLoad = () => !isRunning() && state.supported;
const isOffline = () => navigator.onLine === false;
/** @param {string} value */
const isInUse = (value) => state.model !== null && loadedValue() === value;

/** @param {Kept} kept */
function sizeOf({ bytes, total, isComplete }) {
  const values = { size: formatBytes(bytes), total: formatBytes(total) };
  if (isComplete) return formatBytes(bytes);
  return total ? t('{size} of {total} so far: the download goes on from there', values) : t('{size} of it so far: the download goes on from there', values);
}

/** A model that lies on this device, or a part of one. */
export class KeptRow {
  /** @param {Kept} kept @param {Load} load @param {() => Promise<void>} onRemoved */
  constructor(kept, load, onRemoved) {
    this.kept = kept;
    this.onRemoved = onRemoved;
    this.isSure = false;
    this.title = make('b', { translate: 'no' });
    this.about = make('small');
    this.go = pressable(() => {
      const { value, name: file, source } = this.kept;
      if (source) load(value, file, source);
    });
    this.drop = pressable(() => void this.remove());
    this.drop.addEventListener('blur', () => this.ask(false)); // looking elsewhere takes the first press back
    this.node = make('li', { class: 'model-row', 'data-testid': 'kept-model' }, make('div', {}, this.title, this.about), make('div', { class: 'model-actions' }, this.go, this.drop));
  }

  /** @param {Kept} kept as it is now */
  show(kept) {
    const { value, name: file, isComplete, source } = this.kept = kept;
    const isLoaded = isInUse(value);
    setText(this.title, file);
    setText(this.about, sizeOf(kept));
    name(this.go, isLoaded ? t('In use') : isComplete ? t('Load') : t('Go on'), file);
    this.go.hidden = !source;
    this.go.disabled = isLoaded || !canLoad() || (!isComplete && isOffline());
    this.ask(this.isSure);
  }

  /** @param {boolean} isSure it was pressed once */
  ask(isSure) {
    this.isSure = isSure;
    if (!isSure) return name(this.drop, t('Delete'), this.kept.name);
    setText(this.drop, t('Delete for good?'));
    this.drop.setAttribute('aria-label', t('Delete {what} for good?', { what: this.kept.name }));
  }

  async remove() {
    if (!this.isSure) return this.ask(true);
    try {
      await this.kept.remove();
      setText(element('models-note'), '');
      await this.onRemoved();
    } catch {
      setText(element('models-note'), t('It is in use: try again when it is no longer being fetched.'));
    }
  }
}

/** @param {Offered} offered */
function fitLines({ entry, index, fits, quantization }) {
  const kinds = isFloat(entry) && quantization === 'none' ? ['none', 'int4'] : [quantization];
  return kinds.flatMap((kind) => {
    const known = fits.get(kind);
    const fit = known?.fits[index];
    if (!known || !fit) return [];
    const text = describeFit(fit, known);
    return [make('span', { class: 'fit', 'data-verdict': fit.verdict, text: kind === 'none' || kinds.length === 1 ? text : t('To INT4: {fit}', { fit: text }) })];
  });
}

/** A model of the catalogue. */
export class EntryRow {
  /** @param {Entry} entry @param {Load} load */
  constructor(entry, load) {
    this.about = make('small');
    this.source = make('span');
    this.link = make('a', { href: entry.page, target: '_blank', rel: 'noopener noreferrer' });
    /** @type {HTMLElement[]} */
    this.fits = [];
    this.go = pressable(() => load(valueOf(entry), entry.source.kind === 'url-folder' ? entry.name : entry.file, sourceOfEntry(entry)));
    this.facts = make('div', {}, make('b', { text: entry.name, translate: 'no' }), this.about, make('small', {}, this.source, ' ', this.link));
    this.node = make('li', { class: 'model-row', 'data-testid': 'catalogue-model', 'data-id': entry.id }, this.facts, make('div', { class: 'model-actions' }, this.go));
  }

  /** @param {Offered} offered as it is now */
  show(offered) {
    const { entry, index, fits, quantization, kept } = offered;
    const value = valueOf(entry);
    const about = `${entry.name} ${entry.weights}`;
    const mine = kept.find((one) => one.value === value);
    setText(this.about, describeEntry(entry));
    setText(this.source, describeSource(entry, mine));
    setText(this.link, t('Model page'));
    this.link.setAttribute('aria-label', t('Model page: {name}', { name: about }));
    for (const line of this.fits) line.remove();
    this.facts.append(...this.fits = fitLines(offered));
    const action = actionFor(fits.get(quantization)?.fits[index] ?? null);
    const isLoaded = isInUse(value);
    const isPart = Boolean(mine && !mine.isComplete && mine.bytes);
    name(this.go, isLoaded ? t('In use') : action === 'try' ? t('Load all the same') : isPart ? t('Go on') : t('Load'), about);
    const isHere = entry.source.kind === 'bundled' || mine?.isComplete;
    this.go.disabled = isLoaded || action === 'refuse' || !canLoad() || (!isHere && isOffline());
  }
}

/**
 * Show a list, with the rows that it has already.
 * @template T
 * @template {{node: HTMLElement, show: (item: T) => void}} R
 * @param {HTMLElement} place
 * @param {Map<string, R>} rows by key, of the list as it was
 * @param {T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => R} rowOf
 */
export function arrange(place, rows, items, keyOf, rowOf) {
  const keys = new Set(items.map(keyOf));
  for (const [key, row] of rows) {
    if (keys.has(key)) continue;
    row.node.remove();
    rows.delete(key);
  }
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    let row = rows.get(key);
    if (!row) rows.set(key, row = rowOf(item));
    if (place.children[index] !== row.node) place.insertBefore(row.node, place.children[index] ?? null);
    row.show(item);
  }
}
