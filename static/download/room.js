// @ts-check
/** Whether what is to be fetched has room on this device. */

import { say } from '../messages/mark.js';
import { Refused } from './failures.js';
import { FileSink, MemorySink, modelFolder } from './sinks.js';
import { listModels } from './stored-models.js';

/** What may lie in memory where the private file system is full. */
const MEMORY_BYTES = 256e6;
const NAMED = 3;

/** @returns {Promise<number>} bytes that the browser would still store, as it estimates itself */
async function freeBytes() {
  try {
    const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
    return quota - usage;
  } catch {
    return Infinity;
  }
}

/** @param {number} bytes */
const megabytes = (bytes) => Math.max(0, Math.round(bytes / 1e6));

/**
 * Refuse what cannot fit before any of it is fetched.
 * @param {string} name
 * @param {number} missing bytes, 0 where that is not known
 * @param {string} [own] its own part on the device is nothing to delete
 * @returns {Promise<boolean>} false: it fits in memory alone
 */
export async function checkRoom(name, missing, own = '') {
  const free = await freeBytes();
  if (missing < free) return true;
  if (missing <= MEMORY_BYTES) return false;
  throw new Refused(await noRoom(name, missing, free, own));
}

/** @param {string} name @param {number} missing @param {number} free @param {string} own */
async function noRoom(name, missing, free, own) {
  const folder = await modelFolder();
  const others = (folder ? await listModels(folder).catch(() => []) : []).filter(({ stored }) => stored !== own).sort((a, b) => b.bytes - a.bytes);
  const values = {
    name, missing: megabytes(missing), free: megabytes(free),
    models: others.slice(0, NAMED).map((model) => `${model.name} (${megabytes(model.bytes)} MB)`).join(', '),
  };
  return others.length
    ? say('{name} needs {missing} MB more on this device, and the browser gives this page {free} MB: delete models that you can do without (“More models”), such as {models}.', values)
    : say('{name} needs {missing} MB more on this device, and the browser gives this page {free} MB: make room on the disk, or choose a smaller model.', values);
}

/**
 * @param {FileSystemDirectoryHandle|null} folder @param {string} stored its name there
 * @param {boolean} fits
 */
export async function openSink(folder, stored, fits) {
  if (folder && fits) {
    try {
      return await FileSink.open(folder, stored);
    } catch {
      // Another tab is writing this very file: go on in memory.
    }
  }
  return new MemorySink();
}

/** Whether the rest of a file may go on in memory. @param {number} bytes so far */
export const fitsMemory = (bytes) => bytes <= MEMORY_BYTES;
