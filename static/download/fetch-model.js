// @ts-check
/** Fetch what was asked for: a file, a folder of known files, or what an address turns out to be. */

import { say } from '../messages/mark.js';
import { download } from './download.js';
import { Unreachable } from './failures.js';
import { downloadFolder, openAsked } from './folder.js';
import { findModel } from './listing.js';

/** @import {OpenedModel, Order, Progress} from './model-store.js' */

/**
 * @param {Order} order
 * @param {AbortSignal} signal
 * @param {(progress: Progress) => void} onProgress
 * @returns {Promise<OpenedModel>}
 */
export async function fetchModel(order, signal, onProgress) {
  const url = new URL(order.url);
  if (order.kind === 'file') return download({ ...order, url }, signal, onProgress);
  if (order.kind === 'folder') return downloadFolder({ base: url, name: order.name, files: order.files, asked: order.asked }, signal, onProgress);
  try {
    const found = await findModel(url, signal);
    if ('base' in found) return await downloadFolder(found, signal, onProgress);
    // Without a network nothing tells that the address is that of a folder.
    return (await openAsked(url.href)) ?? (await download(found, signal, onProgress));
  } catch (error) {
    if (signal.aborted) throw signal.reason instanceof DOMException ? new Error(say('Another model was chosen meanwhile.')) : signal.reason;
    const stored = error instanceof Unreachable ? await openAsked(url.href) : null;
    if (stored) return stored;
    throw error;
  }
}
