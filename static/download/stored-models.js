// @ts-check
/** The models that lie in the private file system: files, and folders of several. */

import { sha256 } from './hash.js';
import { readMarker, readStored } from './sinks.js';

/** @import {OpenedModel} from './model-store.js' */
/** @import {Marker} from './sinks.js' */

export const BUNDLED = 'models/smollm2-135m-instruct-q4_1.gguf';

/**
 * @typedef {object} StoredModel
 * @property {string} stored what it is called there
 * @property {string} name
 * @property {number} bytes that lie there
 * @property {number} total what they will be, 0 where that is not known
 * @property {boolean} isComplete
 * @property {Marker|null} marker
 * @property {() => Promise<void>} remove fails while it is being fetched
 */

/** @param {{url: URL, name: string}} wanted a name in the private file system, one for each address */
export async function storedName({ url, name }) {
  return `${(await sha256(new Blob([url.href]))).slice(0, 16)}-${name.replace(/[^\w.-]/g, '_').slice(-80)}`;
}

/** @param {FileSystemDirectoryHandle} folder @returns {Promise<File[]>} the model's own files in a folder of its own */
export async function filesOf(folder) {
  const files = [];
  const names = new Set();
  for await (const name of /** @type {any} */ (folder).keys()) names.add(name);
  for (const name of names) {
    const isMarker = name.endsWith('.json') && names.has(name.slice(0, -'.json'.length));
    if (!isMarker) files.push(await (await folder.getFileHandle(name)).getFile());
  }
  return files;
}

/** @param {FileSystemDirectoryHandle} folder of all models @returns {Promise<StoredModel[]>} */
export async function listModels(folder) {
  /** @type {StoredModel[]} */
  const found = [];
  for await (const [stored, handle] of /** @type {any} */ (folder).entries()) {
    const isFolder = handle.kind === 'directory';
    if (!isFolder && stored.endsWith('.json')) continue;
    try {
      const [marker, files] = await Promise.all([readMarker(folder, stored), isFolder ? filesOf(handle) : [await handle.getFile()]]);
      const bytes = files.reduce((/** @type {number} */ sum, /** @type {File} */ file) => sum + file.size, 0);
      found.push({
        stored, name: stored.replace(/^[0-9a-f]{16}-/, ''), bytes, marker,
        total: marker?.total ?? 0, isComplete: marker?.complete === true && bytes === marker.size,
        async remove() {
          await folder.removeEntry(stored, { recursive: isFolder });
          await folder.removeEntry(`${stored}.json`).catch(() => {});
        },
      });
    } catch {
      // It went away meanwhile.
    }
  }
  return found;
}

/** @param {FileSystemDirectoryHandle} root @param {string} stored @param {string} name @returns {Promise<OpenedModel|null>} */
export async function openStoredModel(root, stored, name) {
  const marker = await readMarker(root, stored);
  if (!marker?.complete) return null;
  if (!marker.files) {
    const file = await readStored(root, stored);
    return file?.size === marker.size ? { blob: file, name } : null;
  }
  const files = await filesOf(await root.getDirectoryHandle(stored)).catch(() => []);
  return files.reduce((sum, file) => sum + file.size, 0) === marker.size ? { files, name } : null;
}
