// @ts-check
/**
 * Where runs are kept so that they can go on after a reload, and a trained model until somebody has
 * it: folders of the browser's private file system. What is a sound checkpoint is known in
 * `app/io/checkpoint.py`; here are only files.
 */

import { say } from '../messages/mark.js';

const PART = '.part';

/** @param {unknown} error */
const isMissing = (error) => error instanceof DOMException && error.name === 'NotFoundError';

/**
 * Chrome's QuotaExceededError is no Error to Python: what waits for the promise would wait for ever.
 * @template T
 * @param {Promise<T>} work
 * @returns {Promise<T>}
 */
const plainly = (work) => work.catch((error) => {
  throw new Error(error?.message || String(error), { cause: error });
});

/**
 * A file that is written piece by piece and has its name only when it is whole. Pieces go to the
 * disk as they come: a stream would hold back, or copy, all that is written until it is closed.
 */
class Part {
  /** @param {FileSystemDirectoryHandle} place @param {string} name */
  constructor(place, name) {
    this.place = place;
    this.name = name;
    /** @type {Map<number, {size: number, digest: ArrayBuffer}>} what was written where */
    this.written = new Map();
  }

  async begin() {
    this.handle = await this.place.getFileHandle(this.name + PART, { create: true });
    this.access = await /** @type {any} */ (this.handle).createSyncAccessHandle();
    this.access.truncate(0); // what a page left that was closed in the middle
    return this;
  }

  /** @param {number} offset @param {any} view bytes, or a Python buffer, which is read in place */
  write(offset, view) {
    return plainly(this.put(offset, view));
  }

  /** @param {number} offset @param {any} view */
  async put(offset, view) {
    const python = view.getBuffer?.('u8');
    let digest;
    let size;
    try {
      const bytes = python?.data ?? view;
      size = bytes.length;
      const done = this.access?.write(bytes, { at: offset });
      if (done !== size) throw new DOMException(say('the disk took {count} of {size} bytes', { count: done, size }), 'QuotaExceededError');
      digest = crypto.subtle.digest('SHA-256', bytes); // of a copy, made now
    } finally {
      python?.release();
    }
    this.written.set(offset, { size, digest: await digest });
  }

  /** @returns {Promise<boolean>} whether every piece reads back as it was written; if so it is kept */
  keep() {
    return plainly(this.compare());
  }

  async compare() {
    const { access, handle } = this;
    if (!access || !handle) return false;
    access.flush();
    const room = new Uint8Array(Math.max(0, ...[...this.written.values()].map(({ size }) => size)));
    for (const [offset, { size, digest }] of this.written) {
      const bytes = room.subarray(0, size);
      if (access.read(bytes, { at: offset }) !== size) return false;
      if (!areEqual(await crypto.subtle.digest('SHA-256', bytes), digest)) return false;
    }
    access.close();
    this.access = undefined;
    await /** @type {any} */ (handle).move(this.name);
    return true;
  }

  async drop() {
    this.access?.close();
    this.access = undefined;
    await this.place.removeEntry(this.name + PART).catch((error) => {
      if (!isMissing(error)) throw error;
    });
  }
}

/** @param {FileSystemDirectoryHandle} place @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
async function replace(place, name, bytes) {
  const handle = await place.getFileHandle(name, { create: true });
  const stream = await handle.createWritable();
  try {
    await stream.write(bytes);
    await stream.close(); // only now is the file replaced, whole
  } catch (error) {
    await stream.abort().catch(() => {});
    throw error;
  }
}

/** @param {ArrayBuffer} one @param {ArrayBuffer} other */
function areEqual(one, other) {
  const bytes = new Uint8Array(other);
  return new Uint8Array(one).every((byte, index) => byte === bytes[index]);
}

/** @param {(create: boolean) => Promise<FileSystemDirectoryHandle>} folder */
const filesIn = (folder) => ({
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
    const file = await this.open(name);
    return file && new Uint8Array(await file.arrayBuffer());
  },

  /** @param {string} name @returns {Promise<File|undefined>} to be read in slices; undefined where there is none */
  async open(name) {
    try {
      return await (await (await folder(false)).getFileHandle(name)).getFile();
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },

  /** @param {string} name */
  create(name) {
    return plainly(folder(true).then((place) => new Part(place, name).begin()));
  },

  /** @returns {Promise<number|undefined>} bytes that may still be written, as the browser estimates it */
  async room() {
    const { usage, quota } = await navigator.storage.estimate();
    return quota === undefined || usage === undefined ? undefined : Math.max(0, quota - usage);
  },

  /** @param {string} name @param {Uint8Array<ArrayBuffer>} bytes */
  write(name, bytes) {
    return plainly(folder(true).then((place) => replace(place, name, bytes)));
  },

  /** @param {string} name */
  async remove(name) {
    try {
      await (await folder(false)).removeEntry(name);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  },
});

/** @param {string} called @returns {(create: boolean) => Promise<FileSystemDirectoryHandle>} */
const folderOf = (called) => async (create) => (await navigator.storage.getDirectory()).getDirectoryHandle(called, { create });

export const checkpointStore = filesIn(folderOf('checkpoints'));
export const tunedStore = filesIn(folderOf('tuned'));
