// @ts-check
/**
 * Where runs are kept so that they can go on after a reload: a folder of the browser's private
 * file system. What is a sound checkpoint is known in `app/io/checkpoint.py`; here are only files.
 */

const FOLDER = 'checkpoints';

/** @param {boolean} create @returns {Promise<FileSystemDirectoryHandle>} */
async function folder(create) {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create });
}

/** @param {unknown} error */
const isMissing = (error) => error instanceof DOMException && error.name === 'NotFoundError';

export const checkpointStore = {
  /** @returns {Promise<string[]>} none where there is no private file system either */
  async names() {
    const found = [];
    try {
      for await (const name of /** @type {any} */ (await folder(false)).keys()) found.push(name);
    } catch {
      return [];
    }
    return found;
  },

  /** @param {string} name @returns {Promise<Uint8Array|undefined>} undefined where there is none */
  async read(name) {
    try {
      const handle = await (await folder(false)).getFileHandle(name);
      return new Uint8Array(await (await handle.getFile()).arrayBuffer());
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },

  /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
  async write(name, bytes) {
    const handle = await (await folder(true)).getFileHandle(name, { create: true });
    const stream = await handle.createWritable();
    try {
      await stream.write(bytes);
      await stream.close(); // only now is the file replaced, whole
    } catch (error) {
      await stream.abort().catch(() => {});
      throw error;
    }
  },

  /** @param {string} name */
  async remove(name) {
    try {
      await (await folder(false)).removeEntry(name);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  },
};
