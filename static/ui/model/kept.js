// @ts-check
/** Models that were fetched before and lie on the device. */

import { storedName } from '../../download/download.js';
import { BUNDLED } from '../../download/model-store.js';
import { modelFolder, readMarker, readStored } from '../../download/sinks.js';

/** @import {ModelSource} from '../../types.js' */

/**
 * @typedef {object} Kept
 * @property {string} value what the list of models calls it
 * @property {string} name of the file
 * @property {number} bytes on the device
 * @property {boolean} isComplete
 * @property {boolean} isBundled it comes with the page anyway
 * @property {ModelSource|null} source null where a part cannot be gone on with: its address is not known
 * @property {() => Promise<void>} remove fails while it is being fetched
 */

/** @returns {Promise<Kept[]>} by name; none where the browser stores nothing */
export async function listKept() {
  const folder = await modelFolder();
  if (!folder) return [];
  const base = new URL('../..', import.meta.url);
  const bundled = await storedName({ url: new URL(BUNDLED, base), name: BUNDLED.split('/').at(-1) ?? '' });
  /** @type {Kept[]} */
  const found = [];
  for await (const stored of /** @type {any} */ (folder).keys()) {
    if (stored.endsWith('.json')) continue;
    const [marker, file] = await Promise.all([readMarker(folder, stored), readStored(folder, stored)]);
    if (!file) continue;
    const isComplete = marker?.complete === true && file.size === marker.size;
    const name = stored.replace(/^[0-9a-f]{16}-/, '');
    /** @type {ModelSource|null} */
    let source = null;
    if (isComplete) source = { kind: 'stored', stored, name };
    else if (marker?.url) source = { kind: 'url', url: marker.url, sha256: marker.sha256 };
    found.push({
      value: stored === bundled ? 'bundled' : marker?.url ? `url:${marker.url}` : `stored:${stored}`, name, bytes: file.size, isComplete, isBundled: stored === bundled,
      source: stored === bundled ? { kind: 'bundled' } : source,
      async remove() {
        await folder.removeEntry(stored);
        await folder.removeEntry(`${stored}.json`).catch(() => {});
      },
    });
  }
  return found.sort((a, b) => a.name.localeCompare(b.name));
}
