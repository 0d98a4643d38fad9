// @ts-check
/**
 * Where measured kernel choices are kept between visits: one file a key in the browser's private
 * file system. Without it (a private window, storage switched off) they are measured again.
 */

const FOLDER = 'tunings';

/** @returns {Promise<FileSystemDirectoryHandle>} */
async function folder() {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

export const tuningStore = {
  /** @param {string} key @returns {Promise<string>} '' where nothing is kept */
  async load(key) {
    try {
      const handle = await (await folder()).getFileHandle(`${key}.json`);
      return await (await handle.getFile()).text();
    } catch {
      return '';
    }
  },

  /** @param {string} key @param {string} text */
  async save(key, text) {
    try {
      const handle = await (await folder()).getFileHandle(`${key}.json`, { create: true });
      const stream = await handle.createWritable();
      await stream.write(text);
      await stream.close(); // only now is the file replaced, whole
    } catch {
      // It will be measured again.
    }
  },
};
