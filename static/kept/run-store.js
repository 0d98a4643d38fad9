// @ts-check
/**
 * Where the history of runs is kept between visits: in the browser's private file system, a folder
 * a run, with a description and logs in parts. Only the last part of a log is ever written anew, so
 * a long run costs no more a write than a short one.
 */

import { ABOUT, END, lastPart, LOGS, namesIn, partsOf, readOne } from './run-files.js';

const FOLDER = 'history';
/** Characters after which a log goes on in another part. */
export const PART_SIZE = 65_536;
/** So much is kept at most; the oldest go first. */
export const MOST_RUNS = 100;
export const MOST_BYTES = 20e6;

/** @import {Found, LogName} from './run-files.js' */

/** A name that sorts by time, and tells it. @param {number} startedAt milliseconds */
export const newKey = (startedAt) => `${new Date(startedAt).toISOString().replace(/[:.]/g, '-')}-${crypto.randomUUID().slice(0, 8)}`;

/** @param {string} key @returns {number} milliseconds, NaN where it tells none */
export const timeOf = (key) => Date.parse(key.replace(/^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{3})Z.*$/, '$1T$2:$3:$4.$5Z'));

/**
 * Which of the kept go, so that the rest stays within the bounds.
 * @param {Map<string, number>} sizes bytes by key
 * @param {string} [current] the run that stays, by default the newest
 */
export function tooMany(sizes, current = '') {
  let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const oldest = [...sizes.keys()].sort().filter((key, index) => (current ? key !== current : index < sizes.size - 1));
  const going = [];
  while (oldest.length && (bytes > MOST_BYTES || sizes.size - going.length > MOST_RUNS)) {
    const key = /** @type {string} */ (oldest.shift());
    bytes -= sizes.get(key) ?? 0;
    going.push(key);
  }
  return going;
}

/** @param {unknown} error */
export const isMissing = (error) => error instanceof DOMException && error.name === 'NotFoundError';
/** @param {unknown} error */
const unlessMissing = (error) => {
  if (!isMissing(error)) throw error;
};
/** @param {string} text */
const sizeOf = (text) => new Blob([text]).size;

const root = () => navigator.storage.getDirectory();
/** @param {boolean} create */
const history = async (create) => (await root()).getDirectoryHandle(FOLDER, { create });

/** @param {FileSystemDirectoryHandle} place @param {string} name @param {string} text */
async function write(place, name, text) {
  const stream = await (await place.getFileHandle(name, { create: true })).createWritable();
  try {
    await stream.write(text);
    await stream.close(); // only now is the file replaced, whole
  } catch (error) {
    await stream.abort().catch(() => {});
    throw error;
  }
}

export class RunStore {
  constructor() {
    /** Bytes by key. @type {Map<string, number>} */
    this.sizes = new Map();
    /** Bytes of the descriptions among them. @type {Map<string, number>} */
    this.abouts = new Map();
    /** The part of each log that is being written. @type {Map<string, {number: number, text: string, isFull: boolean}>} */
    this.parts = new Map();
    /** One after the other: they share files. @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  /** @template T @param {() => Promise<T>} change @returns {Promise<T>} */
  afterTheLast(change) {
    const mine = this.last.then(change);
    this.last = mine.catch(() => {});
    return mine;
  }

  get bytes() {
    return [...this.sizes.values()].reduce((sum, size) => sum + size, 0);
  }

  /**
   * The folder of a record: one that was there must still be, or somebody else has deleted it.
   * @param {string} key
   */
  async place(key) {
    const create = !this.sizes.has(key);
    return (await history(create)).getDirectoryHandle(key, { create });
  }

  /** @param {string} key @param {string} text */
  describe(key, text) {
    return this.afterTheLast(async () => {
      await write(await this.place(key), ABOUT, text);
      const size = sizeOf(text);
      this.sizes.set(key, (this.sizes.get(key) ?? 0) + size - (this.abouts.get(key) ?? 0));
      this.abouts.set(key, size);
    });
  }

  /**
   * @param {string} key
   * @param {LogName} log
   * @param {string} lines each with its end
   */
  add(key, log, lines) {
    return this.afterTheLast(async () => {
      const place = await this.place(key);
      const id = `${key}/${log}`;
      const part = this.parts.get(id) ?? { number: await lastPart(place, log), text: '', isFull: true };
      const number = part.number + Number(part.isFull);
      const text = part.isFull ? lines : part.text + lines;
      await write(place, `${log}-${String(number).padStart(6, '0')}${END}`, text);
      // What an earlier page wrote is never touched again: this one begins a part of its own.
      this.parts.set(id, { number, text, isFull: text.length >= PART_SIZE });
      this.sizes.set(key, (this.sizes.get(key) ?? 0) + sizeOf(lines));
    });
  }

  /**
   * A record was deleted by somebody else, as with the data of the whole site: know of it no more.
   * @param {string} key
   */
  async lost(key) {
    const isAll = await history(false).then(() => false, isMissing);
    for (const gone of isAll ? [...this.sizes.keys()] : [key]) {
      for (const log of LOGS) this.parts.delete(`${gone}/${log}`);
      for (const known of [this.sizes, this.abouts]) known.delete(gone);
    }
  }

  /** All records, oldest first; what cannot be read of one is missing. @returns {AsyncGenerator<Found>} */
  async* readAll() {
    let place;
    try {
      place = await history(false);
    } catch {
      return; // nothing was kept yet, or there is no such file system here
    }
    for (const key of await namesIn(place)) {
      const found = await this.afterTheLast(() => readOne(place, key));
      this.sizes.set(key, found.bytes);
      if (found.about !== null) this.abouts.set(key, sizeOf(found.about));
      yield found;
    }
  }

  /** @param {string} key */
  remove(key) {
    return this.afterTheLast(async () => {
      await (await history(true)).removeEntry(key, { recursive: true }).catch(unlessMissing);
      for (const log of LOGS) this.parts.delete(`${key}/${log}`);
      for (const known of [this.sizes, this.abouts]) known.delete(key);
    });
  }

  /** All records at once. */
  removeAll() {
    return this.afterTheLast(async () => {
      await (await root()).removeEntry(FOLDER, { recursive: true }).catch(unlessMissing);
      for (const known of [this.parts, this.sizes, this.abouts]) known.clear();
    });
  }

  /** What a model wrote, of all runs. */
  removeSamples() {
    return this.afterTheLast(async () => {
      for (const key of this.sizes.keys()) {
        const place = await (await history(true)).getDirectoryHandle(key).catch(unlessMissing);
        if (!place) continue;
        for (const name of await partsOf(place, 'samples')) {
          const { size } = await (await place.getFileHandle(name)).getFile();
          await place.removeEntry(name);
          this.sizes.set(key, (this.sizes.get(key) ?? 0) - size);
        }
        this.parts.delete(`${key}/samples`);
      }
    });
  }
}
