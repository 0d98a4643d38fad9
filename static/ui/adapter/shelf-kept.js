// @ts-check
/** Adapters that stay in this browser: written when asked for, read back with their model. */

import { describeKept, forget, keep, keptFor } from '../../kept/adapter-store.js';
import { t } from '../../messages/messages.js';
import { isRunning, state, watch } from '../../store.js';
import { announce, showError, showFailure } from '../messages.js';

/** @import {Studio} from '../../api.js' */
/** @import {Kept} from '../../kept/adapter-store.js' */
/** @import {Adapter} from '../../types.js' */

/** What is kept of the adapters on the shelf, by their ids. */
/** @type {Map<number, Kept>} */
const kept = new Map();
/** @type {unknown} the model whose adapters were read back */
let restored = null;

/** @param {number} id */
export const isKept = (id) => kept.has(id);

/** @param {Adapter} adapter @param {string} key @returns {Kept} */
const about = ({ name, strength, steps }, key) => ({ key, model: state.model?.name ?? '', name, strength, steps });

/**
 * Keep an adapter in this browser, or no longer.
 * @param {Studio} studio
 * @param {Adapter} adapter
 * @param {boolean} wanted
 */
export async function setKept(studio, adapter, wanted) {
  const known = kept.get(adapter.id);
  try {
    if (!wanted) {
      kept.delete(adapter.id);
      if (known) await forget(known.key);
      return;
    }
    const { bytes, packed } = await studio.request('export-adapter', { adapter: adapter.id });
    const now = about(adapter, known?.key ?? crypto.randomUUID());
    await keep(now, packed ?? bytes);
    kept.set(adapter.id, now);
    if (!known) announce(t('{name} is kept in this browser.', { name: adapter.name }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    showError(t('The adapter could not be kept in this browser ({reason}): download it instead.', { reason: t(reason) }));
  }
}

/** @param {Studio} studio */
async function restore(studio) {
  const { model } = state;
  if (!model || restored === model) return;
  restored = model;
  // After a lost GPU they are still on the shelf.
  for (const id of kept.keys()) if (!state.shelf.some((adapter) => adapter.id === id)) kept.delete(id);
  const there = new Set([...kept.values()].map(({ key }) => key));
  for (const found of await keptFor(model.name)) {
    if (state.model !== model) return;
    if (there.has(found.kept.key)) continue;
    const { name, strength } = found.kept;
    try {
      const info = await studio.request('import-adapter', { file: found.file, name, config: null, strength, choose: false });
      kept.set(info.id, { ...found.kept, steps: info.steps });
    } catch (error) {
      showFailure(error);
    }
  }
}

/** Write again what has changed since. @param {Studio} studio */
async function refresh(studio) {
  for (const adapter of state.shelf) {
    const known = kept.get(adapter.id);
    if (!known) continue;
    if (known.steps !== adapter.steps) {
      if (!isRunning()) await setKept(studio, adapter, true);
    } else if (known.name !== adapter.name || known.strength !== adapter.strength) {
      const now = about(adapter, known.key);
      kept.set(adapter.id, now);
      await describeKept(now).catch(showFailure);
    }
  }
}

/** @param {Studio} studio @param {() => void} onChange */
export function mountKept(studio, onChange) {
  let last = Promise.resolve();
  watch(['model', 'status', 'shelf', 'run'], () => {
    if (state.status !== 'ready') return;
    // One after the other: two writers of one file would get in each other's way.
    last = last.then(() => restore(studio)).then(() => refresh(studio)).then(onChange, showFailure);
  });
}
