// @ts-check
/** Fetch one large file: kept for the next visit, continued where it broke off, checked. */

import { say } from '../messages/mark.js';
import { FileSink, MemorySink, modelFolder, readMarker, readStored, writeMarker } from './sinks.js';

/** @import {Marker} from './sinks.js' */
/** @import {OpenedModel, Progress, Wanted} from './model-store.js' */

const TRIES = 4;
const RETRY_AFTER_MS = 800;
const TELL_EVERY_MS = 80;
/** WebCrypto hashes only what lies in memory as a whole. */
const MAX_HASHED_BYTES = 1_000_000_000;

/**
 * @typedef {object} State
 * @property {FileSink|MemorySink} sink
 * @property {string} validator what the server calls this version of the file
 * @property {(complete: boolean) => Promise<void>} mark note what is stored
 */

/** A failure that trying again does not mend. */
class Refused extends Error {}

/** @param {Blob} blob */
async function sha256(blob) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @param {{url: URL, name: string}} wanted a name in the private file system, one for each address */
export async function storedName({ url, name }) {
  return `${(await sha256(new Blob([url.href]))).slice(0, 16)}-${name.replace(/[^\w.-]/g, '_').slice(-80)}`;
}

/**
 * One try: ask for what is missing and pour it into the sink.
 * @param {Wanted} wanted
 * @param {State} state changed as bytes arrive
 * @param {AbortSignal} signal
 * @param {(total: number) => void} onChunk
 * @returns {Promise<number>} the size that the server gave, 0 where it gave none
 */
async function pour(wanted, state, signal, onChunk) {
  /** @type {Record<string, string>} */
  const headers = {};
  const start = state.sink.size;
  if (start > 0) {
    headers['Range'] = `bytes=${start}-`;
    if (state.validator) headers['If-Range'] = state.validator;
  }
  const response = await fetch(wanted.url, { signal, headers });
  if (response.status === 416) {
    state.sink.clear();
    throw new Error(say('the stored part is longer than the file'));
  }
  if (!response.ok) {
    const retry = response.status >= 500 || response.status === 429;
    throw new (retry ? Error : Refused)(say('{address} answered {status}: check the address and try again.', { address: wanted.url.href, status: response.status }));
  }
  if (response.status !== 206) state.sink.clear();
  state.validator = response.headers.get('etag') ?? response.headers.get('last-modified') ?? '';
  if (state.validator.startsWith('W/')) state.validator = '';
  await state.mark(false);
  const length = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length') ?? 0);
  const total = wanted.size || (length ? state.sink.size + length : 0);
  if (!response.body) throw new Error(say('the answer is empty'));
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    try {
      state.sink.write(value);
    } catch (error) {
      if (!(state.sink instanceof FileSink)) throw error;
      state.sink = new MemorySink(await state.sink.finish());
      state.sink.write(value);
    }
    onChunk(total);
  }
  if (total && state.sink.size !== total) throw new Error(say('the connection broke after {bytes} of {total} bytes', { bytes: state.sink.size, total }));
  return total;
}

/**
 * Whether an address now gives another file; files of the build are known by their hash.
 * @param {Wanted} wanted @param {Marker} marker @param {AbortSignal} signal
 */
async function hasChanged(wanted, marker, signal) {
  if (wanted.sha256) return false;
  try {
    const response = await fetch(wanted.url, { method: 'HEAD', cache: 'no-cache', signal: AbortSignal.any([signal, AbortSignal.timeout(3000)]) });
    const length = Number(response.headers.get('content-length') ?? marker.size);
    const validator = response.headers.get('etag') ?? response.headers.get('last-modified') ?? '';
    return response.ok && (length !== marker.size || Boolean(marker.validator && validator && validator !== marker.validator));
  } catch {
    return false;
  }
}

/** @param {FileSystemDirectoryHandle|null} folder @param {string} stored @param {number} missing bytes */
async function openSink(folder, stored, missing) {
  if (folder) {
    try {
      const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
      if (quota - usage > missing) return await FileSink.open(folder, stored);
    } catch {
      // Another tab is writing this very file: go on in memory.
    }
  }
  return new MemorySink();
}

/**
 * @param {Wanted} wanted
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<OpenedModel>}
 */
export async function download(wanted, signal, onProgress) {
  const { name } = wanted;
  const folder = await modelFolder();
  const stored = await storedName(wanted);
  const marker = folder && (await readMarker(folder, stored));
  const fits = marker !== null && (!wanted.sha256 || marker.sha256 === wanted.sha256);
  if (folder && marker?.complete && fits) {
    const file = await readStored(folder, stored);
    if (file && file.size === marker.size && !(await hasChanged(wanted, marker, signal))) return { blob: file, name };
  }
  /** @type {State} */
  const state = {
    sink: await openSink(folder, stored, wanted.size),
    validator: marker?.validator ?? '',
    async mark(complete) {
      const { sink, validator } = this;
      if (!folder || !(sink instanceof FileSink)) return;
      // Without a marker the file is only not found again next time.
      await writeMarker(folder, stored, { size: sink.size, sha256: wanted.sha256, validator, complete, url: wanted.url.href }).catch(() => {});
    },
  };
  // A part can be continued only if it is certain to be of the same file.
  if (!fits || marker.complete || !(wanted.sha256 || state.validator)) state.sink.clear();
  let told = 0;
  let total = wanted.size;
  const tell = () => {
    if (performance.now() - told < TELL_EVERY_MS) return;
    told = performance.now();
    onProgress({ name, loaded: state.sink.size, total });
  };
  try {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await pour(wanted, state, signal, (size) => {
          total = size;
          tell();
        });
        break;
      } catch (error) {
        if (signal.aborted || error instanceof Refused || attempt === TRIES) throw error;
        if (!wanted.sha256 && !state.validator) state.sink.clear();
        await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS * 2 ** attempt));
      }
    }
  } catch (error) {
    await state.mark(false);
    state.sink.close();
    if (signal.aborted) throw signal.reason instanceof DOMException ? new Error(say('Another model was chosen meanwhile.')) : signal.reason;
    if (error instanceof Refused) throw error;
    const reason = String(error instanceof Error ? error.message : error);
    throw new Error(say('{name} could not be fetched from {host} ({reason}): check the connection, and that this site may be read from other pages, then try again.', { name, host: wanted.url.host, reason }));
  }
  onProgress({ name, loaded: state.sink.size, total: state.sink.size });
  const isStored = state.sink instanceof FileSink;
  const blob = await state.sink.finish();
  if (wanted.sha256 && blob.size <= MAX_HASHED_BYTES && (await sha256(blob)) !== wanted.sha256) {
    if (folder && isStored) await folder.removeEntry(stored).catch(() => {});
    throw new Error(say('{name} arrived damaged (its SHA-256 is wrong): try again.', { name }));
  }
  await state.mark(true);
  return { blob, name };
}
