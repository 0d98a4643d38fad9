// @ts-check
/** Everything that this page keeps on the device, with its size, and how to delete it. */

import { listModels } from '../download/stored-models.js';
import { manifest } from '../manifest.js';
import { mark } from '../messages/mark.js';

/**
 * @typedef {object} Stored
 * @property {string} kind what it is, in English words
 * @property {string} name '' where there is one of the kind
 * @property {number} bytes
 * @property {string} note
 * @property {() => Promise<void>} remove
 */

const BASE = new URL('../', import.meta.url);
const CACHES = `lora-lab ${BASE.pathname} `;
const SETTINGS = 'lora-lab.';
export const CHECKPOINTS = mark('Checkpoints of runs');
/** Folders of the private file system. @type {Map<string, {kind: string, note: string}>} */
const FOLDERS = new Map(Object.entries({
  tunings: { kind: mark('Measured kernel choices'), note: mark('measured again when they are needed') },
  corpus: { kind: mark('Remembered text'), note: '' },
  checkpoints: { kind: CHECKPOINTS, note: mark('a run cannot be resumed without') },
  runs: { kind: CHECKPOINTS, note: mark('a run cannot be resumed without') },
  tuned: { kind: mark('Trained model'), note: mark('not downloaded yet') },
  adapters: { kind: mark('Adapters'), note: mark('kept by you, or trained and not downloaded yet') },
  history: { kind: mark('History of runs'), note: mark('charts of the newest 100 runs, 20 MB at most: the oldest go first') },
}));

/** Those who keep a folder delete it themselves: they know of it what lies in memory. @type {Map<string, () => Promise<void>>} */
const deleters = new Map();
/** @param {string} folder @param {() => Promise<void>} remove */
export const onDeleted = (folder, remove) => void deleters.set(folder, remove);

/** @param {FileSystemHandle} handle @returns {Promise<number>} bytes of a file, or of all below a folder */
async function sizeOf(handle) {
  if (handle.kind === 'file') return (await /** @type {FileSystemFileHandle} */ (handle).getFile()).size;
  let bytes = 0;
  for await (const child of /** @type {any} */ (handle).values()) bytes += await sizeOf(child);
  return bytes;
}

/** @param {FileSystemDirectoryHandle} folder @returns {Promise<Stored[]>} */
async function models(folder) {
  return (await listModels(folder)).map(({ name, bytes, isComplete, remove }) => ({
    kind: mark('Model'), name, bytes, remove,
    note: isComplete ? '' : mark('fetched in part: loading it again goes on from there'),
  }));
}

/** @returns {Promise<Stored[]>} what lies in the private file system */
async function files() {
  const root = await navigator.storage.getDirectory();
  /** @type {Stored[]} */
  const found = [];
  for await (const [name, handle] of /** @type {any} */ (root).entries()) {
    if (name === 'models') {
      found.push(...await models(handle));
      continue;
    }
    const bytes = await sizeOf(handle);
    const { kind, note } = FOLDERS.get(name) ?? { kind: mark('Other files'), note: '' };
    if (bytes) found.push({ kind, name: FOLDERS.has(name) ? '' : name, bytes, note, remove: deleters.get(name) ?? (() => root.removeEntry(name, { recursive: true })) });
  }
  return found;
}

/** Kind of the page's own copy. */
export const PAGE = mark('This page');

/** @returns {Promise<Stored[]>} the copy of the page that opens without a network */
async function page() {
  const names = (await caches.keys()).filter((name) => name.startsWith(CACHES));
  if (!names.length) return [];
  const sizes = (await manifest()).files;
  let python = 0;
  let rest = 0;
  for (const name of names) {
    for (const { url } of await (await caches.open(name)).keys()) {
      const path = decodeURI(url.slice(BASE.href.length));
      const bytes = sizes[path]?.size ?? 0;
      if (/^(python|vendor\/pyodide)\//.test(path)) python += bytes;
      else rest += bytes;
    }
  }
  if (!python && !rest) return []; // deleted, and the service worker is not gone yet
  const remove = async () => {
    const registration = await navigator.serviceWorker.getRegistration(BASE.href);
    for (const name of names) await caches.delete(name);
    await registration?.unregister();
  };
  const note = mark('both parts go together, and are kept again on the next visit');
  return [
    { kind: PAGE, name: '', bytes: rest, note, remove },
    { kind: mark('Python and its snapshot'), name: '', bytes: python, note, remove },
  ];
}

/** @returns {Stored[]} */
function settings() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(SETTINGS));
    const bytes = keys.reduce((sum, key) => sum + key.length + (localStorage.getItem(key)?.length ?? 0), 0);
    const remove = async () => keys.forEach((key) => localStorage.removeItem(key));
    return keys.length ? [{ kind: mark('Settings'), name: '', bytes, note: '', remove }] : [];
  } catch {
    return [];
  }
}

/** @returns {Promise<Stored[]>} largest first; what cannot be read is left out */
export async function listStored() {
  const parts = await Promise.all([files(), page()].map((part) => part.catch(() => [])));
  return [...parts.flat(), ...settings()].sort((a, b) => b.bytes - a.bytes);
}

/** @returns {Promise<{usage: number, quota: number, isPersistent: boolean}|null>} */
export async function storageFacts() {
  try {
    const { usage = 0, quota = 0 } = await navigator.storage.estimate();
    return { usage, quota, isPersistent: await navigator.storage.persisted() };
  } catch {
    return null;
  }
}
