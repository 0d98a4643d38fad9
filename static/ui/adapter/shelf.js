// @ts-check
/** The adapters at hand: which one answers and how strongly; names, files, what is kept here. */

import { t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { saveAdapter } from './adapter.js';
import { button, byId, element, make, setText } from '../dom.js';
import { describeAdapter, formatFixed } from '../format.js';
import { announce, showFailure } from '../messages.js';
import { isKept, mountKept, setKept } from './shelf-kept.js';

/** @import {Studio} from '../../api.js' */
/** @import {Adapter} from '../../types.js' */

/** Rows by the adapter's id: they are changed in place, so that nothing typed in one is lost. */
/** @type {Map<number, Row>} */
const rows = new Map();

class Row {
  /** @param {Studio} studio @param {Adapter} adapter */
  constructor(studio, adapter) {
    this.studio = studio;
    this.id = adapter.id;
    this.isKeeping = false; // what was asked for is being written, or deleted
    this.chosen = make('input', { type: 'radio', name: 'shelf-chosen' });
    this.name = make('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', maxlength: '80' });
    this.about = make('p', { class: 'hint' });
    this.strength = make('input', { type: 'range', min: '0', max: '2', step: '0.05', 'data-testid': 'strength' });
    this.shown = make('output');
    this.kept = make('input', { type: 'checkbox', 'data-testid': 'shelf-keep' });
    this.drop = make('button', { type: 'button', class: 'link', text: t('Delete') });
    const file = make('button', { type: 'button', class: 'link', text: t('Download') });
    const folder = make('button', { type: 'button', class: 'link', text: t('PEFT folder (.zip)'), 'data-testid': 'shelf-folder' });
    this.node = make('li', { class: 'shelf-row' },
      make('div', { class: 'shelf-name' }, this.chosen, this.name), this.about,
      make('label', { class: 'shelf-strength' }, t('Strength'), ' ', this.strength, this.shown),
      make('div', { class: 'row wrap' }, file, folder, this.drop, make('label', { class: 'shelf-kept' }, this.kept, t('Keep in this browser'))));
    this.chosen.addEventListener('change', () => this.edit({ chosen: true }));
    this.name.addEventListener('change', () => this.rename());
    this.strength.addEventListener('input', () => this.showStrength());
    this.strength.addEventListener('change', () => this.edit({ strength: this.strength.valueAsNumber }));
    this.kept.addEventListener('change', () => {
      const adapter = state.shelf.find(({ id }) => id === this.id);
      if (!adapter) return;
      this.isKeeping = true;
      void setKept(studio, adapter, this.kept.checked).then(() => {
        this.isKeeping = false;
        render();
      });
    });
    file.addEventListener('click', () => void saveAdapter(studio, { adapter: this.id }));
    folder.addEventListener('click', () => void saveAdapter(studio, { adapter: this.id, form: 'folder' }));
    this.drop.addEventListener('click', () => this.remove());
  }

  /** @param {object} change */
  edit(change) {
    this.studio.request('edit-adapter', { adapter: this.id, ...change }).then(() => {
      if ('chosen' in change) update({ useLora: true });
    }, (error) => {
      showFailure(error);
      render();
    });
  }

  rename() {
    const adapter = state.shelf.find(({ id }) => id === this.id);
    // After Enter the field changes once more when it is left.
    if (adapter?.name !== this.name.value) this.edit({ name: this.name.value });
  }

  /** What cannot be had again is asked for twice. */
  remove() {
    if (this.drop.dataset['sure'] === undefined) {
      this.drop.dataset['sure'] = '';
      setText(this.drop, t('Really delete?'));
      return;
    }
    const name = this.name.value;
    const adapter = state.shelf.find(({ id }) => id === this.id);
    this.studio.request('delete-adapter', { adapter: this.id }).then(async () => {
      if (adapter) await setKept(this.studio, adapter, false);
      announce(t('{name} is deleted.', { name }));
    }, showFailure);
  }

  showStrength() {
    const value = this.strength.valueAsNumber;
    const factor = `${formatFixed(value, 2)} ×`;
    setText(this.shown, value === 0 ? t('{factor} (as Base)', { factor }) : factor);
    this.strength.setAttribute('aria-valuetext', this.shown.value);
  }

  /** @param {Adapter} adapter */
  show(adapter) {
    const label = adapter.name;
    this.chosen.checked = state.adapter?.id === adapter.id;
    this.chosen.setAttribute('aria-label', t('{name} answers as LoRA', { name: label }));
    this.name.setAttribute('aria-label', t('Name of {name}', { name: label }));
    this.strength.setAttribute('aria-label', t('Strength of {name}', { name: label }));
    this.drop.disabled = isRunning() || state.status === 'generating' || state.status === 'checking';
    if (!this.isKeeping) this.kept.checked = isKept(adapter.id);
    if (document.activeElement !== this.name) this.name.value = label;
    if (document.activeElement !== this.strength) this.strength.value = String(adapter.strength);
    this.showStrength();
    setText(this.about, describeAdapter(adapter));
  }
}

/** @type {Studio|null} */
let line = null;

function render() {
  const place = element('shelf-rows');
  const ids = new Set(state.shelf.map(({ id }) => id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.node.remove();
    rows.delete(id);
  }
  for (const adapter of state.shelf) {
    let row = rows.get(adapter.id);
    if (!row && line) {
      row = new Row(line, adapter);
      rows.set(adapter.id, row);
      place.append(row.node);
    }
    row?.show(adapter);
  }
  element('shelf-empty').hidden = state.shelf.length > 0;
  setText(button('shelf-open'), state.shelf.length > 1 ? t('Adapters ({number})', { number: state.shelf.length }) : t('Adapters'));
}

/** @param {Studio} studio */
export function mountShelf(studio) {
  line = studio;
  const dialog = byId('shelf-dialog', HTMLDialogElement);
  button('shelf-open').addEventListener('click', () => dialog.showModal());
  // Enter would press Done: it takes what was typed, and the dialog stays.
  dialog.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.isComposing || !(event.target instanceof HTMLInputElement)) return;
    event.preventDefault();
    event.target.dispatchEvent(new Event('change'));
  });
  mountKept(studio, render);
  watch(['adapter', 'shelf', 'status', 'run'], render);
}
