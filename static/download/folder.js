// @ts-check
/** Fetch the files of a HuggingFace model, each as download.js does, as one model. */

import { download } from './download.js';
import { checkRoom } from './room.js';
import { modelFolder, readStored, writeMarker } from './sinks.js';
import { filesOf, listModels, openStoredModel, storedName } from './stored-models.js';

/** @import {OpenedModel, Progress, WantedFolder} from './model-store.js' */

const IS_WEIGHTS = /\.safetensors$/;

/**
 * @param {WantedFolder} wanted
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} onProgress over all files
 * @returns {Promise<OpenedModel>}
 */
export async function downloadFolder({ base, name, files, asked }, signal, onProgress) {
  const root = await modelFolder();
  const stored = await storedName({ url: base, name });
  const before = root && (await listModels(root)).find((model) => model.stored === stored);
  const weights = files.filter((part) => IS_WEIGHTS.test(part.name));
  let total = weights.every(({ size }) => size) ? files.reduce((sum, { size }) => sum + size, 0) : 0;
  const hasRoom = before?.isComplete || (await checkRoom(name, Math.max(0, total - (before?.bytes ?? 0)), stored));
  const folder = root && hasRoom ? await root.getDirectoryHandle(stored, { create: true }) : null;
  /** @param {number} size @param {boolean} complete */
  const mark = async (size, complete) => {
    if (root && folder) await writeMarker(root, stored, { size, sha256: '', validator: '', complete, url: base.href, total, asked, files }).catch(() => {});
  };
  if (!before?.isComplete) await mark(0, false);
  /** @type {File[]} */
  const opened = [];
  let done = 0;
  for (const part of [...files].sort((a, b) => Number(IS_WEIGHTS.test(a.name)) - Number(IS_WEIGHTS.test(b.name)))) {
    const wanted = { ...part, url: new URL(part.name, base), isText: !IS_WEIGHTS.test(part.name) };
    const { blob } = await download(wanted, signal, ({ loaded, total: size, stage }) => {
      if (stage === 'check') onProgress({ name, loaded, total: size, stage });
      // Only the last file's end is that of all of them.
      else onProgress({ name, loaded: done + loaded, total: total && Math.max(total, done + loaded), stage });
    }, { folder, stored: part.name });
    if (total) total += blob.size - part.size;
    done += blob.size;
    opened.push(new File([blob], part.name));
  }
  total = done;
  if (opened.length) onProgress({ name, loaded: done, total });
  if (!folder) return { name, files: opened };
  // What was kept and is no longer part of it would count as its own.
  const kept = await filesOf(folder).catch(() => []);
  for (const { name: file } of kept) if (!files.some((part) => part.name === file)) await folder.removeEntry(file).catch(() => {});
  const isWhole = (await Promise.all(opened.map((file) => readStored(folder, file.name)))).every((file, index) => file?.size === opened[index]?.size);
  await mark(done, isWhole);
  return { name, files: opened };
}

/**
 * A model of several files that lies on the device, whole, by the address that it was asked for by.
 * @param {string} address
 * @returns {Promise<OpenedModel|null>}
 */
export async function openAsked(address) {
  const root = await modelFolder();
  const found = root && (await listModels(root)).find(({ isComplete, marker }) => isComplete && marker?.files && (marker.asked === address || marker.url === address));
  return root && found ? openStoredModel(root, found.stored, found.name) : null;
}
