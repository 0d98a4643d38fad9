// @ts-check
/**
 * Fetches models, and does nothing else. It is the one part whose policy allows connections to other
 * addresses (tools/headers.py); it is told addresses and never sees a text.
 */

import { fetchModel } from './download/fetch-model.js';

/** @type {Map<number, AbortController>} downloads under way */
const running = new Map();

onmessage = async ({ data: { id, wanted, reason } }) => {
  if (!wanted) {
    running.get(id)?.abort(reason === undefined ? undefined : new Error(reason));
    return;
  }
  const abort = new AbortController();
  running.set(id, abort);
  try {
    const opened = await fetchModel(wanted, abort.signal, (progress) => postMessage({ id, progress }));
    postMessage({ id, opened });
  } catch (error) {
    postMessage({ id, error: error instanceof Error ? error.message : String(error) });
  } finally {
    running.delete(id);
  }
};
