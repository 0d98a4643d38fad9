// @ts-check
/**
 * Adapters that stay in this browser: those that are to be kept, read back with their model, and
 * those that were trained and not downloaded yet, so that a reload does not lose them.
 */

import { describeKept, forget, keep, keptAdapters } from '../../kept/adapter-store.js';
import { t } from '../../messages/messages.js';
import { isRunning, state, update, watch } from '../../store.js';
import { byId } from '../dom.js';
import { announce, showError, showFailure } from '../messages.js';
import { offerUnsaved } from './unsaved.js';

/** @import {Studio} from '../../api.js' */
/** @import {Found, Kept} from '../../kept/adapter-store.js' */
/** @import {Adapter} from '../../types.js' */

/** Unsaved ones that stay at most: each is some megabytes. */
const MOST_UNSAVED = 8;

/** What is kept of the adapters on the shelf, by their ids. */
/** @type {Map<number, Kept>} */
const kept = new Map();
/** Where adapters of this visit were put, also of those that have left the shelf. @type {Map<number, string>} */
const places = new Map();
/** Not to be held: the person deleted what was, or it cannot be. By id, with the steps it had then. @type {Map<number, number>} */
const released = new Map();
/** @type {unknown} the model whose adapters were read back */
let restored = null;

/** @param {number} id */
export const isKept = (id) => kept.get(id)?.isUnsaved === false;

/** As it is now it lies in this browser. @param {Adapter} adapter */
export const isHeld = (adapter) => kept.get(adapter.id)?.steps === adapter.steps;

/** A reload would lose an adapter. */
export const mayLoseAdapter = () => state.shelf.some((adapter) => !adapter.is_saved && !isHeld(adapter));

/** @param {Adapter} adapter @param {Partial<Kept>} more @returns {Kept} */
const about = ({ id, name, strength, steps }, more) => ({ key: kept.get(id)?.key ?? crypto.randomUUID(), model: state.model?.name ?? '', name, strength, steps, isUnsaved: false, ...more });

/**
 * @param {Studio} studio
 * @param {Adapter} adapter
 * @param {boolean} isUnsaved
 */
async function write(studio, adapter, isUnsaved) {
  const { bytes, packed, made } = await studio.request('export-adapter', { adapter: adapter.id, peek: isUnsaved });
  const now = about(adapter, { made, isUnsaved });
  await keep(now, packed ?? bytes);
  kept.set(adapter.id, now);
  places.set(adapter.id, now.key);
}

/**
 * Keep an adapter in this browser, or no longer.
 * @param {Studio} studio
 * @param {Adapter} adapter
 * @param {boolean} wanted
 */
export async function setKept(studio, adapter, wanted) {
  const known = kept.get(adapter.id);
  try {
    if (wanted) {
      await write(studio, adapter, false);
      if (known?.isUnsaved !== false) announce(t('{name} is kept in this browser.', { name: adapter.name }));
      return;
    }
    kept.delete(adapter.id);
    if (known) await forget(known.key);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    showError(t('The adapter could not be kept in this browser ({reason}): download it instead.', { reason: t(reason) }));
  }
}

/** Adapters that were handed out have not to stay any longer. @param {number[]} ids */
export async function letGo(ids) {
  for (const id of ids) {
    const key = places.get(id);
    if (key) await forget(key).catch(() => {});
  }
}

/** Hold what a reload would lose. @param {Studio} studio @param {Adapter} adapter */
async function hold(studio, adapter) {
  if (released.get(adapter.id) === adapter.steps) return;
  try {
    await write(studio, adapter, true);
    const unsaved = (await keptAdapters()).filter((found) => found.kept.isUnsaved);
    for (const { kept: { key } } of unsaved.slice(0, -MOST_UNSAVED)) await forget(key);
  } catch {
    released.set(adapter.id, adapter.steps); // no storage: whoever leaves the page is asked
  }
}

/** Put one that lies here on the shelf. @param {Studio} studio @param {Found} found @param {boolean} choose */
async function takeBack(studio, { kept: known, file }, choose) {
  const { name, strength, made, isUnsaved = false } = known;
  const info = await studio.request('import-adapter', { file, name, config: null, strength, choose, made, is_saved: !isUnsaved });
  kept.set(info.id, { ...known, isUnsaved, steps: info.steps });
  places.set(info.id, known.key);
}

/** @param {Studio} studio */
async function restore(studio) {
  const { model } = state;
  if (!model || restored === model) return;
  restored = model;
  // After a lost GPU they are still on the shelf.
  for (const id of kept.keys()) if (!state.shelf.some((adapter) => adapter.id === id)) kept.delete(id);
  const there = new Set([...kept.values()].map(({ key }) => key));
  const all = (await keptAdapters()).filter((found) => !there.has(found.kept.key));
  for (const found of all) {
    if (state.model !== model) return;
    if (found.kept.model !== model.name || found.kept.isUnsaved) continue;
    await takeBack(studio, found, false).catch(showFailure);
  }
  offerUnsaved(all.filter((found) => found.kept.isUnsaved), (found) => takeBack(studio, found, true));
}

/** Write again what has changed since. @param {Studio} studio @returns {Promise<boolean>} something has */
async function refresh(studio) {
  let isChanged = false;
  for (const adapter of state.shelf) {
    const known = kept.get(adapter.id);
    if (isRunning()) break;
    if (!known && adapter.is_saved) continue;
    if (known?.isUnsaved && adapter.is_saved) {
      await setKept(studio, adapter, false); // downloaded
    } else if (!known || known.steps !== adapter.steps) {
      await (known && !known.isUnsaved ? setKept(studio, adapter, true) : hold(studio, adapter));
    } else if (known.name !== adapter.name || known.strength !== adapter.strength) {
      const now = { ...known, name: adapter.name, strength: adapter.strength };
      kept.set(adapter.id, now);
      await describeKept(now).catch(showFailure);
      continue;
    } else continue;
    isChanged = true;
  }
  return isChanged;
}

/** What was deleted in the dialog of what is stored is not kept any longer. */
async function noticeDeleted() {
  const keys = new Set((await keptAdapters()).map((found) => found.kept.key));
  for (const [id, known] of kept) {
    if (keys.has(known.key)) continue;
    kept.delete(id);
    released.set(id, known.steps);
  }
}

/** @param {Studio} studio @param {() => void} onChange */
export function mountKept(studio, onChange) {
  /** @type {Promise<unknown>} */
  let last = Promise.resolve();
  /** One after the other: two writers of one file would get in each other's way. @param {() => Promise<boolean|void>} change */
  const afterTheLast = (change) => {
    last = last.then(change).then((isChanged) => (isChanged ? update({ shelf: [...state.shelf] }) : onChange()), showFailure);
  };
  watch(['model', 'status', 'shelf', 'run'], () => {
    if (state.status === 'ready') afterTheLast(() => restore(studio).then(() => refresh(studio)));
  });
  byId('storage-dialog', HTMLDialogElement).addEventListener('close', () => afterTheLast(() => noticeDeleted().then(() => true)));
}
