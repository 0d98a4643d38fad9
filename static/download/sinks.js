// @ts-check
/** Where a fetched file grows: in the browser's private file system, or in memory. */

/** @import {Part} from './model-store.js' */

/**
 * What is known of a stored file, or of a model of several; what older versions kept tells less.
 * @typedef {object} Marker
 * @property {number} size bytes when it was written
 * @property {string} sha256 what it has to be, '' where that is not known
 * @property {string} validator what the server calls this version of the file
 * @property {boolean} complete
 * @property {string} [url] where it came from
 * @property {number} [total] bytes of all of it, 0 where that is not known
 * @property {string} [asked] the address that a person gave, where it was another one
 * @property {Part[]} [files] of a model of several
 */

const FOLDER = 'models';

/**
 * The private file system's folder of models, or null where there is none (a private window,
 * storage switched off).
 * @returns {Promise<FileSystemDirectoryHandle|null>}
 */
export async function modelFolder() {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(FOLDER, { create: true });
  } catch {
    return null;
  }
}

/** @param {FileSystemDirectoryHandle} folder @param {string} name @returns {Promise<File|null>} */
export async function readStored(folder, name) {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return null;
  }
}

/**
 * What is known of a stored file; written last, so a file without it is not trusted.
 * @param {FileSystemDirectoryHandle} folder @param {string} name @returns {Promise<Marker|null>}
 */
export async function readMarker(folder, name) {
  const file = await readStored(folder, `${name}.json`);
  try {
    return file && JSON.parse(await file.text());
  } catch {
    return null;
  }
}

/** @param {FileSystemDirectoryHandle} folder @param {string} name @param {Marker} marker */
export async function writeMarker(folder, name, marker) {
  const handle = await folder.getFileHandle(`${name}.json`, { create: true });
  const stream = await handle.createWritable();
  await stream.write(JSON.stringify(marker));
  await stream.close();
}

/** Bytes in a file of the private file system. */
export class FileSink {
  /** @param {FileSystemDirectoryHandle} folder @param {string} name */
  static async open(folder, name) {
    const handle = await folder.getFileHandle(name, { create: true });
    // Only in workers, and only once at a time: a second tab gets an error here.
    const access = await /** @type {any} */ (handle).createSyncAccessHandle();
    return new FileSink(handle, access);
  }

  /** @param {FileSystemFileHandle} handle @param {any} access */
  constructor(handle, access) {
    this.handle = handle;
    this.access = access;
    this.size = /** @type {number} */ (access.getSize());
  }

  /** @param {Uint8Array<ArrayBuffer>} chunk */
  write(chunk) {
    const written = /** @type {number} */ (this.access.write(chunk, { at: this.size }));
    if (written !== chunk.byteLength) throw new DOMException('the disk is full', 'QuotaExceededError');
    this.size += written;
  }

  /** @param {number} at @param {number} size */
  read(at, size) {
    const bytes = new Uint8Array(size);
    this.access.read(bytes, { at });
    return bytes;
  }

  clear() {
    this.access.truncate(0);
    this.size = 0;
  }

  close() {
    this.access.flush();
    this.access.close();
  }

  /** The bytes so far; the sink is closed. */
  async finish() {
    this.close();
    return (await this.handle.getFile()).slice(0, this.size);
  }
}

/** Bytes in memory, where there is no private file system or no room left in it. */
export class MemorySink {
  /** @param {Blob} [start] what was stored before the room ran out */
  constructor(start) {
    /** @type {(Blob|Uint8Array<ArrayBuffer>)[]} */
    this.parts = start ? [start] : [];
    this.size = start?.size ?? 0;
  }

  /** @param {Uint8Array<ArrayBuffer>} chunk */
  write(chunk) {
    this.parts.push(chunk);
    this.size += chunk.byteLength;
  }

  clear() {
    this.parts = [];
    this.size = 0;
  }

  close() {}

  async finish() {
    return new Blob(this.parts);
  }
}
