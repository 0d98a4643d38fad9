// @ts-check
/** Fetch one large file: kept for the next visit, continued where it broke off, checked. */

import { say } from '../messages/mark.js';
import { brokenError, Refused, Unreachable, unreachableError } from './failures.js';
import { hashStored, newHasher } from './hash.js';
import { pour, State } from './pour.js';
import { checkRoom, openSink } from './room.js';
import { FileSink, modelFolder, readMarker, readStored, writeMarker } from './sinks.js';
import { storedName } from './stored-models.js';

/** @import {Marker} from './sinks.js' */
/** @import {OpenedFile, Progress, Wanted} from './model-store.js' */

const TRIES = 4;
const RETRY_AFTER_MS = 800;
const TELL_EVERY_MS = 80;
/** What lies under a commit's own address never changes. */
const PINNED = /\/resolve\/[0-9a-f]{40}\//;

/**
 * Whether an address now gives another file; files of the build are known by their hash.
 * @param {Wanted} wanted @param {Marker} marker @param {AbortSignal} signal
 */
async function hasChanged(wanted, marker, signal) {
  if (wanted.sha256 || PINNED.test(wanted.url.pathname)) return false;
  try {
    const response = await fetch(wanted.url, { method: 'HEAD', cache: 'no-cache', signal: AbortSignal.any([signal, AbortSignal.timeout(3000)]) });
    const length = wanted.isText ? marker.size : Number(response.headers.get('content-length') ?? marker.size);
    const validator = response.headers.get('etag') ?? response.headers.get('last-modified') ?? '';
    return response.ok && (length !== marker.size || Boolean(marker.validator && validator && validator !== marker.validator));
  } catch {
    return false;
  }
}

/** Wait, as long as there is no network; and a while longer. @param {number} ms @param {AbortSignal} signal @param {() => void} tell */
async function waitForNetwork(ms, signal, tell) {
  if (globalThis.navigator?.onLine === false) {
    tell();
    await new Promise((resolve) => {
      globalThis.addEventListener?.('online', resolve, { once: true });
      signal.addEventListener('abort', resolve, { once: true });
    });
  }
  if (signal.aborted) return;
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
    signal.addEventListener('abort', resolve, { once: true });
  });
}

/**
 * @param {Wanted} wanted
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} onProgress
 * @param {{folder: FileSystemDirectoryHandle|null, stored: string}} [place] where it is kept, if not as a model of its own
 * @returns {Promise<OpenedFile>}
 */
export async function download(wanted, signal, onProgress, place) {
  const { name } = wanted;
  const { folder, stored } = place ?? { folder: await modelFolder(), stored: await storedName(wanted) };
  const marker = folder && (await readMarker(folder, stored));
  const fits = marker !== null && (!wanted.sha256 || marker.sha256 === wanted.sha256);
  const before = folder && (await readStored(folder, stored));
  if (before && marker?.complete && fits && before.size === marker.size && !(await hasChanged(wanted, marker, signal))) return { blob: before, name };
  // A part can be continued only if it is certain to be of the same file.
  const goesOn = fits && !marker.complete && !wanted.isText && Boolean(wanted.sha256 || marker.validator);
  const onDisk = await checkRoom(name, wanted.size && wanted.size - (before?.size ?? 0), stored);
  const [sink, hasher] = await Promise.all([openSink(folder, stored, onDisk), wanted.sha256 ? newHasher() : null]);
  let total = wanted.size;
  const state = new State(sink, hasher, marker?.validator ?? '', stored);
  /** @param {boolean} complete */
  const mark = async (complete) => {
    if (!folder || !(state.sink instanceof FileSink)) return;
    // Without a marker the file is only not found again next time.
    await writeMarker(folder, stored, { size: state.sink.size, sha256: wanted.sha256, validator: state.validator, complete, url: wanted.url.href, total }).catch(() => {});
  };
  const forget = () => Promise.allSettled([folder?.removeEntry(stored), folder?.removeEntry(`${stored}.json`)]);
  let told = 0;
  /** @param {Progress['stage']} [stage] @param {number} [loaded] */
  const tell = (stage, loaded = state.sink.size) => {
    if (!stage && performance.now() - told < TELL_EVERY_MS) return;
    told = performance.now();
    onProgress({ name, loaded, total: stage === 'check' ? state.sink.size : total, stage });
  };
  try {
    if (!goesOn) state.restart();
    else if (hasher && sink instanceof FileSink) await hashStored(hasher, sink, signal, (checked) => tell('check', checked));
    /** @param {number} size */
    const onChunk = (size) => {
      total = size;
      tell();
    };
    await fetchAll(wanted, state, signal, () => pour(wanted, state, mark, signal, onChunk), () => tell('offline'));
  } catch (error) {
    const isEmpty = state.sink.size === 0;
    await mark(false);
    state.sink.close();
    if (isEmpty && state.sink instanceof FileSink) await forget();
    if (signal.aborted) throw signal.reason instanceof DOMException ? new Error(say('Another model was chosen meanwhile.')) : signal.reason;
    if (error instanceof Refused) throw error;
    throw error instanceof Unreachable ? await unreachableError(name, wanted.url) : brokenError(name, wanted.url, error);
  }
  total = state.sink.size;
  onProgress({ name, loaded: total, total });
  const isStored = state.sink instanceof FileSink;
  const blob = await state.sink.finish();
  if (state.hasher && state.hasher.digest() !== wanted.sha256) {
    if (isStored) await forget();
    throw new Error(say('{name} arrived damaged (its SHA-256 is wrong): it was removed, try again.', { name }));
  }
  await mark(true);
  return { blob, name };
}

/**
 * Try until all of it is there; a try that brought something forward starts the count anew.
 * @param {Wanted} wanted @param {State} state @param {AbortSignal} signal
 * @param {() => Promise<void>} attempt @param {() => void} onOffline
 */
async function fetchAll(wanted, state, signal, attempt, onOffline) {
  let most = state.sink.size;
  for (let tried = 1; ; tried += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted || error instanceof Refused) throw error;
      if (state.sink.size > most) tried = 1;
      else if (tried >= TRIES || (globalThis.navigator?.onLine === false && !state.sink.size)) throw error;
      most = Math.max(most, state.sink.size);
      if (!wanted.sha256 && !state.validator) state.restart();
      await waitForNetwork(RETRY_AFTER_MS * 2 ** tried, signal, onOffline);
      signal.throwIfAborted();
    }
  }
}
