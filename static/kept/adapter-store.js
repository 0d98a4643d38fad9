// @ts-check
/**
 * Adapters that lie in this browser: those that a person keeps between visits, and those that were
 * trained and not downloaded yet. For each a file of weights and one of what is known of it, in the
 * browser's private file system. The description is written last: without it the weights do not count.
 */

/**
 * @typedef {object} Kept
 * @property {string} key
 * @property {string} model
 * @property {string} name
 * @property {number} strength
 * @property {number} steps
 * @property {string} [made] how it was made, in Python's words
 * @property {boolean} [isUnsaved] nobody asked for it to stay: it goes once it is downloaded or discarded
 */

/** @typedef {{kept: Kept, at: number, file: File}} Found */

const FOLDER = 'adapters';

/** @returns {Promise<FileSystemDirectoryHandle>} */
async function folder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** @param {string} name @param {BufferSource|string} data */
async function write(name, data) {
  const stream = await (await (await folder()).getFileHandle(name, { create: true })).createWritable();
  await stream.write(data);
  await stream.close(); // only now is the file replaced, whole
}

/** @param {Kept} kept */
export const describeKept = (kept) => write(`${kept.key}.json`, JSON.stringify(kept));

/** @param {Kept} kept @param {Uint8Array<ArrayBuffer>} bytes */
export async function keep(kept, bytes) {
  await write(`${kept.key}.safetensors`, bytes);
  await describeKept(kept);
}

/** @param {string} key */
export async function forget(key) {
  const place = await folder();
  for (const end of ['json', 'safetensors']) await place.removeEntry(`${key}.${end}`).catch(() => {});
}

/**
 * What lies here, oldest first. What cannot be read is left out.
 * @returns {Promise<Found[]>}
 */
export async function keptAdapters() {
  /** @type {Found[]} */
  const found = [];
  try {
    const place = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER);
    for await (const name of place.keys()) {
      if (!name.endsWith('.json')) continue;
      try {
        const about = await (await place.getFileHandle(name)).getFile();
        /** @type {Kept} */
        const kept = JSON.parse(await about.text());
        if (`${kept.key}.json` !== name) continue;
        found.push({ kept, at: about.lastModified, file: await (await place.getFileHandle(`${kept.key}.safetensors`)).getFile() });
      } catch {
        // Half written, or not ours.
      }
    }
  } catch {
    // No private file system here (a private window, storage switched off), or nothing in it.
  }
  return found.sort((a, b) => a.at - b.at);
}
