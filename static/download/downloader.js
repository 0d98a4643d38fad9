// @ts-check
/** The other end of download-worker.js: the worker that holds the text has no way to the net itself. */

import { say } from '../messages/mark.js';

/** @import {OpenedModel, Order, Progress} from './model-store.js' */
/** @typedef {{onProgress: (progress: Progress) => void, resolve: (opened: OpenedModel) => void, reject: (error: Error) => void}} Waiting */

/** @type {Worker|null} */
let worker = null;
let nextId = 1;
/** @type {Map<number, Waiting>} */
const waiting = new Map();

function start() {
  const started = new Worker(new URL('../download-worker.js', import.meta.url), { type: 'module', name: 'lora-lab-download' });
  started.onmessage = ({ data }) => {
    if (data.words) {
      globalThis.postMessage(data); // the page translates
      return;
    }
    const { id, progress, opened, error } = data;
    const asked = waiting.get(id);
    if (progress) {
      asked?.onProgress(progress);
      return;
    }
    waiting.delete(id);
    if (error === undefined) asked?.resolve(opened);
    else asked?.reject(new Error(error));
  };
  started.onerror = (event) => {
    event.preventDefault();
    worker = null; // the next download starts another one
    const reason = event.message || say('a part of the page could not be fetched');
    for (const { reject } of waiting.values()) reject(new Error(say('The download could not begin ({reason}): check the connection and try again.', { reason })));
    waiting.clear();
  };
  return started;
}

/**
 * As `fetchModel` of fetch-model.js, in a worker of its own.
 * @param {Order} wanted
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<OpenedModel>}
 */
export function downloadElsewhere(wanted, signal, onProgress) {
  worker ??= start();
  const [line, id] = [worker, nextId++];
  return new Promise((resolve, reject) => {
    waiting.set(id, { onProgress, resolve, reject });
    line.postMessage({ id, wanted });
    signal.addEventListener('abort', () => {
      const { reason } = signal;
      line.postMessage({ id, reason: reason instanceof DOMException ? undefined : String(reason?.message ?? reason) });
    });
    if (signal.aborted) line.postMessage({ id });
  });
}
