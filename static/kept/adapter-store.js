// @ts-check
/**
 * Adapters that a person keeps in this browser between visits: for each a file of weights and one
 * of what is known of it, in the browser's private file system. The description is written last:
 * without it the weights do not count.
 */

/** @typedef {{key: string, model: string, name: string, strength: number, steps: number}} Kept */

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
 * What was kept for a model, oldest first. What cannot be read is left out.
 * @param {string} model
 * @returns {Promise<{kept: Kept, file: File}[]>}
 */
export async function keptFor(model) {
  const found = [];
  try {
    const place = await folder();
    for await (const name of place.keys()) {
      if (!name.endsWith('.json')) continue;
      try {
        const about = await (await place.getFileHandle(name)).getFile();
        /** @type {Kept} */
        const kept = JSON.parse(await about.text());
        if (kept.model !== model || `${kept.key}.json` !== name) continue;
        found.push({ kept, at: about.lastModified, file: await (await place.getFileHandle(`${kept.key}.safetensors`)).getFile() });
      } catch {
        // Half written, or not ours.
      }
    }
  } catch {
    // No private file system here (a private window, storage switched off): nothing is kept.
  }
  return found.sort((a, b) => a.at - b.at);
}
