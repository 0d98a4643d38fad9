// @ts-check
/** Models that were fetched before and lie on the device. */

import { modelFolder } from '../../download/sinks.js';
import { BUNDLED, listModels, storedName } from '../../download/stored-models.js';

/** @import {StoredModel} from '../../download/stored-models.js' */
/** @import {ModelSource} from '../../types.js' */

/**
 * @typedef {object} Kept
 * @property {string} key of its own among all that lie there
 * @property {string} value what the list of models calls it
 * @property {string} name of the file, or of the model of several
 * @property {number} bytes on the device
 * @property {number} total bytes of all of it, 0 where that is not known
 * @property {boolean} isComplete
 * @property {boolean} isBundled it comes with the page anyway
 * @property {ModelSource|null} source null where a part cannot be gone on with: its address is not known
 * @property {() => Promise<void>} remove fails while it is being fetched
 */

/** @param {StoredModel} model @returns {ModelSource|null} */
function sourceOf({ stored, name, isComplete, marker }) {
  if (isComplete) return { kind: 'stored', stored, name };
  if (!marker?.url) return null;
  const { url, files, asked, sha256, total } = marker;
  return files ? { kind: 'url-folder', url, name, files, asked } : { kind: 'url', url, sha256, size: sha256 ? total : 0 };
}

/** @returns {Promise<Kept[]>} by name; none where the browser stores nothing */
export async function listKept() {
  const folder = await modelFolder();
  if (!folder) return [];
  const base = new URL('../..', import.meta.url);
  const bundled = await storedName({ url: new URL(BUNDLED, base), name: BUNDLED.split('/').at(-1) ?? '' });
  return (await listModels(folder)).map((model) => {
    const { stored, name, bytes, total, isComplete, marker, remove } = model;
    const isBundled = stored === bundled;
    const address = marker?.asked ?? marker?.url;
    return {
      key: stored, value: isBundled ? 'bundled' : address ? `url:${address}` : `stored:${stored}`, name, bytes, total, isComplete, isBundled, remove,
      source: isBundled ? /** @type {const} */ ({ kind: 'bundled' }) : sourceOf(model),
    };
  }).sort((a, b) => a.name.localeCompare(b.name));
}
